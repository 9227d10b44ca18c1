# `make` says what there is. The work is done by cargo and by the scripts in deploy/dev.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# Of the demo; `tested` takes the binary that the tests have built.
PROFILE ?= release
.PHONY: help setup check test demo bench deny audit dev-up dev-down

help: ## says what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## installs what the build and the tests need (as root with apt-get), or says what is missing
	@deploy/dev/servers install

check: ## formatting, clippy without a warning, and the dependency rules when cargo-deny is there
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@deploy/dev/deny --if-installed

test: ## every test against real servers, which it installs, starts and stops itself; ARGS="-p lienthong-router" runs some
	@deploy/dev/test $(ARGS)

demo: ## builds, then a whole nation on the embedded log for half a minute; ARGS="--people 100000 --rate 50 --dir nation" are the demo's own
	$(if $(filter tested,$(PROFILE)),,cargo build --locked --profile $(PROFILE) -p lienthong-cli --bin lienthong)
	@"$${CARGO_TARGET_DIR:-target}/$(subst tested,debug,$(subst dev,debug,$(PROFILE)))/lienthong" demo $(or $(ARGS),--for 30s)

dev-up: ## the servers and the site of docker-compose.yml without containers; prints addresses and three commands to try
	@deploy/dev/up

dev-down: ## stops what dev-up started and takes it away
	@deploy/dev/down

bench: ## ratios of paired, interleaved runs; ARGS are the bench's own
	cargo run --locked --release -p lienthong-bench -- $(ARGS)

deny: ## licences, sources and which crate may use which, by cargo-deny (installed from crates.io when it is missing: a minute)
	@deploy/dev/deny

audit: ## the advisories against our dependencies; fetches the RustSec database
	@deploy/dev/deny --advisories
