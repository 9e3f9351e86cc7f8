"""Numbers of the report: medians over rounds, ratios in the same round, goals and whether they hold.

Must hold: a ratio is the median of the ratios inside each round, so that both sides of it saw the
same noise. Nothing is rounded here and nothing is filled in: what was not measured is None.
"""

import dataclasses
import statistics

NGINX = ("nginx", "nginx-deb")
HAPROXY = ("haproxy", "haproxy-deb")
FULL = "portway-full"
IDLE_BYTES_MAX = 12 * 1024
DECISION_NS_MAX = 50


@dataclasses.dataclass
class Goal:
    """One line of the goals: the measured value against its limit."""

    what: str
    limit: float
    value: float | None
    unit: str
    at_least: bool = False

    def holds(self):
        """True, False, or None when it was not measured."""
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def rounds_of(results, scenario, name):
    measured = results["scenarios"].get(scenario) or {}
    return (measured.get("contestants", {}).get(name) or {}).get("rounds", [])


def median(results, scenario, name, key):
    values = [figures[key] for figures in rounds_of(results, scenario, name)
              if figures.get(key) is not None]
    return statistics.median(values) if values else None


def ratio(results, scenario, name, other, key):
    """Median over the rounds of `name`'s figure by `other`'s of the same round."""
    pairs = zip(rounds_of(results, scenario, name), rounds_of(results, scenario, other))
    ratios = [left[key] / right[key] for left, right in pairs if left.get(key) and right.get(key)]
    return statistics.median(ratios) if ratios else None


def title(results, name):
    """How the report calls a contestant."""
    if name.endswith("-copying"):
        return f"{title(results, name.removesuffix('-copying'))}, copying"
    version = results["versions"].get(name)
    plain = {
        "nginx": "nginx", "nginx-deb": "nginx", "haproxy": "HAProxy", "haproxy-deb": "HAProxy",
        "envoy": "Envoy", "caddy": "Caddy", "relay": "raw TCP relay", "portway": "Portway, plain",
        "portway-full": "Portway, all policies",
    }[name]
    return f"{plain} {version}" if version else plain


def measured_names(results, scenario):
    measured = results["scenarios"].get(scenario) or {}
    return list(measured.get("contestants", {}))


def goals(results):
    """Every goal of this page, in the order of the issue."""
    return cpu_goals(results) + other_goals(results) + reload_goals(results) + micro_goals(results)


def cpu_goals(results):
    rows = []
    for names, limit in ((NGINX, 0.65), (HAPROXY, 0.75), (("relay",), 1.4)):
        for name in names:
            if rounds_of(results, "small", name):
                rows.append(Goal(
                    f"CPU per request with all policies, against {title(results, name)}",
                    limit, ratio(results, "small", FULL, name, "cpu_us"), "×"))
    return rows


def other_goals(results):
    rows = [Goal("added P99 at half load, all policies", 300.0,
                 median(results, "latency", FULL, "added_p99_us"), "µs")]
    for name in NGINX:
        if rounds_of(results, "big", name):
            rows.append(Goal(
                f"1 MiB bodies, bytes per CPU second, against {title(results, name)}", 1.0,
                ratio(results, "big", "portway", name, "bytes_per_cpu_second"), "×", at_least=True))
    for name in NGINX:
        if rounds_of(results, "tls", name):
            against = f"per CPU second, against {title(results, name)}"
            rows.append(Goal(f"TLS requests {against}", 1.0,
                             ratio(results, "tls", "portway", name, "per_cpu_second"), "×", at_least=True))
            rows.append(Goal(f"full TLS handshakes {against}", 1.0,
                             handshakes_ratio(results, name), "×", at_least=True))
    for name, limit in (*((name, 0.8) for name in NGINX), ("envoy", 0.5)):
        if rounds_of(results, "calls", name):
            for what, key in (("HTTP/2 to HTTP/1, CPU per request", "to_h1_us"), ("gRPC unary, CPU per call", "to_h2_us")):
                rows.append(Goal(f"{what}, against {title(results, name)}", limit,
                                 ratio(results, "calls", "portway", name, key), "×"))
    for name in HAPROXY:
        limit = best_tcp(results, name)
        if limit:
            rows.append(Goal(
                f"TCP, bytes per CPU second, against {title(results, name)}", 1.0,
                ratio(results, "tcp", "portway", limit, "bytes_per_cpu_second"), "×", at_least=True))
    idle = results["scenarios"].get("idle") or {}
    held = idle.get("contestants", {}).get("portway") or {}
    rows.append(Goal("memory of an idle keep-alive connection (of 10,000)", IDLE_BYTES_MAX,
                     held.get("bytes_each"), "B"))
    return rows


def handshakes_ratio(results, other):
    """Median over the rounds of Portway's handshakes per CPU second by those of `other`."""
    measured = results["scenarios"]["tls"]["contestants"]
    pairs = zip(*[(measured.get(name) or {}).get("handshakes", []) for name in ("portway", other)])
    ratios = [ours["per_cpu_second"] / theirs["per_cpu_second"] for ours, theirs in pairs]
    return statistics.median(ratios) if ratios else None


def best_tcp(results, name):
    """The better of a peer's two ways of passing bytes."""
    ways = [way for way in (name, f"{name}-copying") if rounds_of(results, "tcp", way)]
    return max(ways, default=None,
               key=lambda way: median(results, "tcp", way, "bytes_per_cpu_second") or 0)


def reload_goals(results):
    measured = results["scenarios"].get("reload") or {}
    loads = measured.get("loads", {})
    failed = sum(load["reloading"]["failed"] for load in loads.values()) if loads else None
    closed = measured["held"] - measured["held_open"] if measured else None
    reported = measured.get("reported_ms") or measured.get("visible_ms")
    paced = loads.get("paced")
    moved = paced["reloading"]["p99_us"] - paced["quiet"]["p99_us"] if paced else None
    return [
        Goal("reload of 10,000 routes, median", 100.0,
             statistics.median(reported) if reported else None, "ms"),
        Goal("failed requests during the reloads", 0, failed, ""),
        Goal("connections closed by the reloads", 0, closed, ""),
        # "Unmoved" needs a number: less than the added latency allowed at half load.
        Goal("P99 moved by reloads at a fixed rate", 300.0, moved, "µs"),
    ]


def micro_goals(results):
    measured = results["scenarios"].get("micro") or {}
    benches = measured.get("benches", {})
    rows = [
        Goal("route find, 10,000 routes, slower shape", 250.0,
             slowest(benches, "route_find", "10000"), "ns"),
        Goal("memory of a route, of 10,000", 1024, measured.get("facts", {}).get("route_bytes_each"),
             "B"),
        Goal("limiter decision, slowest (one count, or 1 to 1,000,000 client addresses)", DECISION_NS_MAX, slowest(benches, "limiter"), "ns"),
        Goal("breaker decision and verdict, slowest", DECISION_NS_MAX, slowest(benches, "breaker"), "ns"),
        Goal("balancer pick, slowest policy (10 and 100 targets)", DECISION_NS_MAX, slowest(benches, "balance"), "ns"),
    ]
    compiled = slowest(benches, "config_compile", "10000")
    rows.append(Goal("config of 10,000 routes compiles", 100.0,
                     compiled / 1e6 if compiled is not None else None, "ms"))
    return rows


def slowest(benches, group, part=""):
    """The slowest bench of a group whose id contains `part`."""
    found = [figures["ns"] for name, figures in benches.items()
             if name.split("/")[0] == group and part in name]
    return max(found) if found else None
