"""HTTP/3 towards clients: small and large replies that come over HTTP/1, beside Envoy and Caddy.

Must hold: the same certificate, connections and streams for everyone, TLS from client to proxy only; a load
that does not succeed ends the contestant's part.
"""

import textwrap

from harness import documents
from harness.calls import cpu_us
from harness.contestants import Started, portway, portway_head
from harness.load import LoadError, http3load
from harness.tls import with_certificate

NAMES = ("envoy", "caddy", "portway")
# About a second each at the rates of one core.
REQUESTS_A_SECOND = 8000
LARGE_A_SECOND = 60
LARGE_MIB = 1


def http3(arena, options):
    """CPU per 128-byte reply and per MiB."""
    running = []
    try:
        names = [name for name in arena.names if name in NAMES]
        running = [started for started in (arena.start(name, plan) for name in names) if started]
        results = {contestant.name: {"rounds": []} for contestant in running}
        small, large = REQUESTS_A_SECOND * options.seconds, LARGE_A_SECOND * options.seconds
        for number in range(options.rounds + 1):
            for contestant in list(running):
                try:
                    figures = {
                        "cpu_us": cpu_us(contestant, small, lambda c: http3load(c.port, c.path, small)),
                        "mib_us": cpu_us(contestant, large * LARGE_MIB,
                                         lambda c: http3load(c.port, c.big_path, large)),
                    }
                except LoadError as error:
                    arena.leave_out(contestant.name, f"http3: {error}")
                    running.remove(contestant)
                    contestant.stop()
                    continue
                if number == 0:
                    continue  # the first is to warm up
                results[contestant.name]["rounds"].append(figures)
                arena.say(f"  round {number} {contestant.name}: {figures['cpu_us']:.1f} us a request, "
                          f"{figures['mib_us']:.0f} us a MiB")
    finally:
        for contestant in running:
            contestant.stop()
    return {"contestants": results}


def plan(name, peer, port, origin, admin):
    if name == "envoy":
        command, files = documents.envoy(peer, port, "HTTP3", {"/": "origin"}, {"origin": (origin, False)})
        started = Started(command, files, dict(peer.env))
    elif name == "caddy":
        site = f"https://localhost:{port}"
        command, files, env = documents.caddy(peer, site, "h1 h2 h3", origin, "tls cert.pem key.pem")
        started = Started(command, files, {**peer.env, **env})
    else:
        started = portway(portway_h3(port, origin, admin))
    started.scheme = "h3"
    return with_certificate(started)


def portway_h3(port, origin, admin):
    head = portway_head(port, origin, admin, listens=False)
    return head + textwrap.dedent(f"""\
        listeners:
          - name: public
            bind: 127.0.0.1:{port}
            protocol: https
            http: {{ versions: [h1, h2, h3] }}
            tls: {{ certificates: [ {{ cert: cert.pem, key: key.pem }} ] }}
        routes:
          - {{ name: all, prefix: /, upstream: origin }}
        """)
