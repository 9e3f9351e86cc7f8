"""Clients that look at every octet, over every protocol, and the target that they ask (bench/src/bin/octets).

Must hold: one process for each protocol; a fault of one is a fault of the whole. Its target never dies: it
breaks off and fails first tries itself, and the clients know which.
"""

import json
import subprocess

from harness.paths import RELEASE

# Protocol, which listener it asks, streams on each connection.
LOADS = [
    ("h1", "plain", 1),
    ("h1-tls", "tls", 1),
    ("h2", "plain", 8),
    ("h2-tls", "tls", 8),
    ("h3", "tls", 8),
    ("pipelined", "plain", 1),
    ("websocket", "plain", 1),
    ("tcp", "tcp", 1),
]
# To the target over HTTP/1, over HTTP/2, and through the gateway once more, over HTTP/2 with TLS.
PREFIXES = ("/one", "/two", "/self/one")
BINARY = RELEASE / "octets"


def serve(port):
    return subprocess.Popen([BINARY, "serve", str(port)])


class Octets:
    """The loads, until they end by themselves; faults appear on stderr as they are found."""

    def __init__(self, ports, connections, seconds):
        self.running = [
            (f"{protocol} {prefix}", start(protocol, ports[listener], prefix, connections, streams, seconds))
            for protocol, listener, streams in LOADS for prefix in PREFIXES
        ]

    def stop(self):
        for _, process in self.running:
            process.kill()
            process.wait()

    def finish(self, patience):
        """What each load counted; a load that does not end within so many seconds is a fault."""
        counts = {}
        for name, process in self.running:
            try:
                printed, _ = process.communicate(timeout=patience)
                counts[name] = json.loads(printed)
            except (subprocess.TimeoutExpired, ValueError):
                process.kill()
                counts[name] = {"faults": 1, "ended": False}
        return counts


def start(protocol, port, prefix, connections, streams, seconds):
    command = [BINARY, "ask", protocol, port, prefix, connections, streams, seconds]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
