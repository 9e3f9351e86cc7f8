"""What is measured: small replies, large replies, latency at half load, idle connections.

Must hold: rounds are interleaved over the contestants, so that a noisy minute hits all of them;
results keep every round, and only the report takes medians.
"""

import statistics
import time

from harness.load import Held, LoadError, paced, wrk

CONNECTIONS = 64
BIG_CONNECTIONS = 16
BIG_BODY_BYTES = 1 << 20
PACED_CONNECTIONS = 16
IDLE_CLIENTS = 10000
# The relay needs two files for each client: it could not hold them.
NOT_IDLE = ("relay",)


def small(arena, options):
    """128-byte replies at full speed."""
    return interleaved(arena, options, CONNECTIONS, lambda contestant: contestant.path)


def big(arena, options):
    """1 MiB replies at full speed."""
    results = interleaved(arena, options, BIG_CONNECTIONS, lambda contestant: contestant.big_path)
    for rounds in results["contestants"].values():
        for figures in rounds["rounds"]:
            if figures["cpu_us"]:
                figures["bytes_per_cpu_second"] = BIG_BODY_BYTES / (figures["cpu_us"] / 1e6)
    return results


def interleaved(arena, options, connections, path_of):
    results = {}
    with arena.all_started() as running:
        for contestant in running:
            warm_up(arena, contestant, path_of(contestant))
            results[contestant.name] = {"rounds": []}
        began, others = time.monotonic(), arena.others_cpu_seconds(running)
        for number in range(options.rounds):
            for contestant in running:
                figures = one_round(arena, contestant, path_of(contestant), connections, options)
                if figures:
                    results[contestant.name]["rounds"].append(figures)
                    arena.say(f"  round {number + 1} {contestant.name}: {line(figures)}")
        others = arena.others_cpu_seconds(running) - others
        for contestant in running:
            results[contestant.name]["rss_bytes"] = contestant.process.rss_bytes()
    share = others / (time.monotonic() - began)
    return {"contestants": results, "others_cpu_share": round(max(share, 0.0), 3)}


def warm_up(arena, contestant, path):
    try:
        wrk(arena.wrk, contestant.port, path, CONNECTIONS, 1)
    except LoadError as error:
        arena.leave_out(contestant.name, f"warm-up: {error}")
    contestant.empty_log()


def one_round(arena, contestant, path, connections, options):
    before, began = contestant.process.cpu_seconds(), time.monotonic()
    try:
        figures = wrk(arena.wrk, contestant.port, path, connections, options.seconds)
    except LoadError as error:
        arena.leave_out(contestant.name, str(error))
        return None
    cpu = contestant.process.cpu_seconds() - before
    figures["cpu_us"] = cpu / figures["requests"] * 1e6 if figures["requests"] else None
    figures["core_share"] = cpu / (time.monotonic() - began)
    contestant.empty_log()
    return figures


def line(figures):
    cpu = figures["cpu_us"] or 0.0
    return (f"{cpu:.1f} us CPU, {figures['rps']:.0f} requests/s, "
            f"P99 {(figures['p99_us'] or 0.0):.0f} us, failed {figures['failed']}")


def latency(arena, options, cpu_us):
    """Added latency at half load: the rate that keeps the contestant's core half busy."""
    results = {}
    with arena.all_started() as running:
        for contestant in running:
            if cpu_us.get(contestant.name):
                warm_up(arena, contestant, contestant.path)
                results[contestant.name] = {"rounds": []}
        for number in range(options.rounds):
            for contestant in running:
                if contestant.name not in results:
                    continue
                rate = 0.5e6 / cpu_us[contestant.name]
                figures = half_load(arena, contestant, rate, options)
                if figures:
                    results[contestant.name]["rounds"].append(figures)
                    arena.say(f"  round {number + 1} {contestant.name}: {rate:.0f} requests/s, "
                              f"added P99 {figures['added_p99_us']:.0f} us")
                contestant.empty_log()
    return {"contestants": results}


def half_load(arena, contestant, rate, options):
    """Through the contestant and, right after, straight to the backend at the same rate."""
    seconds = max(options.seconds / 2, 2)
    try:
        through = paced(contestant.port, contestant.path, PACED_CONNECTIONS, rate, seconds)
        direct = paced(arena.origin_port, "/", PACED_CONNECTIONS, rate, seconds)
    except LoadError as error:
        arena.leave_out(contestant.name, f"half load: {error}")
        return None
    return {
        "rate": rate, "p50_us": through["p50_us"], "p99_us": through["p99_us"],
        "direct_p50_us": direct["p50_us"], "direct_p99_us": direct["p99_us"],
        "added_p50_us": through["p50_us"] - direct["p50_us"],
        "added_p99_us": through["p99_us"] - direct["p99_us"],
    }


def idle(arena, options):
    """Memory for each open keep-alive connection that made one request and then stays silent."""
    results = {}
    for name in arena.names:
        if name in NOT_IDLE:
            continue
        contestant = arena.start(name)
        if not contestant:
            continue
        try:
            warm_up(arena, contestant, contestant.path)
            time.sleep(2)
            results[name] = hold(contestant)
            arena.say(f"  {name}: {results[name]['bytes_each']:.0f} bytes each, "
                      f"{results[name]['still_open']} of {IDLE_CLIENTS} still open")
        except LoadError as error:
            arena.leave_out(name, f"idle: {error}")
        finally:
            contestant.stop()
    return {"contestants": results}


def hold(contestant):
    before = contestant.process.rss_bytes()
    held = Held(contestant.port, contestant.path, IDLE_CLIENTS)
    try:
        time.sleep(5)  # idle buffers are freed after a moment, not at once
        after = contestant.process.rss_bytes()
        still_open = held.still_open()
    finally:
        held.close()
    return {"rss_before": before, "rss_after": after, "still_open": still_open,
            "clients": IDLE_CLIENTS, "bytes_each": (after - before) / IDLE_CLIENTS}


def median_of(rounds, key):
    """The median of a figure over rounds; None when no round has it."""
    values = [figures[key] for figures in rounds if figures.get(key) is not None]
    return statistics.median(values) if values else None
