//! One worker's UDP socket, on which QUIC connections arrive.
//!
//! Must hold: a client whose address is not proven gets little more than it sent; no early data is taken;
//! what a handshake presents is decided when it begins, so that a reload needs no new socket.
//! Never: accepts by itself.

use std::cell::RefCell;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use portway_core::limits;
use portway_tls::{Acceptor, HandshakeError, Session};
use quinn::{
    EndpointConfig, IdleTimeout, ServerConfig, TokioRuntime, TransportConfig,
    ValidationTokenConfig, VarInt,
};

use super::code;

type Crypto = dyn quinn::crypto::ServerConfig;

/// A socket's connections.
pub struct Endpoint {
    inner: quinn::Endpoint,
    /// What handshakes were begun with last.
    last: RefCell<(Arc<Crypto>, Arc<ServerConfig>)>,
}

impl Endpoint {
    /// Takes a non-blocking socket into the current runtime. `None` if `acceptor` shakes no hands over
    /// QUIC.
    ///
    /// # Errors
    /// If the runtime cannot register it.
    pub fn new(socket: UdpSocket, acceptor: &Acceptor) -> std::io::Result<Option<Endpoint>> {
        let Some(crypto) = acceptor.quic() else {
            return Ok(None);
        };
        let config = server_config(Arc::clone(&crypto));
        let inner = quinn::Endpoint::new(
            EndpointConfig::default(),
            Some(config.clone()),
            socket,
            Arc::new(TokioRuntime),
        )?;
        Ok(Some(Endpoint {
            inner,
            last: RefCell::new((crypto, Arc::new(config))),
        }))
    }

    /// The next client that asks for a connection; `None` once the endpoint is closed.
    pub async fn accept(&self) -> Option<Knock> {
        self.inner.accept().await.map(Knock)
    }

    /// Begins a handshake.
    ///
    /// # Errors
    /// If what came makes none, or HTTP/3 is not spoken any more.
    pub fn begin(&self, knock: Knock, acceptor: &Acceptor) -> Result<Greeting, HandshakeError> {
        let Some(crypto) = acceptor.quic() else {
            knock.refuse();
            let reason = portway_core::HandshakeFailure::NothingInCommon;
            return Err(HandshakeError::new(reason, "HTTP/3 is not spoken any more"));
        };
        let config = {
            let mut last = self.last.borrow_mut();
            if !Arc::ptr_eq(&last.0, &crypto) {
                *last = (Arc::clone(&crypto), Arc::new(server_config(crypto)));
            }
            Arc::clone(&last.1)
        };
        let connecting = knock.0.accept_with(config);
        connecting
            .map(Greeting)
            .map_err(|e| HandshakeError::of_quic(&e))
    }

    /// Turns away who asks from now on; connections go on.
    pub fn refuse_new(&self) {
        self.inner.set_server_config(None);
    }

    /// Ends all connections.
    pub fn close(&self) {
        self.inner.close(VarInt::from_u32(code::NO_ERROR), b"");
    }

    /// Waits until the last words of connections that ended have been said.
    pub async fn idle(&self) {
        self.inner.wait_idle().await;
    }
}

/// A client that asks for a connection.
pub struct Knock(quinn::Incoming);

impl Knock {
    /// Where it says it is.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.0.remote_address()
    }

    /// Has it prove that it is there, unless it has: it asks again then.
    #[must_use]
    pub fn proven(self) -> Option<Knock> {
        if self.0.remote_address_validated() {
            return Some(self);
        }
        let proving = self.0.retry();
        proving.err().map(|error| Knock(error.into_incoming()))
    }

    /// Turns it away.
    pub fn refuse(self) {
        self.0.refuse();
    }
}

/// A handshake under way.
pub struct Greeting(quinn::Connecting);

impl Greeting {
    /// Goes on to its end.
    ///
    /// # Errors
    /// If there is nothing in common, the client's certificate does not hold, or the client leaves.
    pub async fn shake(self, acceptor: &Acceptor) -> Result<(Greeted, Session), HandshakeError> {
        let connection = self.0.await.map_err(|e| HandshakeError::of_quic(&e))?;
        let data = connection.handshake_data();
        match acceptor.quic_session(data, connection.peer_identity()) {
            Ok(session) => Ok((Greeted(connection), session)),
            Err(error) => {
                connection.close(VarInt::from_u32(code::NO_ERROR), b"");
                Err(error)
            }
        }
    }
}

/// A connection of which nothing is known but that its handshake went well.
pub struct Greeted(pub(super) quinn::Connection);

fn server_config(crypto: Arc<Crypto>) -> ServerConfig {
    let mut transport = TransportConfig::default();
    let silence = VarInt::from_u32(limits::H3_SILENCE_MAX.as_millis() as u32);
    transport
        .max_concurrent_bidi_streams(limits::H2_STREAMS_MAX.into())
        .max_concurrent_uni_streams(limits::H3_ONE_WAY_STREAMS_MAX.into())
        .stream_receive_window(limits::H2_STREAM_WINDOW_BYTES.into())
        .receive_window(limits::H2_CONNECTION_WINDOW_BYTES.into())
        .send_window(limits::H3_SEND_WINDOW_BYTES)
        .max_idle_timeout(Some(IdleTimeout::from(silence)))
        .keep_alive_interval(Some(limits::H3_PING_AFTER))
        .datagram_receive_buffer_size(None);
    let mut tokens = ValidationTokenConfig::default();
    tokens.sent(0);
    let mut config = ServerConfig::with_crypto(crypto);
    config
        .transport_config(Arc::new(transport))
        .validation_token_config(tokens)
        .incoming_buffer_size(limits::H3_EARLY_BYTES_MAX)
        .incoming_buffer_size_total(limits::H3_EARLY_BYTES_TOTAL)
        // The kernel would lead a client that moves to another worker's socket, which does not know it.
        .migration(false);
    config
}
