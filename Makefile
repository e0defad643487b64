# Every command a person needs. `make` shows them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run run-real test test-clients test-full test-unit lint fmt images generated fuzz bench bench-path bench-store bench-idle bench-node bench-rooms bench-operator torture torture-plants torture-ci failover cluster cluster-down e2e clean

DEFINITIONS := crds/chatcluster.dev_chatclusters.yaml charts/chatcluster/files/crd.yaml
LISTEN ?= 127.0.0.1:8080
DATA ?= ./data
SEED ?= 1
DURATION ?= 90
FAULTS ?= all
BROKERS ?= 1
SECONDS_EACH ?= 30
TAG ?= 0.1.0
REGISTRY ?= docker.io/local
CARGO_FOLDER := $(or $(CARGO_HOME),$(HOME)/.cargo)
export SNIPPETS
# a Node that is recent enough, if scripts/prepare had to fetch one
export PATH := $(or $(CHATCLUSTER_CACHE),$(HOME)/.cache/chatcluster)/node/node_modules/node/bin:$(PATH)

help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z][a-z-]*:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## Everything in one process with nothing installed: chat at http://127.0.0.1:8080
	@scripts/prepare build
	cargo build --locked --bin chatcluster
	target/debug/chatcluster run --listen $(LISTEN) --data-dir $(DATA)

run-real: ## The same on real Kafka, Redis and MariaDB, as separate processes; Ctrl-C stops all of it
	@scripts/prepare servers
	cargo build --locked --workspace --bins
	target/debug/testkit up

