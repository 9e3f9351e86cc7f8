"""The backend and the contestants of a run: started before a scenario, stopped after it.

Must hold: every contestant runs on the proxy core, backend and load on the other one; one that does
not come up or does not answer 200 is left out with its reason in the results.
"""

import contextlib
import os
import pathlib
import resource
import shutil
import ssl
import urllib.error
import urllib.request

from harness import contestants, machine
from harness.paths import RELEASE, WORK, free_port
from harness.process import LOAD_CORE, PROXY_CORE, Process, StartError

FILES_MAX = 20000


class Contestant:
    """A started proxy and where to reach it."""

    def __init__(self, name, process, port, started, admin):
        self.name = name
        self.process = process
        self.port = port
        self.path = started.path
        self.big_path = started.big_path
        self.log = started.log
        self.admin = admin

    def empty_log(self):
        """The access log lives in memory: it is emptied between rounds."""
        if self.log:
            with contextlib.suppress(OSError):
                os.truncate(self.log, 0)

    def stop(self):
        self.process.stop()
        if self.log:
            pathlib.Path(self.log).unlink(missing_ok=True)


class Arena:
    """Backend, peers and what was left out."""

    def __init__(self, names, peers, wrk, say):
        self.names = names
        self.peers = peers
        self.wrk = wrk
        self.say = say
        self.left_out = {}
        self.origin_port = free_port()
        raise_file_limit()
        # The harness itself must not take time from the proxy's core.
        os.sched_setaffinity(0, {LOAD_CORE})
        folder = fresh_folder("origin")
        command = [RELEASE / "origin", self.origin_port]
        self.origin = Process("origin", command, LOAD_CORE, folder)
        self.origin.wait_for(self.origin_port)

    def start(self, name, plan=None):
        """A fresh contestant, or None with the reason kept."""
        port, admin = free_port(), free_port()
        peer = self.peers.get(name)
        started = (plan or contestants.plan)(name, peer, port, self.origin_port, admin)
        folder = fresh_folder(name)
        for file, text in started.files.items():
            (folder / file).write_text(text)
        if not pathlib.Path(started.command[0]).exists():
            return self.leave_out(name, "the binary is not built")
        process = Process(name, started.command, PROXY_CORE, folder, started.env)
        contestant = Contestant(name, process, port, started, admin)
        try:
            if started.scheme != "h3":  # over UDP the first handshake waits
                process.wait_for(port)
            if started.scheme not in ("h2c", "h3"):  # what does not speak HTTP/1 is asked by its scenario
                expect_200(port, started.path, started.scheme)
        except (StartError, OSError) as error:
            contestant.stop()
            return self.leave_out(name, f"{error}; {process.tail()}")
        return contestant

    def leave_out(self, name, reason):
        self.left_out[name] = " ".join(reason.split())[:400]
        self.say(f"{name}: left out: {self.left_out[name]}")

    @contextlib.contextmanager
    def all_started(self):
        """Everyone at once, for scenarios with interleaved rounds."""
        running = []
        try:
            for name in self.names:
                contestant = self.start(name)
                if contestant:
                    running.append(contestant)
            yield running
        finally:
            for contestant in running:
                contestant.stop()

    def own_cpu_seconds(self, running):
        """CPU of everything this run started, for telling other programs' share apart."""
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = resource.getrusage(resource.RUSAGE_SELF)
        total = children.ru_utime + children.ru_stime + own.ru_utime + own.ru_stime
        total += self.origin.cpu_seconds()
        return total + sum(contestant.process.cpu_seconds() for contestant in running)

    def others_cpu_seconds(self, running):
        """CPU spent by programs that are not part of this run, since boot."""
        return machine.busy_seconds() - self.own_cpu_seconds(running)

    def close(self):
        self.origin.stop()


def fresh_folder(name):
    folder = WORK / "run" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def raise_file_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(FILES_MAX, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def expect_200(port, path, scheme="http"):
    # Its certificate is made for the run.
    unchecked = ssl._create_unverified_context()  # pylint: disable=protected-access
    try:
        with urllib.request.urlopen(f"{scheme}://127.0.0.1:{port}{path}", timeout=5, context=unchecked) as reply:
            reply.read()
    except urllib.error.HTTPError as error:
        raise StartError(f"answers {error.code} to {path}") from error
