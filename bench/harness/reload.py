"""Reload under load: a document of 10,000 routes replaced again and again while requests run.

Must hold: every reload really changes the document (a route answers with its generation), and the
time of a reload is seen from outside: from the signal to the first answer of the new document.
Portway may use both cores here, as it would in use: compiling is background work.
"""

import json
import os
import signal
import statistics
import subprocess
import time
import urllib.request

from harness import contestants
from harness.load import Held, LoadError, finish_wrk, start_paced, finish_paced, start_wrk
from harness.process import LOAD_CORE, PROXY_CORE

ROUTES = 10000
RELOADS = 20
QUICK_RELOADS = 5
HELD_CLIENTS = 200
PACED_RATE = 10000
PACED_CONNECTIONS = 16
# A reload that takes longer is a failure of the scenario, not a slow figure.
RELOAD_SECONDS_MAX = 10.0
DURATION_KEYS = ("duration_ms", "took_ms", "elapsed_ms", "reload_ms")


def reload(arena, options):
    """Figures without and with reloads, or None when Portway cannot do it yet."""
    if "portway" not in arena.names and "portway-full" not in arena.names:
        return None
    contestant = arena.start("portway", first_document)
    if not contestant:
        return None
    os.sched_setaffinity(contestant.process.child.pid, {PROXY_CORE, LOAD_CORE})
    reloads = RELOADS if options.rounds > 2 else QUICK_RELOADS
    seconds = max(options.seconds, reloads // 2)
    try:
        held = Held(contestant.port, "/", HELD_CLIENTS)
        driver = Driver(arena, contestant)
        driver.reload_once()
        result = {"routes": ROUTES, "reloads": reloads, "loads": {}}
        result["loads"]["saturated"] = driver.compare(saturated(arena, contestant), seconds, reloads)
        result["loads"]["paced"] = driver.compare(half_load(contestant), seconds, reloads)
        result["visible_ms"] = driver.visible_ms
        result["reported_ms"] = driver.reported_ms
        result["held"] = HELD_CLIENTS
        result["held_open"] = held.still_open()
        held.close()
    except (LoadError, OSError) as error:
        arena.leave_out("reload", str(error))
        return None
    finally:
        contestant.stop()
    arena.say(f"  reload: median {statistics.median(result['visible_ms']):.0f} ms from the signal, "
              f"{result['held_open']} of {HELD_CLIENTS} connections still open")
    return result


def first_document(_name, _peer, port, origin, admin):
    return contestants.portway(contestants.portway_reload(port, origin, admin, ROUTES, 0))


def saturated(arena, contestant):
    """wrk at full speed: (start, finish)."""
    return (lambda seconds: start_wrk(arena.wrk, contestant.port, "/", 64, seconds), finish_wrk)


def half_load(contestant):
    """A fixed rate well below saturation, where a longer P99 has no other cause."""
    return (lambda seconds: start_paced(contestant.port, "/", PACED_CONNECTIONS, PACED_RATE, seconds),
            finish_paced)


class Driver:
    """Replaces the document and watches it become live."""

    def __init__(self, arena, contestant):
        self.contestant = contestant
        self.origin_port = arena.origin_port
        self.document = contestant.process.output.parent / "portway.yaml"
        self.generation = 0
        self.prepared = []
        self.visible_ms = []
        self.reported_ms = []

    def compare(self, load, seconds, reloads):
        """The same load without and then with reloads."""
        start, finish = load
        # Before the clock runs: 10,000 routes in Python cost more than the reload that they are for.
        self.prepared = [self.text(self.generation + n) for n in range(reloads, 0, -1)]
        quiet = finish(start(seconds), seconds)
        running = start(seconds)
        try:
            gap = seconds / (reloads + 1)
            for _ in range(reloads):
                began = time.monotonic()
                self.reload_once()
                time.sleep(max(0.0, gap - (time.monotonic() - began)))
        except (LoadError, OSError):
            stop(running)
            raise
        return {"quiet": quiet, "reloading": finish(running, seconds)}

    def reload_once(self):
        text = self.prepared.pop() if self.prepared else self.text(self.generation + 1)
        self.generation += 1
        fresh = self.document.with_suffix(".new")
        fresh.write_text(text)
        os.replace(fresh, self.document)
        began = time.monotonic()
        self.contestant.process.signal(signal.SIGHUP)
        while self.live() != self.generation:
            if time.monotonic() - began > RELOAD_SECONDS_MAX:
                raise LoadError(f"generation {self.generation} did not become live")
            time.sleep(0.002)
        self.visible_ms.append((time.monotonic() - began) * 1e3)
        reported = self.reported()
        if reported is not None:
            self.reported_ms.append(reported)

    def text(self, generation):
        return contestants.portway_reload(
            self.contestant.port, self.origin_port, self.contestant.admin, ROUTES, generation)

    def live(self):
        address = f"http://127.0.0.1:{self.contestant.port}/generation"
        with urllib.request.urlopen(address, timeout=5) as reply:
            return int(reply.read())

    def reported(self):
        """The duration the gateway itself reports; None when it does not."""
        address = f"http://127.0.0.1:{self.contestant.admin}/config/status"
        try:
            with urllib.request.urlopen(address, timeout=5) as reply:
                return find_number(json.load(reply))
        except (OSError, ValueError):
            return None


def find_number(value):
    if isinstance(value, dict):
        for key in DURATION_KEYS:
            if isinstance(value.get(key), (int, float)):
                return float(value[key])
        for inner in value.values():
            found = find_number(inner)
            if found is not None:
                return found
    return None


def stop(command):
    command.terminate()
    try:
        command.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        command.kill()
        command.communicate()
