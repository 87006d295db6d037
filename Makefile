# Requires Python 3.11 or newer and pip. Uses uv where it is installed, because it is faster.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help up down test test-fast test-all test-web sdk-tests check bench bench-quick bench-large bench-peers chaos clients demo lock web

VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
FIND_PYTHON = for python in "$(PYTHON)" python3 python3.13 python3.12 python3.11 python3.14 python; do \
	[ -n "$$python" ] && "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && exit; \
	done

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 18

up: $(VENV)/runtime.stamp ## Run Beckon (DETACH=1 leaves it running; BECKON_HOME, BECKON_PORT)
	@exec $(BIN)/beckon up $(if $(filter 1 true yes,$(DETACH)),--detach)

down: ## Stop Beckon
	@if [ -x $(BIN)/beckon ]; then exec $(BIN)/beckon down; else echo "Beckon is not installed here."; fi

demo: $(VENV)/runtime.stamp ## Show an automation at work in a running copy
	@exec $(BIN)/beckon demo

check: $(VENV)/dev.stamp ## Check formatting, lint, types and import layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test-fast: $(VENV)/dev.stamp ## Run the tests that need no PostgreSQL, Redis or browser
	@$(BIN)/python -m pytest -n 2 --dist loadscope -q --no-servers -m "not slow and not web" $(TESTS)

# Three processes on two cores: for half of its time a test waits for a browser, a server or another process.
test: check ## Check, then run one case of each kind
	@$(BIN)/python -m pytest -n 3 --dist loadscope -q -m "not slow and not web" $(TESTS)

test-all: check ## Check, then run every test, including those that need Node or Firefox
	@$(BIN)/python -m pytest -n 3 --dist loadscope -q $(TESTS)

# pytest exits with 5 if no test has the marker; this is reported and is not a failure.
test-web: $(VENV)/dev.stamp ## Run the tests that need Node or Firefox
	@$(BIN)/python -m pytest -q -m web $(TESTS) || { code=$$?; [ $$code -eq 5 ] && echo "No test needs Node or Firefox."; }

