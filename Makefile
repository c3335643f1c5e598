.DEFAULT_GOAL := help
KEDA := $(CURDIR)/target/debug/bullmq-keda
JUDGES := $(CURDIR)/target/tools/bin

# How much `make bench` measures: docs/performance.md has the figures of QUEUES=10000 JOBS=1000000.
QUEUES := 2000
JOBS := 100000
.PHONY: help tools rust build demo test bench soak lint docs examples conformance conformance-update fuzz install packages clean

help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

tools: ## installs what the tests and the demo need, as packages; says first what
	@sh tests/tools.sh

# What everything that is built needs; tools includes it.
rust:
	@sh tests/tools.sh rust

build: rust ## builds bullmq-exporter and bullmq-keda
	cargo build --workspace --bins --locked

demo: tools build ## tells the story in two minutes; KEEP=1 stays until Ctrl-C
	@cargo run --quiet --locked --bin demo

test: tools build ## runs every test, with real servers
	cargo test --workspace --locked

# As it ships: the figures of a debug build say nothing.
bench: tools ## measures a scrape beside the alternatives, in some minutes; QUEUES=10000 JOBS=1000000 for the large one
	cargo build --release --locked -p bullmq-exporter -p bench --bins
	@target/release/bench --queues $(QUEUES) --jobs $(JOBS)

# MINUTES=10 for longer, SEED=1 for the failures of an earlier run.
soak: MINUTES ?= 5
soak: tools build ## breaks real servers in every way for MINUTES and checks every answer
	@MINUTES=$(MINUTES) SEED=$(SEED) cargo run --quiet --locked -p acceptance --bin soak

lint: rust ## checks format, lints and documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --locked

# The old file stays when the new one cannot be made.
docs: tools ## writes the generated documentation anew
	cargo run --quiet --locked -p bullmq-vocabulary --example metrics-markdown > exporter/METRICS.md.new \
	  || { rm -f exporter/METRICS.md.new; exit 1; }
	mv exporter/METRICS.md.new exporter/METRICS.md
	cargo run --quiet --locked -p bullmq-keda -- schema > generator/spec.schema.json.new \
	  || { rm -f generator/spec.schema.json.new; exit 1; }
	mv generator/spec.schema.json.new generator/spec.schema.json
	cargo run --quiet --locked -p bullmq-dashboards --example write-dashboards -- dashboards
	rm -f charts/bullmq-exporter/dashboards/*.json
	for file in dashboards/*.json; do [ ! -e "$$file" ] || cp "$$file" charts/bullmq-exporter/dashboards/ || exit 1; done
	$(JUDGES)/helm-docs --chart-search-root charts --sort-values-order file

# Each is compared with what is committed by a test; look at the difference before you commit it.
examples: tools build ## writes what the examples show anew
	cd examples && for example in authentication first-queue long-jobs n8n-queue-mode scheduled-to-zero several-queues several-servers start-within two-exporters versions; do \
	  $(KEDA) generate $$example/spec.yaml -o $$example/expected/scaledobjects.yaml || exit 1; done
	cd examples/alerts && $(KEDA) generate spec.yaml --alerts --alerts-label release=kube-prometheus-stack \
	    --runbook-url-prefix https://runbooks.example.com/bullmq -o manifests.yaml \
	  && $(KEDA) generate spec.yaml --format prometheus-rules --runbook-url-prefix https://runbooks.example.com/bullmq -o rules.yaml
	cd examples/gitops && $(KEDA) generate spec.yaml -o shop/scaledobjects.yaml
	cd examples/helm-chart && $(KEDA) generate spec.yaml --format helm -o chart/ \
	  && $(JUDGES)/helm3 template shop chart > rendered/default.yaml \
	  && $(JUDGES)/helm3 template shop chart --values chart/values-production.yaml > rendered/production.yaml
	cd examples/helm-values && $(KEDA) generate spec.yaml --format helm-values -o values-keda.yaml \
	  && $(JUDGES)/helm3 template shop chart --values values-keda.yaml > rendered/default.yaml
	cd examples/kustomize && $(KEDA) generate spec.yaml --format kustomize -o scaling/ --prune \
	  && $(JUDGES)/kustomize build production > rendered/production.yaml
	for values in charts/bullmq-exporter/ci/*-values.yaml; do name=$$(basename $$values -values.yaml); [ $$name = alerts-and-dashboards ] \
	  || $(JUDGES)/helm3 template shop charts/bullmq-exporter --kube-version 1.34.0 --values $$values > tests/exporter_chart/$$name.yaml || exit 1; done

# KEDA and Kubernetes are large, so neither of these is part of the gate: tests/conformance/README.md.
conformance: ## asks KEDA's own code again and compares with what is committed; needs Go, and minutes
	@sh tests/conformance/run.sh compare

conformance-update: ## asks KEDA's own code again and writes the vectors and the linter's tables
	@sh tests/conformance/run.sh update

# Not part of the gate either: the longer, the more is tried.
fuzz: MINUTES ?= 18
fuzz: TARGETS :=
fuzz: rust ## tries what is read from others for MINUTES; TARGETS chooses some of fuzz/README.md
	@sh fuzz/run.sh $(MINUTES) $(TARGETS)

install: rust ## installs both programs with cargo
	cargo install --locked --path exporter
	cargo install --locked --path generator

packages: rust ## makes .deb, .rpm and .tar.gz of both programs in target/packages
	sh packaging/packages.sh

clean: ## removes everything that was built or installed here
	cargo clean
	rm -rf tests/bullmq/node_modules tests/browser/node_modules tests/bullmq-python/.venv examples/demo/node_modules
