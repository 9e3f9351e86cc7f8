#!/usr/bin/env bash
# Every test of the workspace, with nextest where it is installed. The runner's summary comes last.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}
if "$cargo" nextest --version >/dev/null 2>&1; then
    exec "$cargo" nextest run --workspace --no-fail-fast
fi
echo "test: cargo-nextest is not installed; using cargo test" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
"$cargo" test --workspace --no-fail-fast 2>&1 | tee "$log" || status=$?
# cargo test has a summary per binary and none of all.
awk '/^test result:/ { passed += $4; failed += $6 }
     END { printf "Summary: %d passed, %d failed\n", passed, failed }' "$log"
exit "$status"
