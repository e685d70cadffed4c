# itsbox: what a person types. Every target sets up what it needs first.
#
#   make demo        a real Linux boot replayed against the service, and what happened
#   make test        every test, ends with a summary
#   make serve       the service on loopback
#   make check       lint, types, layers
#   make generate    reference pages and contracts from the declarations
#   make bench       side-by-side measurements (ARGS="--rounds 1" for a quick look)
#   make mutants     mutation testing of the oracle: about an hour (docs/mutation.md)
#   make dashboard   the browser page, rebuilt (needs Node.js)

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
SYSTEM := $(VENV)/.system
MUTATION := build/mutation
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
JOBS   ?= auto
ARGS   ?=

# Commands that some tests need, and the Debian package each comes from.
SYSTEM_PACKAGES := qemu-system-aarch64:qemu-system-arm chromium:chromium

.PHONY: setup install demo test serve check generate bench mutants dashboard clean
.DEFAULT_GOAL := help
.NOTPARALLEL:

.PHONY: help
help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

setup install: $(STAMP)

# Debian splits venv from Python; as root we can fetch it.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "itsbox needs Python 3.11 or newer (make PYTHON=...)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { \
	  echo "setting up: python3-venv"; \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	    && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null; \
	  $(PYTHON) -m venv --clear $(VENV); }

# Build tools first and no build isolation: everything that is installed is pinned by constraints.txt. The client is a
# distribution of its own, whose tests live here too.
$(STAMP): pyproject.toml clients/python/pyproject.toml constraints.txt | $(BIN)/python
	@echo "setting up: Python packages"
	@$(PIP) install --constraint constraints.txt hatchling editables
	@$(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[dev]' --editable clients/python
	@touch $@

# Best effort: where this cannot be done, the tests that need a package say so by name.
$(SYSTEM): Makefile | $(BIN)/python
	@missing=""; \
	for pair in $(SYSTEM_PACKAGES); do \
	  command -v "$${pair%%:*}" >/dev/null 2>&1 || missing="$$missing $${pair##*:}"; \
	done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	    echo "setting up: Debian packages$$missing"; \
	    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	      apt-get install -y -qq --no-install-recommends $$missing; } >$(VENV)/apt.log 2>&1 \
	      || echo "  could not be installed (see $(VENV)/apt.log): tests that need them will name them"; \
	  else \
	    echo "not installed (needs root and apt-get):$$missing"; \
	  fi; \
	fi; \
	touch $@

demo: $(STAMP)
	@$(BIN)/itsbox demo $(ARGS)

serve: $(STAMP)
	@$(BIN)/itsbox serve $(ARGS)

test: $(STAMP) $(SYSTEM)
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

check: $(STAMP)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

generate: $(STAMP)
	@$(BIN)/itsbox generate $(ARGS)
	@if [ -d clients/dashboard/node_modules ]; then cd clients/dashboard && npm run --silent types; fi

bench: $(STAMP) $(SYSTEM)
	@$(BIN)/python -m benchmarks $(ARGS)

# In a copy of the tree: mutmut finds sources by the name src/. What was judged stays judged until MUTATION is removed.
mutants: $(STAMP)
	@$(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[dev,mutation]'
	@mkdir -p $(MUTATION)
	@rm -rf $(MUTATION)/src $(MUTATION)/tests $(MUTATION)/docs
	@cp -r service $(MUTATION)/src
	@cp -r tests docs pyproject.toml $(MUTATION)
	@cd $(MUTATION) && $(CURDIR)/$(BIN)/mutmut run $(ARGS)
	@cd $(MUTATION) && $(CURDIR)/$(BIN)/mutmut results

dashboard:
	@command -v npm >/dev/null || { echo "make dashboard needs Node.js 20 and npm"; exit 1; }
	@cd clients/dashboard && npm ci --silent --no-fund --no-audit && npm run --silent build

clean:
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
