"""Command line of the harness: options, order of scenarios, where results go."""

import argparse
import datetime
import json
import subprocess
import sys

from harness import guided, machine, peers, report, scenarios
from harness.calls import calls
from harness.http3 import http3
from harness.micro import micro
from harness.reload import reload
from harness.syscalls import syscalls
from harness.tcp import tcp
from harness.tls import tls
from harness.arena import Arena
from harness.paths import PAGE, PROJECT, RESULTS, WORK
from harness.process import StartError

CONTESTANTS = ("nginx", "nginx-deb", "haproxy", "haproxy-deb", "envoy", "caddy",
               "relay", "portway", "portway-full")
SCENARIOS = ("small", "big", "latency", "idle", "reload", "syscalls", "micro", "tcp", "tls", "calls", "http3")


def options_of(arguments):
    parser = argparse.ArgumentParser(
        prog="bench/run",
        description="Measures Portway, its peers and a raw relay side by side.",
        epilog="Contestants: " + ", ".join(CONTESTANTS) + ". Scenarios: " + ", ".join(SCENARIOS) + ".",
    )
    parser.add_argument("--quick", action="store_true", help="2 rounds of 3 s instead of 5 of 6 s")
    parser.add_argument("--rounds", type=int, help="interleaved rounds")
    parser.add_argument("--seconds", type=int, help="seconds of load in a round")
    parser.add_argument("--only", help="contestants, comma between")
    parser.add_argument("--scenarios", help="scenarios, comma between")
    parser.add_argument("--no-build", action="store_true", help="use the binaries as they are")
    parser.add_argument("--write", action="store_true",
                        help="write docs/performance.md also after a quick or partial run")
    parser.add_argument("--add", action="store_true",
                        help="keep the other scenarios of the last run; the page says which ran apart")
    parser.add_argument("--from", dest="stored", metavar="JSON",
                        help="no run: make the page from stored results")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (3 if options.quick else 6)
    options.only = chosen(parser, options.only, CONTESTANTS)
    options.scenarios = chosen(parser, options.scenarios, SCENARIOS)
    return options


def chosen(parser, text, known):
    if not text:
        return list(known)
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    return [name for name in known if name in wanted]


def say(text):
    print(text, flush=True)


def main(arguments):
    options = options_of(arguments)
    if options.stored:
        with open(options.stored, encoding="utf-8") as stored:
            results = json.load(stored)
        write_page(results)
        return 0
    WORK.mkdir(parents=True, exist_ok=True)
    if not options.no_build:
        build(options)
    try:
        results = run(options)
    except (LookupError, StartError) as error:
        say(f"bench/run: {error}")
        return 2
    say("")
    say(report.table(results))
    say(f"results: {RESULTS}")
    if results["complete"] or options.write:
        write_page(results)
    else:
        say("a quick or partial run: docs/performance.md is left as it is (--write overrides)")
    return 0


def write_page(results):
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(report.page(results), encoding="utf-8")
    say(f"wrote {PAGE.relative_to(PROJECT)}")


def build(options):
    """What the run starts; without `portway` in the run it is not built."""
    try:
        if any(name.startswith("portway") for name in options.only):
            guided.build(say)
        else:
            guided.programs(say)
    except (guided.BuildError, StartError, LookupError) as error:
        sys.exit(f"bench/run: {error}")


def run(options):
    wrk = peers.find_wrk(say)
    found, missing = peers.find(options.only, say)
    names = [name for name in options.only if name not in missing]
    results = {
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        "options": {"rounds": options.rounds, "seconds": options.seconds},
        "left_out": {},
        "machine": machine.facts(),
        "versions": {name: peer.version for name, peer in found.items()},
        "sources": {name: peers.describe(name) for name in found},
        "notes": {name: peer.note for name, peer in found.items() if peer.note},
        "missing": missing,
        "scenarios": {},
        "apart": {},
    }
    this_run = {"commit": results["commit"], **results["options"]}
    if options.add:
        take_up(results)
    first_run = {"commit": results["commit"], **results["options"]}
    arena = Arena(names, found, wrk, say)
    try:
        for scenario in options.scenarios:
            say(f"scenario {scenario}")
            outcome = one_scenario(scenario, arena, options, results)
            if outcome is not None:
                results["scenarios"][scenario] = outcome
                results["apart"].pop(scenario, None)
                if this_run != first_run:
                    results["apart"][scenario] = this_run
            results["left_out"].update(arena.left_out)
            results["complete"] = not options.quick and not results["apart"] \
                and set(results["scenarios"]) == set(SCENARIOS) \
                and set(names) | set(missing) == set(CONTESTANTS)
            # After each one: a run that is cut short goes on with `--add`.
            RESULTS.write_text(json.dumps(results, indent=1))
    finally:
        arena.close()
    return results


def take_up(results):
    """Puts these into the stored results: those keep their commit, and scenarios that ran apart theirs."""
    try:
        stored = json.loads(RESULTS.read_text())
    except FileNotFoundError:
        return
    if stored["machine"] != results["machine"]:
        raise LookupError(f"--add: {RESULTS} is of another machine: {stored['machine']}")
    for name in ("versions", "sources", "notes", "left_out", "scenarios", "apart"):
        results[name] = {**stored[name], **results[name]}
    for name in ("date", "commit", "options"):
        results[name] = stored[name]



def one_scenario(scenario, arena, options, results):
    simple = {"small": scenarios.small, "big": scenarios.big, "idle": scenarios.idle,
              "reload": reload, "syscalls": syscalls, "micro": micro, "tcp": tcp, "tls": tls, "calls": calls, "http3": http3}
    if scenario in simple:
        return simple[scenario](arena, options)
    if scenario == "latency":
        measured = results["scenarios"].get("small")
        if not measured:
            say("  skipped: half load is known only after scenario small")
            return None
        cpu_us = {name: scenarios.median_of(entry["rounds"], "cpu_us")
                  for name, entry in measured["contestants"].items()}
        return scenarios.latency(arena, options, cpu_us)
    return None


def commit():
    """The commit of the project that was measured, `+` when the tree had changes."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, check=True,
                              capture_output=True, text=True).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"],
                                 cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head + ("+" if changed.strip() else "")