# One environment for each SDK, because some require versions that Beckon does not use. A failed installation is reported,
# and the tests of that SDK are skipped.
SDKS := $(notdir $(patsubst %/requirements.lock,%,$(wildcard tests/sdk/*/requirements.lock)))

sdk-tests: $(VENV)/dev.stamp ## Run the providers' own SDKs against the sandbox (RECORD=1 records their requests anew)
	@for name in $(SDKS); do \
	  folder=.venv-sdk/$$name; lock=tests/sdk/$$name/requirements.lock; \
	  [ -z "$$(find $$folder/stamp -newer $$lock 2>/dev/null)" ] || continue; \
	  echo "Installing $$name …"; mkdir -p .venv-sdk; \
	  { "$$($(FIND_PYTHON))" -m venv --clear $$folder && $$folder/bin/python -m pip --disable-pip-version-check --no-input \
	      install --progress-bar off --require-hashes -r $$lock && touch $$folder/stamp; } >.venv-sdk/$$name.log 2>&1 || { \
	    rm -rf $$folder; echo "$$name cannot be installed; its tests are skipped. The output is in .venv-sdk/$$name.log."; }; \
	done
	@RECORD="$(RECORD)" $(BIN)/python -m pytest -q -rs tests/sdk

clients: $(VENV)/dev.stamp ## Regenerate the types of clients/ from the OpenAPI document
	@$(BIN)/python -m dashboard.api | $(BIN)/python clients/generate.py

bench: $(VENV)/dev.stamp ## Run the benchmarks
	@missed=0; for name in http_clients templates triggers trigger_rates attacks tracking executions end_to_end fairness pipeline monitor lists runs memory; do \
	  echo "== $$name"; $(BIN)/python benchmarks/$$name.py || missed=1; \
	done; exit $$missed

# As the benchmarks of make bench, with rounds so short that only large changes show.
bench-quick: $(VENV)/dev.stamp ## Run the most telling benchmarks, shortened to two minutes
	@missed=0; for command in "templates" "triggers 3" "executions 1 500 4" "end_to_end 600" "fairness 3 500"; do \
	  set -- $$command; name=$$1; shift; echo "== $$name"; $(BIN)/python benchmarks/$$name.py "$$@" || missed=1; \
	done; exit $$missed

bench-large: $(VENV)/dev.stamp ## Measure search and lists on a large database that is kept (N=10000000 executions)
	@$(BIN)/python benchmarks/large.py $(or $(N),10000000)

bench-peers: $(VENV)/dev.stamp ## Compare with Oban, DBOS, PgQueuer and Absurd (PEERS_PYTHON=python3.13)
	@$(BIN)/python benchmarks/peers.py

chaos: $(VENV)/dev.stamp ## Inject faults under load and count losses (N=2000 executions, KILLS=10, FAULTS=10)
	@$(BIN)/python benchmarks/chaos.py $(or $(N),2000) $(or $(KILLS),10) $(or $(FAULTS),10)

lock: ## Update the pinned dependencies (needs uv)
	@for arguments in "requirements.lock --extra local" "requirements-dev.lock --extra local --extra otel --group dev"; do \
	  set -- $$arguments; file=$$1; shift; \
	  uv pip compile pyproject.toml "$$@" --universal --generate-hashes --python-version 3.11 \
	    --no-emit-index-url --no-emit-find-links --no-annotate --no-header -q -o $$file; \
	done
	@for name in $(SDKS); do \
	  uv pip compile tests/sdk/$$name/requirements.in --universal --generate-hashes --python-version 3.11 \
	    --no-emit-index-url --no-emit-find-links --no-annotate --no-header -q -o tests/sdk/$$name/requirements.lock; \
	done

web: ## Check and build the script of customers' pages, and CodeMirror for the editor (needs Node 18 or newer)
	@cd clients/browser && npm ci --no-audit --no-fund --silent && npm run --silent check && npm run --silent build
	@cd clients/codemirror && npm ci --no-audit --no-fund --silent && npm run --silent build

# In MB: the space that an installation needs in this folder, and for the files that pip unpacks.
INSTALL_MB := 600
UNPACK_MB := 300
# Stops with one line where a folder has too little space: pip names neither.
define require_space
	@require() { free=$$(df -Pk "$$1" | awk 'NR == 2 {print int($$4 / 1024)}'); \
	    [ "$${free:-$$2}" -ge "$$2" ] || { \
	      echo "$$free MB are free in $$1; the installation requires $$2 MB there." >&2; exit 1; }; }; \
	  require "$(CURDIR)" $(INSTALL_MB) && require "$${TMPDIR:-/tmp}" $(UNPACK_MB)
endef

# The environment is created once, and updated only when its lock file or pyproject.toml has changed.
$(BIN)/python:
	$(require_space)
	@python=$$($(FIND_PYTHON)); \
	  if [ -z "$$python" ]; then echo "Beckon needs Python 3.11 or newer (set PYTHON to it)" >&2; exit 1; fi; \
	  echo "Creating the virtual environment with $$($$python --version) …"; \
	  if [ -n "$(UV)" ]; then "$(UV)" venv -q --allow-existing --python "$$python" $(VENV); \
	  else "$$python" -m venv $(VENV) || "$$python" -m venv --without-pip $(VENV); fi

# One line is printed; what pip prints goes to a file, and to the terminal if it fails.
INSTALL_LOG := $(VENV)/install.log
define install
	$(require_space)
	@echo "Installing the $$(grep -c '^[A-Za-z0-9].*==' $(1)) packages of $(1) …"
	@if [ -n "$(UV)" ]; then \
	    "$(UV)" pip install --python $(BIN)/python --require-hashes -r $(1) && \
	    "$(UV)" pip install --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	  else \
	    pip="$(BIN)/python -m pip"; \
	    $$pip --version >/dev/null 2>&1 || pip="$$($(FIND_PYTHON)) -m pip --python $(BIN)/python"; \
	    pip="$$pip --disable-pip-version-check --no-input"; \
	    $$pip install --progress-bar off --require-hashes -r $(1) && \
	    $$pip install --progress-bar off --no-deps --no-build-isolation -e .; \
	  fi >$(INSTALL_LOG) 2>&1 || { \
	    tail -n 40 $(INSTALL_LOG) >&2; \
	    echo "The packages could not be installed. The output is in $(INSTALL_LOG)." >&2; exit 1; }
	@touch $@
endef

$(VENV)/runtime.stamp: requirements.lock pyproject.toml | $(BIN)/python
	$(call install,requirements.lock)

$(VENV)/dev.stamp: requirements-dev.lock pyproject.toml | $(BIN)/python
	$(call install,requirements-dev.lock)
	@touch $(VENV)/runtime.stamp
