"""The shipped build: the compiler is told by a profile which code runs often, and how.

Three steps: a build that counts, a training run of it (harness.training), the build that uses the
counts. Must hold: nothing of this is silently left out. Without the compiler's own `llvm-profdata`
there is no such build, and the error says what to install.
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess

from harness import peers, training
from harness.paths import PROJECT, SHIPPED, TARGET
from harness.process import StartError

FOLDER = TARGET / "guided"


class BuildError(Exception):
    """What stands in the way of the build, and what to do."""


def say(text):
    print(text, flush=True)


def main():
    try:
        build(say)
    except (BuildError, StartError, LookupError) as error:
        say(f"bench/release: {error}")
        return 2
    say(f"built {SHIPPED}")
    return 0


def build(say):
    """Brings the shipped binary up to date."""
    compiler = facts_of_compiler()
    profdata = find_profdata(compiler, say)
    FOLDER.mkdir(parents=True, exist_ok=True)
    programs(say)
    counts, profile = FOLDER / "counts", FOLDER / "portway.profdata"
    say("building Portway with counters")
    counting = portway("counting", compiler, f"-Cprofile-generate={counts}")
    # The profile of the same program is as good as a new one, and keeps the last build usable.
    print_of_binary = hashlib.sha256(counting.read_bytes()).hexdigest()
    trained = FOLDER / "trained"
    if not (profile.exists() and trained.exists() and trained.read_text() == print_of_binary):
        shutil.rmtree(counts, ignore_errors=True)
        trained.unlink(missing_ok=True)
        training.run(counting, counts, say)
        merge(profdata, counts, profile)
        trained.write_text(print_of_binary)
        shutil.rmtree(FOLDER / "guided", ignore_errors=True)  # cargo does not see a profile change
    say("building Portway with the profile")
    final = portway("guided", compiler, f"-Cprofile-use={profile}")
    SHIPPED.parent.mkdir(parents=True, exist_ok=True)
    fresh = SHIPPED.with_suffix(".new")
    shutil.copy2(final, fresh)
    fresh.replace(SHIPPED)


def programs(say):
    """Backend, relay and load."""
    say("building the programs of the harness")
    cargo(["build", "--release", "--bins", "--target-dir", TARGET, "-p", "portway-bench"])


def portway(folder, compiler, flag):
    """One build in a target directory of its own; the path of its binary."""
    flags = " ".join(filter(None, [os.environ.get("RUSTFLAGS"), flag]))
    # With `--target` the flags stay away from build scripts and macros, which run while compiling.
    cargo(["build", "--profile", "dist", "--target", compiler["host"], "--target-dir", FOLDER / folder,
           "-p", "portway", "--bin", "portway"], {"RUSTFLAGS": flags})
    return FOLDER / folder / compiler["host"] / "dist" / "portway"


def cargo(arguments, env=None):
    command = [os.environ.get("CARGO", "cargo"), *map(str, arguments)]
    if subprocess.run(command, cwd=PROJECT, env={**os.environ, **(env or {})}).returncode != 0:
        raise BuildError("the build failed; the compiler's message is above")


def facts_of_compiler():
    printed = subprocess.run(["rustc", "-vV"], cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    facts = dict(line.split(": ", 1) for line in printed.splitlines() if ": " in line)
    root = subprocess.run(["rustc", "--print", "sysroot"], cwd=PROJECT, check=True, capture_output=True, text=True)
    return {
        "host": facts["host"],
        "llvm": re.match(r"\d+", facts["LLVM version"]).group(),
        "root": pathlib.Path(root.stdout.strip()),
    }


def find_profdata(compiler, say):
    """`llvm-profdata` of the compiler's LLVM: only that surely reads what its counters write."""
    llvm = compiler["llvm"]
    component = compiler["root"] / "lib" / "rustlib" / compiler["host"] / "bin" / "llvm-profdata"
    if component.exists():
        return str(component)
    found = profdata_of(llvm)
    if not found and shutil.which("apt-get"):
        say(f"installing llvm-{llvm}")
        try:
            peers.apt_install(f"llvm-{llvm}")
        except subprocess.SubprocessError:
            say(f"apt has no llvm-{llvm} for us")
        found = profdata_of(llvm)
    if not found:
        raise BuildError(
            f"llvm-profdata of LLVM {llvm} is missing: install the package llvm-{llvm}, or the "
            "llvm-tools component of the toolchain (`cargo build --release` builds without a profile)"
        )
    return found


def profdata_of(llvm):
    plain = shutil.which("llvm-profdata")
    if plain:
        printed = subprocess.run([plain, "merge", "--version"], capture_output=True, text=True).stdout
        if f"LLVM version {llvm}." not in printed:
            plain = None
    return shutil.which(f"llvm-profdata-{llvm}") or plain


def merge(profdata, counts, profile):
    raw = sorted(map(str, counts.glob("*.profraw")))
    if not raw:
        raise BuildError(f"the training run left no counts in {counts}")
    merged = subprocess.run([profdata, "merge", "-o", profile, *raw], capture_output=True, text=True)
    if merged.returncode != 0:
        profile.unlink(missing_ok=True)
        raise BuildError(f"{profdata} could not merge the counts: {merged.stderr.strip()[-300:]}")

