# Two commands are enough on a fresh machine: `make demo` and `make test`. Each installs what it needs.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# One more than there are cores: most tests wait for something.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTHON_FOUND := $(shell command -v $(PYTHON) || command -v python3)

.PHONY: help install demo test test-spinnaker test-forge heavy long soak bench check schemas agent clean

help:
	@echo "make demo     play the main story on a sandbox on this machine (KEEP=1: leave it running)"
	@echo "make test     run the tests, some at once (ARGS='-n0 -k word': as you like)"
	@echo "make test-spinnaker  the contract of Spinnaker's Gate: the sandbox beside Orca's real engine (a JDK 17, Maven)"
	@echo "make test-forge  the contract of forges against a real Gitea, built from its Go module (Go 1.26, a C compiler)"
	@echo "make heavy    the tests that need minutes and the whole machine (replicas on PostgreSQL that die and come back)"
	@echo "make long     all that takes longer still: stories with many hosts, 5,000 histories, upgrades, a Debian root, a minute of soak"
	@echo "make soak     random faults for MINUTES=30, then everything must be as Git says (SEED=..., LOG=a folder to keep)"
	@echo "make bench    measure the budgets, as a table and as JSON"
	@echo "make check    ruff, mypy --strict, import-linter and the layout laws"
	@echo "make agent    build the agent's zipapp and .deb into dist/ (ARCH=arm64, VERSION=1.2.3: others)"
	@echo "make schemas  write the published JSON Schemas again"
	@echo "make install  make $(VENV) with everything in it"

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON_FOUND) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Fairlead needs Python 3.11 or newer; say PYTHON=/path/to/python3.11"; exit 1; }
	@echo "installing into $(VENV) (about a minute, once) ..."
	@$(PYTHON_FOUND) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install
	@$(BIN)/fairlead-sandbox demo $(if $(KEEP),--keep)

test: install
	@$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile $(ARGS)

test-spinnaker: install
	@$(BIN)/python -m tests.contract.spinnaker.servers $(ARGS)

test-forge: install
	@$(BIN)/python -m tests.contract.real_forge $(ARGS)

heavy: install
	@$(BIN)/pytest -m heavy $(ARGS)

long: install
	@$(BIN)/pytest -m long $(ARGS)

soak: install
	@SOAK_MINUTES=$(or $(MINUTES),30) SOAK_SEED=$(SEED) SOAK_LOG=$(or $(LOG),build/soak) $(BIN)/pytest -m long -n0 -s tests/acceptance/soak $(ARGS)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports
	$(BIN)/pytest -q tests/unit/test_layout.py

schemas: install
	$(BIN)/fairlead schemas --write docs/schemas

agent: install
	@$(BIN)/python -m deploy.agent --to dist $(if $(ARCH),--arch $(ARCH)) $(if $(VERSION),--version $(VERSION))

bench: install
	@$(BIN)/python -m tests.benchmarks --scale $(or $(SCALE),small) $(if $(ROWS),--rows $(ROWS))

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
