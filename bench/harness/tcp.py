"""Connections passed as they are: large and small replies through a TCP listener, beside HAProxy in TCP mode.

Must hold: the same backend and load as the HTTP scenarios, so that what is saved by not parsing shows;
HAProxy runs both ways, copying and splicing, and is compared at its better one.
"""

import textwrap

from harness import documents
from harness.contestants import Started, portway
from harness.documents import IDLE_SECONDS
from harness.paths import RELEASE
from harness.scenarios import BIG_BODY_BYTES, BIG_CONNECTIONS, CONNECTIONS, line, one_round, warm_up

COPYING = "-copying"
PEERS = ("haproxy", "haproxy-deb")


def tcp(arena, options):
    """1 MiB and 128-byte replies at full speed, over connections that stay open."""
    names = [name for name in arena.names if name in ("portway", "relay", *PEERS)]
    names += [name + COPYING for name in names if name in PEERS]
    running = [started for started in (start(arena, name) for name in names) if started]
    results = {contestant.name: {"rounds": [], "small": []} for contestant in running}
    try:
        for contestant in running:
            warm_up(arena, contestant, contestant.path)
        for number in range(options.rounds):
            for contestant in running:
                measure(arena, contestant, number, results[contestant.name], options)
    finally:
        for contestant in running:
            contestant.stop()
    return {"contestants": results}


def start(arena, name):
    peer = name.removesuffix(COPYING)
    if name != peer:
        arena.peers[name] = arena.peers.get(peer)
    return arena.start(name, plan)


def measure(arena, contestant, number, results, options):
    big = one_round(arena, contestant, contestant.big_path, BIG_CONNECTIONS, options)
    if big and big["cpu_us"]:
        big["bytes_per_cpu_second"] = BIG_BODY_BYTES / (big["cpu_us"] / 1e6)
        results["rounds"].append(big)
        rate = big["bytes_per_cpu_second"] / (1 << 30)
        arena.say(f"  round {number + 1} {contestant.name}: {rate:.2f} GiB per CPU second")
    small = one_round(arena, contestant, contestant.path, CONNECTIONS, options)
    if small:
        results["small"].append(small)
        arena.say(f"  round {number + 1} {contestant.name}: {line(small)}")


def plan(name, peer, port, origin, admin):
    if name == "relay":
        return Started([RELEASE / "relay", port, origin], {}, {})
    if name == "portway":
        return portway(portway_tcp(port, origin, admin))
    splice = "" if name.endswith(COPYING) else "option splice-auto\n"
    command, files = documents.haproxy(peer, "tcp", port, origin, splice)
    return Started(command, files, peer.env)


def portway_tcp(port, origin, admin):
    return textwrap.dedent(f"""\
        server:
          workers: 1
        admin:
          bind: 127.0.0.1:{admin}
        listeners:
          - {{ name: public, bind: "127.0.0.1:{port}", protocol: tcp, upstream: origin }}
        upstreams:
          - name: origin
            targets:
              - {{ addr: "tcp://127.0.0.1:{origin}" }}
            timeouts: {{ tunnel: {IDLE_SECONDS}s }}
        """)
