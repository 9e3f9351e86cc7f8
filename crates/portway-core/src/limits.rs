//! Every default number, with its unit and its reason. A number that a user can set is the default
//! of a config key; the others are what keeps one peer from using up what all share.

use std::time::Duration;

/// Whole request head, bytes. nginx allows 32 KiB (4 × 8 KiB), HAProxy 16 KiB, Envoy 60 KiB; tokens
/// and cookies grow, so the most generous of them.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Header fields of one message. Browsers send about 20; the rest is abuse or a loop.
pub const HEADERS_MAX: usize = 100;
/// Request target, bytes. RFC 9112, section 3, asks for at least 8000.
pub const TARGET_BYTES_MAX: usize = 16 * 1024;
/// Request body, bytes, unless the listener or route says otherwise.
pub const REQUEST_BODY_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// Chunk-size line, bytes, with its CRLF: 16 hex digits and no extension.
pub const CHUNK_LINE_BYTES_MAX: usize = 18;
/// Trailer section, bytes.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// Reply head from a target, bytes. Targets are trusted more than clients, yet not without end.
pub const REPLY_HEADER_BYTES_MAX: usize = 128 * 1024;
/// Informational (1xx) replies in front of one final reply. More is a loop.
pub const INFORMATIONAL_MAX: u32 = 16;

/// First read of a head, bytes: most heads fit; one read call is enough.
pub const READ_BYTES: usize = 8 * 1024;
/// Read of a body, bytes. Larger reads save system calls until the buffer leaves the L2 cache.
pub const BODY_READ_BYTES: usize = 64 * 1024;
/// Read of a body that is passed on at once, bytes. A worker has one buffer of this size; it is used
/// again at once and so stays in the L2 cache (1 MiB and more on servers). Larger writes mean fewer
/// segments, acknowledgements and wake-ups.
pub const LARGE_READ_BYTES: usize = 512 * 1024;
/// Body octets that one connection moves before others of its worker have their turn: about 0.3 ms.
pub const BODY_BYTES_PER_TURN: usize = 1024 * 1024;
/// Rest of an unread request body that is read and thrown away to keep the connection, bytes.
/// More is cheaper to pay with a new connection.
pub const DRAIN_BYTES_MAX: u64 = 64 * 1024;
/// Request body kept so that a retry can send it again, bytes.
pub const RETRY_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Body of a reply that a retry makes useless, bytes: so much is thrown away if it has arrived, to keep
/// the connection. An error page is seldom longer.
pub const RETRIED_REPLY_BYTES_MAX: u64 = 16 * 1024;
/// Body of a mirrored request, bytes; a larger one is not mirrored.
pub const MIRROR_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Mirrored requests on their way at once per worker; more are dropped and counted.
pub const MIRRORS_IN_FLIGHT_MAX: usize = 256;

/// Streams a client may have open at once on one HTTP/2 connection: what gRPC clients with many calls
/// on one connection ask for. Also the most exchanges of one connection that run at once, whatever it
/// has reset meanwhile.
pub const H2_STREAMS_MAX: u32 = 1024;
/// Octets a client may send ahead on one stream. What is on its way on a path of 50 ms at 40 Mbit/s;
/// a slow target holds up this much and no more.
pub const H2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Octets a client may send ahead on one connection: 64 streams may be held up before others wait for
/// them. Bounds what one connection can make us keep.
pub const H2_CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// Octets of a reply that wait for one stream's turn to be written.
pub const H2_SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Octets one HTTP/2 connection reads before others have their turn. Bounds also what heads that are
/// decoded and not yet looked at can use.
pub const H2_TURN_BYTES: usize = 64 * 1024;
/// Octets that are read and thrown away so that a client can read why its connection ends.
pub const H2_LINGER_BYTES: usize = 1024 * 1024;
/// RST_STREAM at once: as many as there can be streams, since a client may cancel all it has.
pub const H2_RESETS_MAX: u32 = 1024;
/// RST_STREAM per second, in the long run. Attackers send 100 times as many (CVE-2023-44487).
pub const H2_RESETS_PER_SECOND: u32 = 100;
/// Streams that were reset before we had seen them; only what is sent in one piece comes to that.
pub const H2_UNSEEN_RESETS_MAX: usize = 128;
/// Streams that a client's faults made us reset, in a connection's life (CVE-2025-8671).
pub const H2_FORCED_RESETS_MAX: usize = 512;
/// Streams we reset whose late octets are still to be ignored.
pub const H2_RESET_STREAMS_KEPT: usize = 256;
/// And for how long: what was on its way when we reset has come by then.
pub const H2_RESET_STREAM_KEPT: Duration = Duration::from_secs(10);
/// SETTINGS at once; one more each second. Clients send one or two.
pub const H2_SETTINGS_MAX: u32 = 64;
/// PING at once without work; ten more each second. gRPC sends some while data flows, which earns them.
pub const H2_PINGS_MAX: u32 = 256;
/// WINDOW_UPDATE at once without anything having been sent: two for each stream there can be, twice.
pub const H2_WINDOW_UPDATES_MAX: u32 = 4096;
/// DATA frames without octets that do not end a stream, and CONTINUATION without octets.
pub const H2_EMPTY_FRAMES_MAX: u32 = 64;
/// PRIORITY and unknown frames at once without requests; old browsers send five, and one per request.
pub const H2_OTHER_FRAMES_MAX: u32 = 1024;
/// CONTINUATION frames of one head. A head of 128 KiB needs seven.
pub const H2_CONTINUATIONS_MAX: u32 = 9;

