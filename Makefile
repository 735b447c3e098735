# Needs make and Python 3.11 or newer. Everything is installed into .venv; what is installed already is left as it is.

VENV := .venv
BIN := $(VENV)/bin
PYTHONS := $(PYTHON) python3.14 python3.13 python3.12 python3.11 python3 python
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
WORKERS ?= 2
FUZZ_SECONDS ?= 60
SOAK_MINUTES ?= 480
ARGS ?=

# Made once each, and again when pyproject.toml has changed.
MADE := $(VENV)/.made
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: help demo install test style types coverage interop bench simulate soak fuzz test-matrix clean

help:  ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED)  ## see it work: some nodes on this machine, over real sockets
	@echo "== cortexnet demo"
	@$(BIN)/cortexnet demo

install: $(INSTALLED_DEV)  ## make .venv with the package and all that development needs

test: $(INSTALLED_DEV)  ## run the tests (ARGS="tests/mux -x" runs some of them)
	@echo "== tests, $(WORKERS) at a time"
	@$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

style: $(INSTALLED_DEV)  ## lint, and check the format
	@echo "== ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(INSTALLED_DEV)  ## check types, strictly
	@echo "== mypy"
	@$(BIN)/mypy

coverage: $(INSTALLED_DEV)  ## run the tests and demand that the protocol cores are covered in full, branches too
	@echo "== coverage of the cores"
	@$(BIN)/python scripts/coverage_of_cores.py -n $(WORKERS) $(ARGS)

interop: $(INSTALLED)  ## talk to other implementations (needs Go, cargo and npm; CORTEXNET_INTEROP=required fails without)
	@echo "== interop"
	@$(BIN)/python -m interop.run $(ARGS)

bench: $(INSTALLED)  ## measure against a ceiling, go-libp2p and rust-libp2p in one run
	@echo "== benchmarks"
	@$(BIN)/python -m bench $(ARGS)

simulate: $(INSTALLED)  ## run the simulations at full size, up to 10,000 nodes (ARGS="kad lookups" runs one)
	@echo "== simulations"
	@$(BIN)/python -m simulation $(ARGS)

soak: $(INSTALLED)  ## 30 nodes under all kinds of faults for SOAK_MINUTES (480); a check after each round of them
	@echo "== soak, $(SOAK_MINUTES) minutes"
	@$(BIN)/python -m soak --minutes $(SOAK_MINUTES) $(ARGS)

fuzz: $(INSTALLED_DEV)  ## run the property tests with ever new seeds for FUZZ_SECONDS (60)
	@echo "== fuzz, $(FUZZ_SECONDS) s"
	@$(BIN)/python scripts/fuzz.py --seconds $(FUZZ_SECONDS) --workers $(WORKERS) $(ARGS)

test-matrix: $(INSTALLED_DEV)  ## run the tests on each Python from 3.11 to 3.14 that is installed
	@$(BIN)/python scripts/test_matrix.py $(ARGS)

clean:  ## remove the environments, caches and reports (not .hypothesis: it has the failing examples)
	rm -rf .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .coverage .coverage.* htmlcov build dist
	rm -rf interop/build interop/results interop/peers/js/node_modules bench/results soak/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pyenv puts names on the PATH that fail when they are called, so each one is tried.
$(MADE):
	@if ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
	  for python in $(PYTHONS); do \
	    if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	      echo "== making $(VENV) with $$("$$python" --version) ($$python)"; \
	      "$$python" -m venv $(VENV) && break || exit 1; \
	    fi; \
	  done; \
	fi
	@test -x $(BIN)/python || { \
	  echo "No Python 3.11 or newer with venv was found (tried: $(PYTHONS)); name one with: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PIP) --upgrade 'pip>=25.1'
	@touch $@

$(INSTALLED): $(MADE) pyproject.toml
	@echo "== installing cortexnet into $(VENV)"
	@$(PIP) --editable .
	@touch $@

$(INSTALLED_DEV): $(INSTALLED) pyproject.toml
	@echo "== installing what development needs into $(VENV)"
	@$(PIP) --group dev
	@touch $@
