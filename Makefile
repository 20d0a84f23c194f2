# `make` shows the targets.

.DEFAULT_GOAL := help
.PHONY: help demo test lint look bench dist interrupt fuzz mutants reproduce clean

ARCH := $(shell uname -m)

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## three devices without a tunnel, a kit, the tunnels up, one rolled back: the real programs on the lab
	tools/need build
	cargo build --locked -p builder -p installer -p lab
	tests/demo.sh

test: lint dist ## everything that CI checks
	tools/need test
	tools/check-static dist
	cargo build --quiet --workspace --locked
	SFTUNNEL_DIST="$(CURDIR)/dist" cargo test --workspace --locked
	@echo "Once more, the journeys with the static programs:"
	SFTUNNEL_BIN_DIR="$(CURDIR)/target/$(ARCH)-unknown-linux-musl/release" cargo test --locked -p tests -- journey:: interruption::

lint: ## format, clippy, documentation; a warning is an error
	tools/need build
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --quiet --workspace --no-deps --locked

look: ## the pages for people in a real browser: pictures and prints in target/look/, judged by axe-core (needs PyPI)
	tools/need build look
	cargo build --locked -p builder -p installer -p lab
	tools/look

bench: dist ## kits for 10 to 10,000 devices against a shell loop and the bare cryptography; the installer's own time
	tools/need test
	@# for both, or the builder would know one installer only; what `dist` has made is not made again
	WITH=bench tools/static-build
	target/$(ARCH)-unknown-linux-musl/release/bench --bundle dist/sftunnel-bundle-$(ARCH) --install dist/sftunnel-install-$(ARCH)

dist: ## the static programs for both architectures, manuals, completions, lists of parts, into dist/
	tools/need build dist
	tools/make-dist

interrupt: ## cut off at every call that changes a file; every state a power cut may leave (hours; HALF=states or calls)
	tools/need build test
	cargo build --quiet --workspace --locked
	TMPDIR=$$(test -w /dev/shm && echo /dev/shm || echo /tmp) cargo run --quiet --locked -p tests --bin interrupt -- $(or $(HALF),both)

FUZZ_SECONDS ?= 60

fuzz: ## every parser of foreign bytes, coverage-guided, FUZZ_SECONDS (60) each; needs nightly
	tools/need build
	tools/fuzz $(FUZZ_SECONDS)

mutants: ## each guard changed in a copy: does a test fail? (three hours for the formats, a night for the installer; tests/MUTANTS.md)
	tools/need build mutants
	cargo mutants -p formats --exclude-re 'impl.*(Display|Debug|Serialize)' --timeout 90 --output target -- --lib
	cargo build --quiet --workspace --locked
	TMPDIR=$$(test -w /dev/shm && echo /dev/shm || echo /tmp) cargo run --quiet --locked -p tests --bin mutate -- $(MUTANTS)

reproduce: ## the last commit built twice in two folders: the same bytes
	tools/need build dist
	tools/reproduce

clean: ## remove what the other targets made
	cargo clean
	rm -rf dist
