"""TLS towards clients: small replies over connections that stay open, and full handshakes, beside nginx.

Must hold: the same certificate (ECDSA P-256), TLS 1.3 alone and the same load for everyone. wrk keeps no
sessions, so a connection of its own for each request is a full handshake with every request.
"""

import subprocess
import textwrap

from harness import documents
from harness.arena import fresh_folder
from harness.contestants import Started, portway, portway_head
from harness.load import LoadError, wrk
from harness.paths import WORK
from harness.scenarios import CONNECTIONS
from harness.training import certificate

NAMES = ("nginx", "nginx-deb", "portway")
ONE_REQUEST_EACH = ["-H", "Connection: close"]
NGINX_TLS = """\
ssl_certificate cert.pem;
ssl_certificate_key key.pem;
ssl_protocols TLSv1.3;
ssl_session_cache shared:SSL:10m;
"""


def tls(arena, options):
    """128-byte replies at full speed: with 64 connections, then with one for each request."""
    running = [started for started in (start(arena, name) for name in arena.names if name in NAMES) if started]
    results = {contestant.name: {"rounds": [], "handshakes": []} for contestant in running}
    try:
        for contestant in running:
            measure(arena, contestant, 1, ())
        for number in range(options.rounds):
            for contestant in running:
                kept = results[contestant.name]
                one_round(arena, contestant, number, options.seconds, (), kept["rounds"])
                one_round(arena, contestant, number, options.seconds, ONE_REQUEST_EACH, kept["handshakes"])
    finally:
        for contestant in running:
            contestant.stop()
    return {"contestants": results}


def one_round(arena, contestant, number, seconds, how, kept):
    figures = measure(arena, contestant, seconds, how)
    if figures:
        kept.append(figures)
        what = "handshakes" if how else "requests"
        arena.say(f"  round {number + 1} {contestant.name}: {figures['per_cpu_second']:.0f} {what} per CPU second, "
                  f"failed {figures['failed']}")


def measure(arena, contestant, seconds, how):
    before = contestant.process.cpu_seconds()
    try:
        figures = wrk(arena.wrk, contestant.port, contestant.path, CONNECTIONS, seconds, scheme="https", options=how)
    except LoadError as error:
        arena.leave_out(contestant.name, f"tls: {error}")
        return None
    cpu = contestant.process.cpu_seconds() - before
    if not cpu or not figures["requests"]:
        return None
    figures["cpu_us"] = cpu / figures["requests"] * 1e6
    figures["per_cpu_second"] = figures["requests"] / cpu
    return figures


def start(arena, name):
    try:
        return arena.start(name, plan)
    except (OSError, subprocess.SubprocessError) as error:
        return arena.leave_out(name, f"no certificate: {error}")


def plan(name, peer, port, origin, admin):
    if name == "portway":
        started = portway(portway_tls(port, origin, admin))
    else:
        to_origin = {"/": documents.NGINX_TO_ORIGIN}
        command, made = documents.nginx(peer, f"{port} ssl", to_origin, {"origin": origin}, NGINX_TLS)
        started = Started(command, made, dict(peer.env))
    started.scheme = "https"
    return with_certificate(started)


def with_certificate(started):
    """With `cert.pem` and `key.pem` in its folder."""
    started.files.update({file: (certified() / file).read_text() for file in ("cert.pem", "key.pem")})
    return started


def certified():
    """The folder of the one certificate, made at the first use."""
    folder = WORK / "run" / "certificate"
    if not (folder / "cert.pem").exists():
        certificate(fresh_folder("certificate"))
    return folder


def portway_tls(port, origin, admin):
    head = portway_head(port, origin, admin, listens=False)
    return head + textwrap.dedent(f"""\
        listeners:
          - name: public
            bind: 127.0.0.1:{port}
            protocol: https
            tls: {{ certificates: [ {{ cert: cert.pem, key: key.pem }} ], min_version: "1.3" }}
        routes:
          - {{ name: all, prefix: /, upstream: origin }}
        """)