/// HTTP/3: streams from a client in its direction only, open at once. It needs three, and some open one more
/// that says nothing. For requests, windows and resets the limits of HTTP/2 hold.
pub const H3_ONE_WAY_STREAMS_MAX: u32 = 16;
/// HTTP/3: DATA frames at once with fewer than four octets that are not a body's last. Bodies that are
/// written octet by octet come to that; the work for them is some tens of milliseconds.
pub const H3_SMALL_FRAMES_MAX: u32 = 64 * 1024;
/// See [`H3_SMALL_FRAMES_MAX`]; per second, in the long run.
pub const H3_SMALL_FRAMES_PER_SECOND: u32 = 10 * 1024;
/// HTTP/3: heads of the largest size, on one connection, for which there is room while they come. Others are
/// not read on meanwhile.
pub const H3_SECTIONS_COLLECTED: u64 = 4;
/// HTTP/3: streams in a connection's life on which no request came, given up or faulty: something of each is
/// kept until the connection ends.
pub const H3_HEADLESS_STREAMS_MAX: u32 = 64 * 1024;
/// HTTP/3: streams in a connection's life that were reset by us although the client had not stopped them: the QUIC
/// library keeps some 90 octets of each until the connection ends, which it then does in order.
pub const H3_RESET_STREAMS_MAX: u32 = 1024;
/// HTTP/3: requests on one connection that have come whole, and are answered, whose stream has not ended:
/// its end is waited for. That of others is waved off.
pub const H3_ENDS_AWAITED_MAX: usize = 64;
/// HTTP/3: octets of all replies on one connection that have gone out and may have to go out again. What is
/// on its way on a path of 50 ms at 320 Mbit/s.
pub const H3_SEND_WINDOW_BYTES: u64 = 2 * 1024 * 1024;
/// HTTP/3: silence after which a client is gone: QUIC has no FIN for those who lose their network.
pub const H3_SILENCE_MAX: Duration = Duration::from_secs(30);
/// HTTP/3: a client that has said nothing for so long is asked whether it is there (PING). Three questions
/// fit into [`H3_SILENCE_MAX`], so that an exchange may take longer than that.
pub const H3_PING_AFTER: Duration = Duration::from_secs(9);
/// HTTP/3: handshakes under way at once, for each worker, until clients must prove their addresses first
/// (Retry): from then on a flood costs a round trip, and no certificate is sent to addresses that are false.
pub const H3_UNPROVEN_HANDSHAKES_MAX: usize = 64;
/// HTTP/3: octets that are kept of a client whose handshake has not begun: a ClientHello, twice over. And of
/// all of them together, for each worker.
pub const H3_EARLY_BYTES_MAX: u64 = 64 * 1024;
/// See [`H3_EARLY_BYTES_MAX`].
pub const H3_EARLY_BYTES_TOTAL: u64 = 8 * 1024 * 1024;
/// HTTP/3: octets in the buffers of a worker's socket, each way, where the kernel allows as many
/// (`net.core.rmem_max`): what comes for all connections while the worker is busy for a few milliseconds.
pub const H3_SOCKET_BUFFER_BYTES: usize = 2 * 1024 * 1024;

