#!/usr/bin/env bash
# Everything that can be said of the source without running it. Each step is named; the first that
# fails ends the run.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}
step() { echo "check: $*"; }

step format
"$cargo" fmt --all --check

step arrows, sizes, words
"$cargo" xtask check

step lints
"$cargo" clippy --quiet --workspace --all-targets -- -D warnings

step docs
RUSTDOCFLAGS="-D warnings -D rustdoc::broken_intra_doc_links" "$cargo" doc --quiet --workspace --no-deps --document-private-items

step banned crates
# Those of deny.toml, for what the gateway is built for: quinn names ring for WebAssembly.
targets=(--target x86_64-unknown-linux-gnu --target aarch64-unknown-linux-gnu)
banned=(ring openssl-sys native-tls serde_yaml rustls-pemfile)
for crate in "${banned[@]}"; do
    if "$cargo" tree --quiet --workspace "${targets[@]}" --edges normal,build,dev --invert "$crate" 2>/dev/null | grep -q .; then
        echo "check: $crate is in the dependency graph:" >&2
        "$cargo" tree --workspace "${targets[@]}" --edges normal,build,dev --invert "$crate" >&2
        exit 1
    fi
done
if "$cargo" deny --version >/dev/null 2>&1; then
    # Advisories need the network; CI without one checks the rest.
    "$cargo" deny --offline check bans licenses sources
else
    step "cargo-deny is not installed: licences not checked"
fi

step schema
schema=$(mktemp)
trap 'rm -f "$schema"' EXIT
# Built as the tests are: for the package alone, cargo would choose other features and build all again.
"$cargo" build --quiet --workspace --bins --tests
"${CARGO_TARGET_DIR:-target}/debug/portway" schema > "$schema"
if ! diff -u api/config.schema.json "$schema"; then
    echo "check: api/config.schema.json is stale; run make schema" >&2
    exit 1
fi

step fine
