# Two targets work on a fresh machine: `make demo` and `make test`. Everything else is for developers.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
# Byte code makes every start faster; some environments switch it off.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all unit lint bench clean needs ready

demo: ready $(VENV)/.installed
	@tools/demo

# Everything, with what it needs installed first (Debian, Ubuntu); a test that cannot run is a failure as root.
test: needs $(VENV)/.developer
	@tools/run-tests

test-all: needs $(VENV)/.developer lint
	@tools/run-tests --with-slow

# What needs nothing but Python: seconds.
unit: $(VENV)/.developer
	$(BIN)/pytest -q -m "not root and not userns and not network and not netadmin and not overlay and not cgroup and not peer and not slow"

lint: $(VENV)/.developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed
	$(BIN)/python -m tests.benchmarks $(BENCH)

needs:
	@tools/needs

ready:
	@tools/ready

$(VENV)/.installed: pyproject.toml
	@tools/make-venv $(VENV) .
	@touch $@

$(VENV)/.developer: pyproject.toml $(VENV)/.installed
	@tools/make-venv $(VENV) '.[all,dev]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
