"""Load: wrk for throughput, our paced generator for latency below saturation, and held connections."""

import json
import re
import socket
import subprocess

from harness.paths import RELEASE
from harness.process import LOAD_CORE

UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}


class LoadError(Exception):
    """A load run that gave no usable figures."""


def wrk(binary, port, path, connections, seconds, **how):
    """One run; requests, requests per second, P50 and P99 in microseconds, failures, seconds."""
    command = start_wrk(binary, port, path, connections, seconds, **how)
    return finish_wrk(command, seconds)


def start_wrk(binary, port, path, connections, seconds, scheme="http", options=()):
    return subprocess.Popen(
        ["taskset", "-c", str(LOAD_CORE), binary, "-t1", f"-c{connections}", f"-d{seconds}s",
         "--latency", "--timeout", "10s", *map(str, options), f"{scheme}://127.0.0.1:{port}{path}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )


def finish_wrk(command, seconds):
    try:
        printed, _ = command.communicate(timeout=seconds + 60)
    except subprocess.TimeoutExpired as error:
        command.kill()
        command.communicate()
        raise LoadError("wrk did not end") from error
    return parse_wrk(printed)


def h2load(binary, port, path, count, scheme="http", options=()):
    """So many requests over HTTP/2, eight connections with sixteen streams each; their rate a second."""
    done = subprocess.run(
        ["taskset", "-c", str(LOAD_CORE), binary, "-c8", "-m16", f"-n{count}", *map(str, options),
         f"{scheme}://127.0.0.1:{port}{path}"],
        capture_output=True, text=True, timeout=300,
    )
    rate = re.search(r"([\d.]+) req/s", done.stdout)
    if f"{count} succeeded" not in done.stdout or not rate:
        raise LoadError(f"h2load said: {(done.stdout + done.stderr).strip()[-300:]}")
    return float(rate.group(1))


def http3load(port, path, count):
    """So many requests over HTTP/3, eight connections with sixteen streams each."""
    done = subprocess.run(
        ["taskset", "-c", str(LOAD_CORE), str(RELEASE / "http3"), str(port), path, "8", "16", str(count)],
        capture_output=True, text=True, timeout=300,
    )
    if done.returncode != 0:
        raise LoadError((done.stdout + done.stderr).strip()[-300:])


def parse_wrk(printed):
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m),", printed)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    if not total or not rate:
        raise LoadError(f"wrk said: {printed.strip()[-300:]}")
    failed = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", printed))
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", printed)
    if errors:
        failed += sum(int(number) for number in errors.groups())
    return {
        "requests": int(total.group(1)),
        "seconds": float(total.group(2)) * UNITS[total.group(3)] / 1e6,
        "rps": float(rate.group(1)),
        "p50_us": percentile(printed, "50%"),
        "p99_us": percentile(printed, "99%"),
        "failed": failed,
    }


def percentile(printed, label):
    found = re.search(rf"^\s+{label}\s+([\d.]+)(us|ms|s|m)$", printed, re.MULTILINE)
    return float(found.group(1)) * UNITS[found.group(2)] if found else None


def paced(port, path, connections, rate, seconds):
    """A fixed rate; requests, P50 and P99 in microseconds."""
    return finish_paced(start_paced(port, path, connections, rate, seconds), seconds)


def start_paced(port, path, connections, rate, seconds):
    return subprocess.Popen(
        ["taskset", "-c", str(LOAD_CORE), str(RELEASE / "paced"), str(port), path,
         str(connections), f"{rate:.0f}", str(seconds)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )


def finish_paced(command, seconds):
    try:
        printed, _ = command.communicate(timeout=seconds + 60)
    except subprocess.TimeoutExpired as error:
        command.kill()
        command.communicate()
        raise LoadError("paced did not end") from error
    if command.returncode != 0:
        raise LoadError(printed.strip()[-300:])
    return {**json.loads(printed), "failed": 0}  # paced stops at the first failure


class Held:
    """Keep-alive connections that each made a request and then stay silent."""

    def __init__(self, port, path, count):
        self.request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        self.sockets = []
        try:
            for _ in range(count):
                held = socket.create_connection(("127.0.0.1", port), timeout=10)
                held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.sockets.append(held)
                if not self.ask(held):
                    raise LoadError(f"no answer on connection {len(self.sockets)}")
        except (OSError, LoadError) as error:
            count = len(self.sockets)
            self.close()
            raise LoadError(f"stopped at {count} connections: {error}") from error

    def ask(self, held):
        """One exchange; false when the other side is gone or answered something else."""
        try:
            held.sendall(self.request)
            answer = b""
            while (end := answer.find(b"\r\n\r\n")) < 0:
                part = held.recv(16384)
                if not part:
                    return False
                answer += part
            head = answer[:end].decode("latin-1").lower()
            length = re.search(r"content-length: *(\d+)", head)
            left = (int(length.group(1)) if length else 0) - (len(answer) - end - 4)
            while left > 0:
                part = held.recv(left)
                if not part:
                    return False
                left -= len(part)
            return head.startswith("http/1.1 200")
        except OSError:
            return False

    def still_open(self):
        """How many answer another request on the same connection."""
        return sum(1 for held in self.sockets if self.ask(held))

    def close(self):
        for held in self.sockets:
            held.close()
        self.sockets = []
