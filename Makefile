# distconv: every target sets up what it needs by itself.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test sim sim-bugs sim-nightly gen fmt lint type verify bench lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 12

setup: $(STAMP) ## Make the virtual environment with everything, pinned by hash

$(STAMP): requirements.lock pyproject.toml
	@tools/setup.sh "$(PYTHON)" "$(VENV)"
	@touch $(STAMP)

demo: $(STAMP) ## Transcode a clip end to end (INPUT=… OUTPUT=… PROFILE=… to choose)
	@$(BIN)/python tools/demo.py --input "$(INPUT)" --output "$(OUTPUT)" --profile "$(PROFILE)"

test: $(STAMP) ## Run every test that needs no server beyond what it starts itself
	@$(BIN)/python -m pytest -n 2 --dist loadscope --ignore tests/simulation --ignore tests/e2e
	@$(BIN)/python -m pytest -n 2 --dist loadfile tests/simulation tests/e2e

sim: $(STAMP) ## Simulate: SEEDS=n worlds (100), or the trace of one: SEED=n; BUG=name plants a bug
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),100)) $(if $(BUG),--bug $(BUG))

sim-bugs: $(STAMP) ## Plant every bug of the simulation, and show how many seeds catch each
	@$(BIN)/python -m tests.simulation --bugs

sim-nightly: $(STAMP) ## Simulate 100,000 worlds
	@$(BIN)/python -m tests.simulation --seeds 100000

gen: $(STAMP) ## Regenerate gen/ and the generated pages of docs/
	@$(BIN)/python tools/gen.py

fmt: $(STAMP) ## Format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix --quiet . ; $(BIN)/buf format -w proto

lint: $(STAMP) ## Lint the code, the contract and the layers
	@PATH="$(abspath $(BIN)):$$PATH" tools/lint.sh

type: $(STAMP) ## Check types with mypy (strict) and pyright
	@$(BIN)/mypy && $(BIN)/basedpyright

verify: $(STAMP) ## Lint, type, and prove that generated files are current
	@$(MAKE) --no-print-directory lint type
	@$(BIN)/python tools/gen.py --check

bench: $(STAMP) ## Measure: BENCH=stream, memory, latency, startup, … (docs/benchmarks.md names all)
	@$(BIN)/python -m benchmarks $(BENCH)

lock: $(STAMP) ## Resolve the dependencies anew into requirements.lock
	@tools/lock.sh "$(VENV)"

clean: ## Remove the virtual environment and everything built
	@rm -rf $(VENV) .venv-bench dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis benchmarks/out