test: ## All tests, on real servers
	@scripts/prepare test
	cargo build --locked --workspace --bins
	target/debug/testkit install
	scripts/chart-check
	node --test chatcluster/page/tests/*.test.mjs
	@$(MAKE) --no-print-directory test-clients
	scripts/run-tests.mjs
	cargo test --locked --workspace --doc

test-clients: ## Our own client with a server killed under it; stock clients and the page in a browser; every snippet of docs/clients.md (SNIPPETS=full: Java too)
	@scripts/prepare clients
	cd clients/js && npm ci --silent --no-audit --no-fund && npm run --silent page -- --check && npm test
	cd clients/stock && npm ci --silent --no-audit --no-fund && npm test
	cd clients/snippets && npm ci --silent --no-audit --no-fund && npm test

test-full: ## All tests, and those that need a Java stack
	@$(MAKE) --no-print-directory test SNIPPETS=full
	cargo test --locked -p chatcluster-testkit --test debezium -- --ignored --test-threads=1

torture: ## Kill, freeze and cut everything while clients work, then check it all (SEED=1 DURATION=90 FAULTS=all BROKERS=1)
	@scripts/prepare servers
	cargo build --locked --workspace --bins
	target/debug/testkit torture --seed $(SEED) --duration $(DURATION) --faults $(FAULTS) --brokers $(BROKERS)

torture-plants: ## Planted bugs, a short run for each: each must be caught (ONLY=name,name for some)
	@scripts/prepare servers
	scripts/torture-plants $(ONLY)

torture-ci: ## What continuous integration runs: a minute of torture, then the planted bugs
	@$(MAKE) --no-print-directory torture DURATION=60
	@$(MAKE) --no-print-directory torture-plants

failover: ## Kill the gateway that holds 1,000 sessions: how soon are they back, and do the others notice (SESSIONS=1000 PROFILE=release)
	@scripts/prepare servers
	cargo build --locked --workspace --bins $(if $(filter release,$(PROFILE)),--release)
	$(if $(filter release,$(PROFILE)),target/release,target/debug)/testkit failover --sessions $(or $(SESSIONS),1000)

test-unit: ## Tests that need no server: libraries and documentation
	@scripts/prepare build
	cargo test --locked --workspace --lib

e2e: ## The platform on a real Kubernetes cluster under load: scaled, upgraded, killed, uninstalled (ONLY=names CLUSTER=kind PROFILE=release; as root)
	@scripts/prepare test
	cargo build --locked --workspace --bins $(if $(filter release,$(PROFILE)),--release)
	$(if $(filter release,$(PROFILE)),target/release,target/debug)/testkit e2e --profile $(or $(PROFILE),dev) $(if $(ONLY),--only $(ONLY))

lint: ## Formatting, clippy, generated files, dependency rules
	@scripts/prepare build
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@$(MAKE) --no-print-directory generated
	@if command -v cargo-deny >/dev/null; then cargo deny --log-level error check bans licenses sources; \
	 else echo "cargo-deny is not installed (cargo install cargo-deny): dependency rules not checked"; fi

images: ## Container images without a container engine, reproducible (TAG=0.1.0 REGISTRY=docker.io/local)
	@scripts/prepare build
	RUSTFLAGS="--remap-path-prefix=$(CURDIR)=/chatcluster --remap-path-prefix=$(CARGO_FOLDER)=/cargo" \
	CFLAGS="-ffile-prefix-map=$(CURDIR)=/chatcluster -ffile-prefix-map=$(CARGO_FOLDER)=/cargo" \
	  cargo build --locked --release --workspace --bins --target-dir target/reproducible
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || echo 0) target/reproducible/release/testkit images \
	  --profile release --tag $(TAG) --registry $(REGISTRY) --revision "$$(git rev-parse HEAD 2>/dev/null)"

generated: ## Regenerate docs/openapi.json and the CRD, and fail when they had drifted
	@cargo run --locked --quiet --bin chatcluster -- openapi > target/openapi.json
	@diff -u docs/openapi.json target/openapi.json > /dev/null || { cp target/openapi.json docs/openapi.json; \
	 echo "docs/openapi.json was out of date and has been regenerated: commit it"; exit 1; }
	@cargo run --locked --quiet --bin chatcluster-operator -- crd > target/crd.yaml
	@bad=; for file in $(DEFINITIONS); do cmp -s $$file target/crd.yaml || { cp target/crd.yaml $$file; bad=1; \
	 echo "$$file was out of date and has been regenerated: commit it"; }; done; test -z "$$bad"

fmt: ## Format the code
	cargo fmt --all

fuzz: ## Fuzz every decoder for some seconds each (SECONDS_EACH=30)
	@scripts/prepare build
	scripts/fuzz $(SECONDS_EACH)

cluster: ## One real Kubernetes node on this machine, without a container engine; docs/cluster.md (as root)
	@scripts/prepare build
	cargo build --locked --bin testkit
	target/debug/testkit cluster up

cluster-down: ## End that node and remove every trace of it
	@scripts/prepare build
	cargo build --locked --bin testkit
	target/debug/testkit cluster down

bench: ## The gateway beside nchan, RabbitMQ, a plain ws loop and the least a server can do (ARGS=--quick)
	@scripts/prepare bench
	cargo build --locked --release --bin chatcluster-bench --bin chatcluster-gateway
	target/release/chatcluster-bench gateway $(ARGS)

bench-path: ## SEND -> ACK and SEND -> MESSAGE, embedded and on real servers
	@scripts/prepare servers
	cargo build --locked --release --workspace --bins
	target/release/chatcluster-bench path $(ARGS)

bench-store: ## Sends a second into MariaDB
	@scripts/prepare servers
	cargo build --locked --release --bin chatcluster-bench
	target/release/chatcluster-bench store $(ARGS)

bench-idle: ## Memory of a gateway per idle connection
	@scripts/prepare servers
	cargo build --locked --release --workspace --bins
	target/release/chatcluster-bench idle $(ARGS)

bench-rooms: ## One message to a room of 100,000 members, 10,000 of them connected over two gateways (ARGS=--rates 1,5)
	@scripts/prepare servers
	cargo build --locked --release --workspace --bins
	target/release/chatcluster-bench rooms $(ARGS)

bench-node: ## A gateway with 15,000 authenticated connections of 10 conversations each, on real servers
	@scripts/prepare servers
	cargo build --locked --release --workspace --bins
	target/release/chatcluster-bench node $(ARGS)

bench-operator: ## The operator: time to objects, calls a pass, memory with 100 ChatClusters
	@scripts/prepare test
	cargo build --locked --release --bin testkit
	target/release/testkit install
	cargo test --locked --release -p chatcluster-operator --test figures -- --nocapture

clean: ## Remove what was built (the data of `make run` stays)
	cargo clean
