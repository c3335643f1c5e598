.DEFAULT_GOAL := help
.PHONY: help tools rust build demo test lint docs install clean

help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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

lint: rust ## checks format, lints and documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --locked

# The old file stays when the new one cannot be made.
docs: rust ## writes the generated documentation anew
	cargo run --quiet --locked -p bullmq-vocabulary --example metrics-markdown > exporter/METRICS.md.new \
	  || { rm -f exporter/METRICS.md.new; exit 1; }
	mv exporter/METRICS.md.new exporter/METRICS.md

install: rust ## installs both programs with cargo
	cargo install --locked --path exporter
	cargo install --locked --path generator

clean: ## removes everything that was built or installed here
	cargo clean
	rm -rf tests/bullmq/node_modules tests/browser/node_modules tests/bullmq-python/.venv examples/demo/node_modules
