"""Where things are: the project, the cargo target directory, the harness's own folder in it."""

import os
import pathlib
import socket

PROJECT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target")).resolve()
WORK = TARGET / "bench"
RELEASE = TARGET / "release"
# The gateway itself: what `make release` builds.
SHIPPED = TARGET / "dist" / "portway"
RESULTS = WORK / "results.json"
PAGE = PROJECT / "docs" / "performance.md"
# Access logs go to memory: a disk would be part of the measurement.
SHARED_MEMORY = pathlib.Path("/dev/shm")


def free_port():
    """A TCP port on loopback that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
