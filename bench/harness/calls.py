"""HTTP/2 towards clients: requests that go on over HTTP/1, and gRPC calls that stay HTTP/2, beside nginx
and Envoy.

Must hold: prior knowledge and no TLS for everyone, the same connections, streams and messages; a call that
does not succeed ends the contestant's part.
"""

import struct
import textwrap

from harness import documents, peers
from harness.arena import fresh_folder
from harness.contestants import Started, portway, portway_head
from harness.load import LoadError, h2load
from harness.paths import RELEASE, free_port
from harness.process import LOAD_CORE, Process

NAMES = ("nginx", "nginx-deb", "envoy", "portway")
# About a second each at the rates of one core.
CALLS_A_SECOND = 15000
MESSAGE = struct.pack(">BI", 0, 128) + b"x" * 128


def calls(arena, options):
    """CPU per request and per call."""
    binary = peers.find_h2load(arena.say)
    folder = fresh_folder("calls")
    (folder / "message").write_bytes(MESSAGE)
    how = ["-d", folder / "message", "-H", "content-type: application/grpc", "-H", "te: trailers"]
    port = free_port()
    backend = Process("calls", [RELEASE / "calls", port], LOAD_CORE, folder)
    running = []
    try:
        backend.wait_for(port)
        plan = planner(port)
        names = [name for name in arena.names if name in NAMES]
        running = [started for started in (arena.start(name, plan) for name in names) if started]
        results = {contestant.name: {"rounds": []} for contestant in running}
        count = CALLS_A_SECOND * options.seconds
        for number in range(options.rounds):
            for contestant in list(running):
                try:
                    figures = {
                        "to_h1_us": cpu_us(contestant, count, lambda c: h2load(binary, c.port, "/", count)),
                        "to_h2_us": cpu_us(contestant, count, lambda c: h2load(
                            binary, c.port, "/bench.Echo/Call", count, options=how)),
                    }
                except LoadError as error:
                    arena.leave_out(contestant.name, f"calls: {error}")
                    running.remove(contestant)
                    contestant.stop()
                    continue
                results[contestant.name]["rounds"].append(figures)
                arena.say(f"  round {number + 1} {contestant.name}: to HTTP/1 {figures['to_h1_us']:.1f} us a request, "
                          f"gRPC {figures['to_h2_us']:.1f} us a call")
    finally:
        for contestant in running:
            contestant.stop()
        backend.stop()
    return {"contestants": results}


def cpu_us(contestant, count, load):
    before = contestant.process.cpu_seconds()
    load(contestant)
    return (contestant.process.cpu_seconds() - before) / count * 1e6


def planner(backend):
    def plan(name, peer, port, origin, admin):
        makers = {"nginx": nginx_h2, "nginx-deb": nginx_h2, "envoy": envoy_h2}
        if name in makers:
            started = makers[name](peer, port, origin, backend)
        else:
            started = portway(portway_h2(port, origin, backend, admin))
        started.scheme = "h2c"
        return started
    return plan


def portway_h2(port, origin, backend, admin):
    head = portway_head(port, origin, admin)
    return head + textwrap.dedent(f"""\
          - name: calls
            protocol: h2c
            targets:
              - {{ addr: "http://127.0.0.1:{backend}" }}
        routes:
          - {{ name: calls, prefix: /bench.Echo, upstream: calls }}
          - {{ name: all, prefix: /, upstream: origin }}
        """)


def nginx_h2(peer, port, origin, backend):
    locations = {"/bench.Echo": "grpc_pass grpc://calls;\n", "/": documents.NGINX_TO_ORIGIN}
    upstreams = {"origin": origin, "calls": backend}
    command, files = documents.nginx(peer, f"{port} http2", locations, upstreams)
    return Started(command, files, dict(peer.env))


def envoy_h2(peer, port, origin, backend):
    routes = {"/bench.Echo": "calls", "/": "origin"}
    clusters = {"origin": (origin, False), "calls": (backend, True)}
    command, files = documents.envoy(peer, port, "HTTP2", routes, clusters)
    return Started(command, files, dict(peer.env))
