# Entry points for people and for CI. Only the Rust toolchain is needed for `make demo`.
#
#   make demo FILE=orders.csv PARTS=8     the demo on a file of your own
#   make fuzz FUZZ_SECONDS=600            a longer run of every fuzz target

CARGO ?= cargo
# The lock file decides; a build never changes it.
LOCKED := --locked
BINARIES := -p skyspray-relay -p skyspray-edge
FUZZ_SECONDS ?= 60

export FUZZ_SECONDS
# FILE and PARTS reach the demo through the environment; an unset one stays unset.
ifdef FILE
export FILE
endif
ifdef PARTS
export PARTS
endif

.DEFAULT_GOAL := help
.PHONY: help demo test check guard guard-baseline bench ceiling flame fuzz clean

help: ## Say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Build, then enroll, spray, verify and despray a real file (FILE=... PARTS=... for your own)
	$(CARGO) build $(LOCKED) --release $(BINARIES) --bins
	$(CARGO) run $(LOCKED) --release -p skyspray-tests --bin skyspray-demo

test: ## Install what the tests need where possible, then run them all
	@.ci/install-test-tools
	$(CARGO) build $(LOCKED) $(BINARIES) -p wanlink --bins
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	  set -ex; $(CARGO) nextest run $(LOCKED) --workspace; $(CARGO) test $(LOCKED) --workspace --doc; \
	else \
	  set -ex; $(CARGO) test $(LOCKED) --workspace; \
	fi

check: ## Formatting, lints and the structure rules
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(LOCKED) --workspace --all-targets -- -D warnings
	.ci/check-structure

# Instructions are counted, nothing is timed: a busy machine says the same.
guard: ## Count the instructions of the hot loops and compare them with the stored baseline
	$(CARGO) run $(LOCKED) --profile guard -p skyspray-guard

guard-baseline: ## Store what the hot loops cost here as the baseline
	$(CARGO) run $(LOCKED) --profile guard -p skyspray-guard -- --renew

bench: ## Every workload beside the programs people use for the same, in one run (BENCH_WORKLOADS=w1,w3 for some)
	@.ci/install-test-tools
	@.ci/install-bench-tools
	$(CARGO) build $(LOCKED) --release $(BINARIES) -p wanlink --bins
	$(CARGO) run $(LOCKED) --release -p skyspray-tests --bin skyspray-bench
	$(CARGO) run $(LOCKED) --release -p skyspray-dfu --example scan_speed

ceiling: ## QUIC beside TLS over TCP, plain TCP and BLAKE3, from memory to nowhere, in one run
	$(CARGO) run $(LOCKED) --release -p skyspray-tests --bin skyspray-ceiling

flame: ## Flame graphs of edge and relay into docs/performance (needs perf)
	.ci/flame

fuzz: ## Run every fuzz target for FUZZ_SECONDS (default 60) each
	.ci/fuzz

clean: ## Remove everything cargo built
	$(CARGO) clean
