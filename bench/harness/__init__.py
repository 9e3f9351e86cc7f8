"""The side-by-side harness: Portway, its peers and a raw relay doing the same work in the same run.

Must hold: every contestant gets the same backend, the same load and one core; figures come from the
run, never from a person. It never touches anything but loopback, its own folder under the cargo
target directory, and docs/performance.md.
"""
