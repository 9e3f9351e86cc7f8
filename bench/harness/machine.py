"""The machine the figures come from, without its name, and how busy others kept it meanwhile."""

import os
import pathlib
import platform

from harness.process import TICKS


def facts():
    """Cores, kernel and memory; nothing that names the machine."""
    model, memory = "unknown", 0
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            memory = int(line.split()[1]) * 1024
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "memory_gib": round(memory / (1 << 30)),
    }


def busy_seconds():
    """CPU seconds all cores spent not idle since boot, stolen time included."""
    fields = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / TICKS
