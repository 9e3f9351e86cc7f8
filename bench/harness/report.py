"""Turns results into the console table and docs/performance.md.

Must hold: the page comes only from the stored results, so that it can be made again from them; it
names no host and no path of a machine.
"""

import statistics

from harness import figures
from harness.figures import median, ratio, title
from harness.words import HOW, INTRO, NOISE, REPEAT

SMALL = "small"
NOTHING = "–"
NOISY_SHARE = 0.05


def table(results):
    """What a person at the terminal wants: the figures and the goals."""
    parts = []
    for heading, headers, rows in tables(results):
        parts.append(heading)
        parts.append(aligned([headers, *rows]))
        parts.append("")
    return "\n".join(parts)


def page(results):
    """The whole of docs/performance.md."""
    parts = ["# Performance", "", INTRO, ""]
    noisy = noise(results)
    if noisy:
        parts += [noisy, ""]
    for heading, headers, rows in tables(results):
        parts += [f"## {heading}", "", markdown(headers, rows), ""]
        if heading in HOW:
            parts += [HOW[heading], ""]
    parts += ["## What was run", "", ran(results), "", "## How to repeat it", "", REPEAT, ""]
    return "\n".join(parts)


def tables(results):
    """Heading, headers and rows of every table that has rows."""
    makers = (goal_table, small_table, big_table, tcp_table, tls_table, calls_table, http3_table, latency_table,
              idle_table, reload_table, syscall_table, micro_table)
    return [made for made in (maker(results) for maker in makers) if made[2]]


def goal_table(results):
    words = {True: "holds", False: "**does not hold**", None: "not measured"}
    rows = []
    for goal in figures.goals(results):
        sign = "≥" if goal.at_least else "≤"
        rows.append([goal.what, f"{sign} {number(goal.limit)} {goal.unit}".strip(),
                     NOTHING if goal.value is None else f"{number(goal.value)} {goal.unit}".strip(),
                     words[goal.holds()]])
    return "Goals", ["what", "goal", "measured", ""], rows


def small_table(results):
    names = figures.measured_names(results, SMALL)
    against = [name for name in (*figures.NGINX, *figures.HAPROXY, "relay") if name in names]
    headers = ["", "CPU µs/request", "requests/s", "P50 µs", "P99 µs", "memory MiB", "failed",
               *[f"CPU ÷ {title(results, name)}" for name in against]]
    rows = []
    for name in names:
        entry = results["scenarios"][SMALL]["contestants"][name]
        failed = sum(done["failed"] for done in entry["rounds"])
        rows.append([title(results, name), number(median(results, SMALL, name, "cpu_us")),
                     *[number(median(results, SMALL, name, key)) for key in ("rps", "p50_us", "p99_us")],
                     number(entry.get("rss_bytes", 0) / (1 << 20)), str(failed),
                     *[number(ratio(results, SMALL, name, other, "cpu_us")) for other in against]])
    return "Small replies", headers, rows


def big_table(results):
    rows = []
    for name in figures.measured_names(results, "big"):
        rate = median(results, "big", name, "bytes_per_cpu_second")
        rows.append([title(results, name), number(rate and rate / (1 << 30)),
                     number(median(results, "big", name, "cpu_us")),
                     number(median(results, "big", name, "rps")),
                     *[number(ratio(results, "big", name, other, "bytes_per_cpu_second"))
                       for other in figures.NGINX]])
    against = [f"÷ {title(results, other)}" for other in figures.NGINX]
    return "1 MiB replies", ["", "GiB per CPU second", "CPU µs/request", "requests/s", *against], rows


def tcp_table(results):
    measured = (results["scenarios"].get("tcp") or {}).get("contestants", {})
    rows = []
    for name, entry in measured.items():
        rate = median(results, "tcp", name, "bytes_per_cpu_second")
        small = [done["cpu_us"] for done in entry["small"] if done["cpu_us"]]
        rows.append([title(results, name).replace(", plain", ""), number(rate and rate / (1 << 30)),
                     number(median(results, "tcp", name, "rps")),
                     number(statistics.median(small) if small else None)])
    headers = ["", "1 MiB replies: GiB per CPU second", "requests/s", "128-byte replies: CPU µs/request"]
    return "TCP", headers, rows


def tls_table(results):
    measured = (results["scenarios"].get("tls") or {}).get("contestants", {})
    rows = []
    for name, entry in measured.items():
        shaken = [done["per_cpu_second"] for done in entry["handshakes"]]
        rows.append([title(results, name).replace(", plain", ""),
                     number(median(results, "tls", name, "per_cpu_second")),
                     number(median(results, "tls", name, "cpu_us")),
                     number(statistics.median(shaken) if shaken else None)])
    headers = ["", "requests per CPU second", "CPU µs/request", "full handshakes per CPU second"]
    return "TLS", headers, rows


