# What people and CI call. Each target says at its end whether it went well.

CARGO ?= cargo

.PHONY: help run demo test check bench release fmt schema

help:
	@echo 'make demo    sample services, a gateway before them, and what to try (ARGS=--tour tries it)'
	@echo 'make run     serve: CONFIG=FILE, else ./portway.yaml, else the built-in demo config'
	@echo 'make test    every test'
	@echo 'make check   format, lints, docs, arrows, sizes, schema, banned crates'
	@echo 'make release the binary that is shipped, optimized by a profile: target/dist/portway'
	@echo 'make bench   the side-by-side benchmark: writes docs/performance.md'
	@echo 'make schema  write api/config.schema.json again'

demo:
	$(CARGO) run --quiet --release --package portway -- demo $(ARGS)

run:
	$(CARGO) run --quiet --release --package portway -- run $(if $(CONFIG),--config $(CONFIG)) $(ARGS)

test:
	@scripts/ensure-tools.sh
	@scripts/test.sh

check:
	@scripts/check.sh

bench:
	bench/run $(ARGS)

release:
	bench/release

fmt:
	$(CARGO) fmt --all

schema:
	@mkdir -p api
	$(CARGO) run --quiet --package portway -- schema > api/config.schema.json.new
	@mv api/config.schema.json.new api/config.schema.json
