"""The standing text of docs/performance.md; figures never go in here."""

INTRO = """\
Portway beside its peers and a raw TCP relay, on one machine, all contestants of a scenario in one run.
This page is written by `make bench` from what was stored then; nobody types a figure in here. What counts
is the ratio between two contestants of the same run: figures of different runs or machines do not compare."""

NOISE = """\
> **Noisy run.** Other programs used {share} % of a core while this ran. CPU per request and its ratios
> still say something; requests per second and latencies do not."""

HOW = {
    "Small replies": """\
One worker of each proxy on core 0; load (`wrk -t1 -c64`, keep-alive) and backend on core 1. GET, 128-byte
replies, HTTP/1.1 with keep-alive on both sides, pools larger than the load, no access log. CPU is user plus
system time of the proxy's processes and threads, divided by the requests wrk completed. *Portway, all
policies* also routes among seven routes, sets a request id, writes a JSON access log to a file in memory,
counts metrics, and runs a rate limit and a circuit breaker. The relay copies bytes between a client and its
own upstream connection: two reads and two writes, no parsing, no pool. Every peer's settings are in
`bench/harness/contestants.py` and `bench/harness/documents.py`. Ratios are the median of the ratios inside each round.

Portway is what `make release` builds: optimized by a profile of a training run (`bench/harness/training.py`)
with small and large replies, posts, refusals, TLS, HTTP/2, HTTP/3 and TCP. `cargo build --release`, without a
profile, takes about a tenth more CPU; [ADR 8](adr/0008-where-the-cpu-of-an-exchange-goes.md) has both. The
peers are as their packagers built them.""",
    "1 MiB replies": """\
As above with `wrk -c16` and 1 MiB bodies with a Content-Length. nginx has large proxy buffers and no
temporary files, HAProxy may splice.""",
    "TCP": """\
The same backend and load through connections that are passed as they are: a `tcp` listener, HAProxy in TCP mode
(with `option splice-auto`, and copying), the raw relay.""",
    "TLS": """\
The same backend; TLS 1.3 with one ECDSA P-256 certificate for everyone (wrk negotiates AES-256-GCM and X25519).
*Requests*: 128-byte replies over 64 connections that stay open. *Full handshakes*: a connection for each request.""",
    "HTTP/2 and gRPC": """\
`h2load -c8 -m16` without TLS. To HTTP/1: GET with the small replies of the same backend. gRPC: calls with a message of
128 bytes each way, answered over HTTP/2 with the status in trailers. nginx opens a connection for every call that
is under way (`grpc_pass`); Envoy and Portway share connections.""",
    "HTTP/3": """\
HTTP/3 to HTTP/1, `http3` of the benches (quinn and h3): eight connections with sixteen streams each, the same backend
and one ECDSA P-256 certificate for everyone. Of the other peers here none is built with HTTP/3.""",
    "Latency at half load": """\
A fixed rate over 16 connections, chosen for each proxy so that its core is half busy (from its CPU per
request above). *Added* is the difference to the same load sent straight to the backend right after.
A request that had to wait for the one before counts from when it was due.""",
    "Idle connections": """\
10,000 keep-alive clients that each made one request and then stay silent; growth of the resident memory of
the proxy's largest process after a warm-up, divided by 10,000. Memory that a proxy reserves and touches at
start (nginx's connection table) is not in the growth. Then every connection makes another request. The
relay is left out: it needs two files for each client.""",
    "Reload": """\
Portway with a document of 10,000 routes, replaced under load; each new document differs. *Visible* is from
the signal to the first answer that only the new document gives. *Saturated* is `wrk -c64`, *paced* a fixed
rate of 10,000 requests a second.""",
    "System calls": """\
Counted by `strace -c -f` while wrk runs 64 connections; only counts are used, times under strace mean
nothing.""",
    "Micro benches": """\
`cargo bench -p portway-bench` (criterion); sources in `bench/benches`, with what each does. The goals take
the slowest of a group. `limiter` is the filter's whole request hook for a request that passes; `breaker` is
leave to send and the verdict together. `balance` is the pick alone while counts stand still;
`balance_exchange` is all that an exchange costs the balancer: the pick, counting it in and another one out
(two locked additions), and learning from how it ended. `config_compile` is from text to plan, for the
document of the reload scenario; `config_compile_filters` has targets and three filters in each route.""",
}

REPEAT = """\
`make bench` on Linux with two cores or more, Rust, Python 3 and, for what is not installed, apt and PyPI.
Peers go to `target/bench`. `bench/run --quick` is the short form, `bench/run --help` lists the options
(`--only nginx,relay,portway`, `--scenarios small,idle`), and `bench/run --from target/bench/results.json`
writes this page again from a stored run. Run it on an otherwise idle machine: the page says when it was
not."""
