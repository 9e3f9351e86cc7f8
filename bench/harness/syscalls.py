"""System calls for one exchange, counted by strace while wrk runs.

Must hold: only counts are taken from here. Under strace everything is many times slower, so no time
measured meanwhile means anything.
"""

import re
import shutil
import signal
import subprocess
import time

from harness.load import LoadError, wrk
from harness.scenarios import CONNECTIONS, warm_up

SECONDS = 3
# One proxy of each kind is enough to compare with.
COUNTED = ("nginx", "nginx-deb", "haproxy", "haproxy-deb", "relay", "portway", "portway-full")


def syscalls(arena, _options):
    """Calls for each request, by name; None without strace."""
    strace = shutil.which("strace")
    if strace is None:
        arena.say("  skipped: strace is not installed")
        return None
    results = {}
    for name in arena.names:
        contestant = arena.start(name) if name in COUNTED else None
        if not contestant:
            continue
        try:
            warm_up(arena, contestant, contestant.path)
            results[name] = count(arena, strace, contestant)
            calls = results[name]["per_request"]
            arena.say(f"  {name}: {sum(calls.values()):.2f} calls for a request")
        except (LoadError, OSError, subprocess.SubprocessError) as error:
            arena.leave_out(name, f"syscalls: {error}")
        finally:
            contestant.stop()
    return {"contestants": results}


def count(arena, strace, contestant):
    pids = [argument for pid in contestant.process.tree() for argument in ("-p", str(pid))]
    tracer = subprocess.Popen([strace, "-f", "-c", "-U", "calls,name", *pids],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(0.5)  # attached by then
        figures = wrk(arena.wrk, contestant.port, contestant.path, CONNECTIONS, SECONDS)
    finally:
        tracer.send_signal(signal.SIGINT)
        _, printed = tracer.communicate(timeout=20)
    calls = {}
    for number, name in re.findall(r"^\s*(\d+)\s+(\w+)$", printed, re.MULTILINE):
        if name != "total":
            calls[name] = int(number) / figures["requests"]
    if not calls:
        raise LoadError(f"strace said: {printed.strip()[-200:]}")
    # Set-up and timers make a few calls in all; they say nothing about an exchange.
    return {"per_request": {name: share for name, share in calls.items() if share >= 0.005}}
