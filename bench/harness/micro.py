"""Runs the micro benches and reads what criterion wrote: nanoseconds for each bench id."""

import json
import shutil
import subprocess

from harness.paths import PROJECT, RELEASE, TARGET


def micro(arena, options):
    """Median nanoseconds by id with the confidence interval, or None when they do not run."""
    # What an earlier run left must not pass for this one's.
    shutil.rmtree(TARGET / "criterion", ignore_errors=True)
    command = ["cargo", "bench", "--target-dir", str(TARGET), "-p", "portway-bench", "--benches", "--"]
    if options.rounds <= 2:
        command += ["--warm-up-time", "0.5", "--measurement-time", "1"]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    if done.returncode != 0:
        arena.leave_out("micro", done.stdout.strip()[-400:])
        return None
    found = stored()
    for name, figures in found.items():
        arena.say(f"  {name}: {figures['ns']:.1f} ns")
    return {"benches": found, "facts": facts()} if found else None


def facts():
    """Sizes that are no durations, from the program `facts`."""
    done = subprocess.run([RELEASE / "facts"], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def stored():
    """Everything under criterion's folder, by full bench id."""
    found = {}
    for path in sorted((TARGET / "criterion").glob("**/new/estimates.json")):
        name = json.loads((path.parent / "benchmark.json").read_text())["full_id"]
        # The median: one interrupt is enough to move a mean of nanoseconds.
        median = json.loads(path.read_text())["median"]
        interval = median["confidence_interval"]
        found[name] = {"ns": median["point_estimate"], "low": interval["lower_bound"],
                       "high": interval["upper_bound"]}
    return found
