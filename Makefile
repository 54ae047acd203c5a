# Everything happens inside .venv; nothing else of the machine is touched. Needs Python 3.11+ with pip, make and git.
#
#   make run       serve the demo commune            PORT=8000 DATA=./data
#   make test      what a change needs               PYTEST_ARGS="-k notice -n0"
#   make test-long faults, soak, the wide end of tables
#   make check     style, types, import contracts    make format mends what can be mended
#   make bench     measure, and print every figure   BENCH_ARGS=
#   make install   only the environment              EXTRAS=postgres for a PostgreSQL server
#   make clean     take the environment and caches away; data stays

PYTHON ?= python3
PORT ?= 8000
DATA ?= ./data
EXTRAS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
LOCKED := .venv/.made pyproject.toml constraints.txt

.PHONY: install run test test-long check format bench clean help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

# Some systems keep the pip of virtual environments in a package of its own (Debian: python3-venv); the machine's own pip then puts one in.
.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Cần Python 3.11 trở lên / Python 3.11 or newer is needed: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@echo "Making .venv ..."
	@$(PYTHON) -m venv .venv >/dev/null 2>&1 || { \
		$(PYTHON) -m venv --clear --without-pip .venv && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }
	@touch $@

# One stamp for each set of packages: what is there is not installed again until a version changes. A larger set holds the smaller ones.
.venv/.run: $(LOCKED)
	@echo "Installing what running needs (the first time takes a minute) ..."
	@$(PIP) --editable .
	@touch $@

.venv/.test: $(LOCKED)
	@echo "Installing what the tests need ..."
	@$(PIP) --editable '.[test]'
	@touch .venv/.run $@

.venv/.dev: $(LOCKED)
	@echo "Installing what the checks need ..."
	@$(PIP) --editable '.[test,dev]'
	@touch .venv/.run .venv/.test $@

install: .venv/.run
	@test -z "$(EXTRAS)" || $(PIP) --editable '.[$(EXTRAS)]'

run: .venv/.run
	@exec $(BIN)/loa demo --port "$(PORT)" --data "$(DATA)"

# The browser and the programs of the system are looked for (and fetched) once, here; without one the tests that need it fail by
# name and all others still run.
# Two workers, begun with one half each: files stay together, so that their servers start once.
test: .venv/.test
	@LOA_BROWSER="$$($(BIN)/python -m tests.browser)" || LOA_BROWSER=none; export LOA_BROWSER; \
	$(BIN)/python -m tests.debian >/dev/null || true; \
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not long" $(PYTEST_ARGS)

test-long: .venv/.test
	@$(BIN)/python -m pytest -n 2 -m long $(PYTEST_ARGS)

check: .venv/.dev
	@failed=; \
	say() { printf '== %s\n' "$$*"; "$$@" || failed="$$failed\n  $$*"; }; \
	say $(BIN)/ruff check .; \
	say $(BIN)/ruff format --check .; \
	say $(BIN)/mypy; \
	say $(BIN)/lint-imports --no-logo; \
	if [ -n "$$failed" ]; then \
		printf "\nTo mend ('make format' does part of it):$$failed\n" >&2; exit 1; \
	fi; \
	echo "All clean."

format: .venv/.dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: .venv/.test
	@exec $(BIN)/python -m bench $(BENCH_ARGS)

clean:
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache test-results *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