/// Request head complete by then (slow clients, CVE-2007-6750).
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Whole request, head and body.
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// No progress while writing a reply.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// A client that has ended its side of the connection and waits for its reply: so long without an octet
/// for it, and it counts as gone. Most replies come sooner; work for nobody is not done for longer.
pub const HALF_CLOSED_PATIENCE: Duration = Duration::from_secs(2);
/// Keep-alive connection without a request.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// After SIGTERM: what still runs by then is cut.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Connecting to a target.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// From the last request byte to the reply's head.
pub const RESPONSE_HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Silence of a target in the middle of a reply, where `timeouts.request` does not bound the whole. As
/// long as Envoy's stream idle timeout: streams of events send a sign of life more often.
pub const REPLY_SILENCE_MAX: Duration = Duration::from_secs(300);
/// A mirrored request with its reply, whom nobody waits for.
pub const MIRROR_TIMEOUT: Duration = Duration::from_secs(30);
/// Pooled upstream connection unused. Below the 75 s after which nginx closes its side.
pub const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Tunnel (TCP, TLS passed through, WebSocket) without a byte in either direction. Long, since pooled
/// database connections rest for minutes; keep-alive finds peers that are gone long before.
pub const TUNNEL_IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
/// PROXY protocol header, bytes. Addresses take at most 232; load balancers add names and ids of
/// some hundred. The format allows 65,551, which nobody needs and every connection could ask for.
pub const PROXY_HEADER_BYTES_MAX: usize = 4 * 1024;
/// A TLS ClientHello that is read for its server name, bytes. Post-quantum key shares made it some
/// 1.8 KiB; rustls takes up to 64 KiB.
pub const CLIENT_HELLO_BYTES_MAX: usize = 64 * 1024;
/// Pooled connections per target and worker.
pub const POOL_IDLE_MAX: usize = 128;

/// Connections open at once per listener.
pub const CONNECTIONS_MAX: usize = 50_000;
/// Keys of one rate limit. At 16 bytes and more a key, 65,536 of them stay near 2 MiB.
pub const RATE_LIMIT_KEYS_MAX: usize = 65_536;

/// The width of a timer wheel's slot: timeouts are late by at most this much.
pub const TIMER_TICK: Duration = Duration::from_millis(10);

/// A worker's access-log buffer is handed to the writer past this many bytes: about 100 records,
/// so that one `write` call serves them all.
pub const ACCESS_LOG_BUFFER_BYTES: usize = 32 * 1024;
/// Buffers waiting for one output's writer. 256 of them bound its memory to about 8 MiB; past
/// that, records are dropped and counted.
pub const ACCESS_LOG_QUEUE_BUFFERS_MAX: usize = 256;
/// One field of an access-log record, bytes; the rest of a longer one is cut. Keeps one client
/// with a 64 KiB header from filling the disk at that size a request.
pub const ACCESS_LOG_FIELD_BYTES_MAX: usize = 4 * 1024;
/// Messages of the process's own log that wait to be written: what a config of a thousand warnings says in
/// one go fits, and a reader of the log that has stopped costs a megabyte, not the gateway.
pub const APP_LOG_QUEUE_MESSAGES_MAX: usize = 4096;
/// After a failed write of a log, the next try.
pub const ACCESS_LOG_RETRY: Duration = Duration::from_secs(1);

/// Connections waiting to be accepted per listening socket; the kernel cuts it to
/// `net.core.somaxconn` (4096 since Linux 5.4). Enough for a burst between two loops of a worker.
pub const LISTEN_BACKLOG: u32 = 4096;
/// Silence on a connection before TCP asks whether the peer is still there. Below the 350 s after
/// which the common cloud balancers forget a flow.
pub const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
/// Between two such questions, of which three go unanswered before the connection is dead.
pub const TCP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Unanswered keep-alive questions before the connection is dead.
pub const TCP_KEEPALIVE_RETRIES: u32 = 3;
/// Pause after `accept` found no file descriptor or memory: what is open must end first.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// A successor process says it is ready within this time, or the hand-over is off.
pub const HANDOVER_TIMEOUT: Duration = Duration::from_secs(30);

/// HTTP/2, from a target: octets of one reply on their way before the client has read any. Enough for
/// 1 Gbit/s at 2 ms.
pub const H2_TARGET_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// HTTP/2, from a target: octets of all replies on one connection. A stream whose client does not read
/// holds its window; so many of them must not stop the others: 256.
pub const H2_TARGET_CONNECTION_WINDOW_BYTES: u32 = 64 * 1024 * 1024;
/// HTTP/2: octets of one body handed to the connection and not yet written to its socket.
pub const H2_SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// HTTP/2: streams on one connection to a target, whatever more it allows. Past it another connection
/// spreads the work over the target's threads.
pub const H2_TARGET_STREAMS_MAX: usize = 1000;
/// HTTP/2: silence of a target while streams wait for it, until it is asked whether it is still there
/// (PING); and as long again until its connection counts as dead.
pub const H2_TARGET_SILENCE: Duration = Duration::from_secs(10);
/// HTTP/2: between two such questions to a target that has said nothing else meanwhile. gRPC servers end
/// connections of clients that ask them more often than every five minutes.
pub const H2_TARGET_PINGS_APART: Duration = Duration::from_secs(310);
/// HTTP/2: streams that we reset and whose late frames are still known as theirs for a second.
pub const H2_TARGET_RESETS_KEPT: usize = 1024;
