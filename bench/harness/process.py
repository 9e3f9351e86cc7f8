"""Programs under test as child processes: pinned to a core, measured from /proc, always stopped.

Must hold: what is started here is stopped here, by process id. CPU time counts the whole tree below
the started process (masters, workers, threads); memory is that of its largest process, so that a
master and its worker do not count shared pages twice.
"""

import os
import pathlib
import signal
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
LOAD_CORE = 1
PROXY_CORE = 0


class StartError(Exception):
    """A program that did not come up; the text says which and shows the end of its output."""


class Process:
    """A child pinned to `core`, its output in a file."""

    def __init__(self, name, command, core, folder, env=None):
        self.name = name
        self.output = pathlib.Path(folder) / "output.txt"
        with open(self.output, "wb") as output:
            self.child = subprocess.Popen(
                ["taskset", "-c", str(core), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, **(env or {})},
            )

    def wait_for(self, port, seconds=15.0):
        """Returns once something accepts on `port`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.child.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        self.stop()
        raise StartError(f"{self.name} did not come up: {self.tail()}")

    def tail(self):
        """The end of what it printed, on one line."""
        lines = self.output.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:])[-500:]

    def tree(self):
        """Process ids of the child and everything below it."""
        parents = {}
        for entry in os.listdir("/proc"):
            fields = stat_fields(entry) if entry.isdigit() else None
            if fields:
                parents.setdefault(int(fields[1]), []).append(int(entry))
        found, queue = [], [self.child.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            queue.extend(parents.get(pid, []))
        return found

    def cpu_seconds(self):
        """User plus system time so far, of the whole tree."""
        ticks = 0
        for pid in self.tree():
            fields = stat_fields(pid)
            if fields:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS

    def rss_bytes(self):
        """Resident memory of the tree's largest process."""
        return max((resident(pid) for pid in self.tree()), default=0)

    def alive(self):
        return self.child.poll() is None

    def signal(self, number):
        self.child.send_signal(number)

    def stop(self):
        """Asks, waits, then kills; reaps in any case."""
        tree = self.tree() if self.alive() else []
        if self.alive():
            self.child.terminate()
        try:
            self.child.wait(3)
        except subprocess.TimeoutExpired:
            for pid in tree:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.child.wait(3)


def stat_fields(pid):
    """Fields of /proc/PID/stat from the state on (index 0), or None when the process is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def resident(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