def calls_table(results):
    measured = (results["scenarios"].get("calls") or {}).get("contestants", {})
    rows = []
    for name in measured:
        plain = title(results, name).replace(", plain", "")
        rows.append([plain, number(median(results, "calls", name, "to_h1_us")),
                     number(median(results, "calls", name, "to_h2_us"))])
    return "HTTP/2 and gRPC", ["", "HTTP/2 to HTTP/1, CPU µs/request", "gRPC unary, HTTP/2 on both sides, CPU µs/call"], rows


def http3_table(results):
    measured = (results["scenarios"].get("http3") or {}).get("contestants", {})
    rows = []
    for name in measured:
        rows.append([title(results, name).replace(", plain", ""), number(median(results, "http3", name, "cpu_us")),
                     number(median(results, "http3", name, "mib_us"))])
    return "HTTP/3", ["", "128-byte replies, CPU µs/request", "1 MiB replies, CPU µs/MiB"], rows


def latency_table(results):
    rows = []
    for name in figures.measured_names(results, "latency"):
        rows.append([title(results, name), *[
            number(median(results, "latency", name, key))
            for key in ("rate", "p50_us", "p99_us", "added_p50_us", "added_p99_us")]])
    return "Latency at half load", ["", "requests/s", "P50 µs", "P99 µs", "added P50 µs",
                                    "added P99 µs"], rows


def idle_table(results):
    measured = (results["scenarios"].get("idle") or {}).get("contestants", {})
    rows = [[title(results, name), number(held["bytes_each"]),
             number(held["rss_before"] / (1 << 20)), number(held["rss_after"] / (1 << 20)),
             f"{held['still_open']:,} of {held['clients']:,}"] for name, held in measured.items()]
    return "Idle connections", ["", "bytes each", "MiB before", "MiB with them", "still open"], rows


def reload_table(results):
    measured = results["scenarios"].get("reload")
    rows = []
    for load, runs in (measured or {}).get("loads", {}).items():
        for kind, run in runs.items():
            rows.append([f"{load}, {kind}", str(run["requests"]), number(run["p50_us"]),
                         number(run["p99_us"]), str(run["failed"])])
    if measured:
        for what, key in (("visible", "visible_ms"), ("reported by the gateway", "reported_ms")):
            if measured.get(key):
                times = sorted(measured[key])
                rows.append([f"reload, {what}: median / slowest ms", "",
                             number(times[len(times) // 2]), number(times[-1]), ""])
    return "Reload", ["", "requests", "P50 µs", "P99 µs", "failed"], rows


def syscall_table(results):
    measured = (results["scenarios"].get("syscalls") or {}).get("contestants", {})
    rows = []
    for name, counted in measured.items():
        calls = sorted(counted["per_request"].items(), key=lambda item: -item[1])
        listed = ", ".join(f"{call} {share:.2f}" for call, share in calls[:6])
        rows.append([title(results, name), f"{sum(share for _, share in calls):.2f}", listed])
    return "System calls", ["", "calls for a request", "most frequent"], rows


def micro_table(results):
    benches = (results["scenarios"].get("micro") or {}).get("benches", {})
    rows = [[name, number(one["ns"]), f"{number(one['low'])} to {number(one['high'])}"]
            for name, one in benches.items()]
    return "Micro benches", ["bench", "median ns", "95 % interval"], rows


def ran(results):
    machine, options = results["machine"], results["options"]
    lines = [
        f"- Date {results['date']}, commit {results['commit']}; "
        f"{options['rounds']} interleaved rounds of {options['seconds']} s"
        + ("." if results["complete"] else " (a quick run, or one put together from parts)."),
        f"- Machine: {machine['cores']} cores ({machine['cpu']}, {machine['architecture']}), "
        f"{machine['memory_gib']} GiB, Linux {machine['kernel']}.",
    ]
    for name, run in results["apart"].items():
        lines.append(f"- Scenario `{name}` ran apart: commit {run['commit']}, "
                     f"{run['rounds']} rounds of {run['seconds']} s"
                     + (", which measures each micro bench for a second." if name == "micro" and run["rounds"] <= 2
                        else "."))
    for name, version in results["versions"].items():
        note = results.get("notes", {}).get(name)
        lines.append(f"- {title(results, name)}: {results['sources'][name]}"
                     + (f"; {note}" if note else "") + ".")
    for name, why in {**results.get("missing", {}), **results.get("left_out", {})}.items():
        lines.append(f"- Not measured, `{name}`: {why}")
    return "\n".join(lines)


def noise(results):
    share = (results["scenarios"].get(SMALL) or {}).get("others_cpu_share")
    if share is None or share < NOISY_SHARE:
        return None
    return NOISE.format(share=f"{share * 100:.0f}")


def number(value):
    """Three significant digits, whole numbers as they are, thousands apart."""
    if value is None:
        return NOTHING
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"



def markdown(headers, rows):
    lines = ["| " + " | ".join(headers) + " |",
             "|" + "|".join(["---"] + ["---:"] * (len(headers) - 1)) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def aligned(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) if column == 0 else text.rjust(width)
                  for column, (text, width) in enumerate(zip(row, widths)))
        for row in rows)
