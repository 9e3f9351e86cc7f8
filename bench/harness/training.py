"""The training run of the shipped build: everything that Portway moves, in about the shares it moves it.

Must hold: all of it really goes through the gateway (a load that failed ends the run), so that no
protocol is compiled as something that never happens. Nothing here is measured.
"""

import pathlib
import shutil
import signal
import subprocess
import textwrap
import time

from harness import contestants, peers
from harness.arena import Arena, fresh_folder
from harness.load import LoadError, h2load, http3load, wrk
from harness.paths import SHARED_MEMORY, free_port
from harness.process import PROXY_CORE, Process, StartError

SECONDS = 3
ROUTES = 2000
# What h2load asks for in a run.
CALLS = 60000

POSTS = """\
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = string.rep("x", 1024)
"""


def run(binary, counts, say):
    """Leaves the counts of all work in the folder `counts`."""
    counts.mkdir(parents=True, exist_ok=True)
    h2load_binary = peers.find_h2load(say)
    arena = Arena(["portway", "portway-full"], {}, peers.find_wrk(say), say)
    try:
        say("training: small and large replies, plain")
        with started(arena, binary, counts, "portway") as plain:
            small_and_large(arena, plain, "/", "/big")
            reload(plain)
        say("training: all policies")
        with started(arena, binary, counts, "portway-full") as full:
            small_and_large(arena, full, "/api/v1/users/42", "/big/file")
            load(arena.wrk, full.port, "/nowhere", SECONDS / 3, refused=True)
        say("training: TLS, HTTP/2, gRPC's way, HTTP/3, TCP")
        with started(arena, binary, counts, "protocols") as every:
            protocols(arena, every, h2load_binary)
    except LoadError as error:
        raise StartError(f"the training run failed: {error}") from error
    finally:
        arena.close()


def small_and_large(arena, gateway, path, large_path):
    load(arena.wrk, gateway.port, path, SECONDS * 2)
    load(arena.wrk, gateway.port, large_path, SECONDS, connections=16)
    load(arena.wrk, gateway.port, path, SECONDS / 3, options=["-H", "Connection: close"])
    script = gateway.folder / "posts.lua"
    script.write_text(POSTS)
    load(arena.wrk, gateway.port, path, SECONDS, options=["-s", script])


def protocols(arena, gateway, h2load_binary):
    ports = gateway.ports
    load(arena.wrk, ports["tls"], "/", SECONDS, scheme="https")
    load(arena.wrk, ports["tls"], "/", SECONDS / 3, scheme="https", options=["-H", "Connection: close"])
    load(arena.wrk, ports["tls"], "/big", SECONDS, scheme="https", connections=16)
    load(arena.wrk, ports["tcp"], "/", SECONDS)
    load(arena.wrk, ports["tcp"], "/big", SECONDS, connections=16)
    load(arena.wrk, ports["onward"], "/", SECONDS)
    h2load(h2load_binary, gateway.port, "/", CALLS)
    h2load(h2load_binary, ports["onward"], "/", CALLS)
    h2load(h2load_binary, ports["tls"], "/", CALLS, scheme="https")
    h2load(h2load_binary, gateway.port, "/big", CALLS // 100)
    http3load(ports["tls"], "/", CALLS // 2)
    http3load(ports["tls"], "/big", CALLS // 200)


def load(binary, port, path, seconds, connections=64, scheme="http", options=(), refused=False):
    """wrk with at least one good reply, or refusals only if that is what is trained."""
    seconds = max(1, round(seconds))
    done = wrk(binary, port, path, connections, seconds, scheme=scheme, options=options)
    if done["requests"] == 0 or (done["failed"] and not refused):
        raise LoadError(f"{scheme} {path}: {done['failed']} of {done['requests']} requests failed")


def reload(gateway):
    """A few documents of many routes: parser, compiler and swap."""
    file = gateway.folder / "portway.yaml"
    for generation in range(3):
        file.write_text(contestants.portway_reload(
            gateway.port, gateway.origin, gateway.admin, ROUTES, generation))
        gateway.process.signal(signal.SIGHUP)
        time.sleep(1)


def started(arena, binary, counts, name):
    return Gateway(arena, binary, counts, name)


class Gateway:
    """The counting build at work; it writes its counts when it ends in good order."""

    def __init__(self, arena, binary, counts, name):
        self.origin = arena.origin_port
        self.port, self.admin = free_port(), free_port()
        self.folder = fresh_folder(f"training-{name}")
        self.ports = {}
        self.log = SHARED_MEMORY / f"portway-bench-{self.port}.log"
        (self.folder / "portway.yaml").write_text(self.document(name))
        command = [binary, "run", "-c", "portway.yaml"]
        environment = {"LLVM_PROFILE_FILE": str(counts / "%p.profraw")}
        self.process = Process(name, command, PROXY_CORE, self.folder, environment)

    def document(self, name):
        if name == "portway":
            return contestants.portway_plain(self.port, self.origin, self.admin)
        if name == "portway-full":
            return contestants.portway_full(self.port, self.origin, self.admin, self.log)
        self.ports = {each: free_port() for each in ("tls", "tcp", "onward")}
        certificate(self.folder)
        return document_of_protocols(self.port, self.admin, self.origin, self.ports)

    def __enter__(self):
        self.process.wait_for(self.port)
        return self

    def __exit__(self, kind, error, trace):
        self.process.stop()
        pathlib.Path(self.log).unlink(missing_ok=True)


def certificate(folder):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-days", "30", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )


def document_of_protocols(port, admin, origin, ports):
    """One gateway with every listener; `onward` speaks HTTP/2 to the plain one."""
    return textwrap.dedent(f"""\
        server: {{ workers: 1 }}
        admin: {{ bind: "127.0.0.1:{admin}" }}
        listeners:
          - {{ name: plain, bind: "127.0.0.1:{port}", protocol: http }}
          - {{ name: onward, bind: "127.0.0.1:{ports['onward']}", protocol: http }}
          - name: tls
            bind: 127.0.0.1:{ports['tls']}
            protocol: https
            http: {{ versions: [h1, h2, h3] }}
            tls: {{ certificates: [ {{ cert: cert.pem, key: key.pem }} ] }}
          - {{ name: tcp, bind: "127.0.0.1:{ports['tcp']}", protocol: tcp, upstream: bytes }}
        upstreams:
          - {{ name: origin, targets: [ {{ addr: "http://127.0.0.1:{origin}" }} ] }}
          - {{ name: bytes, targets: [ {{ addr: "tcp://127.0.0.1:{origin}" }} ] }}
          - {{ name: h2, protocol: h2c, targets: [ {{ addr: "http://127.0.0.1:{port}" }} ] }}
        routes:
          - {{ name: onward, listeners: [onward], prefix: /, upstream: h2 }}
          - {{ name: all, prefix: /, upstream: origin }}
        """)
