# Tandem. `make run` and `make test` set everything up on a machine with python3, pip and make.
PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/.ready

.PHONY: help run check test lint types format bench torture lock clean

help:
	@echo "make run      trade the simulated venues from recorded data (Ctrl-C stops)"
	@echo "make check    validate config.yaml and print the resolved settings"
	@echo "make test     run the tests"
	@echo "make lint     ruff; make types: mypy --strict; make format: ruff format"
	@echo "make bench    measure: shared memory, signing, quote to orders"
	@echo "make torture  ten million publishes between two processes"
	@echo "make lock     pin the dependencies of pyproject.toml again"

run: $(READY)
	@echo "tandem: starting python supervisor.py (mode of config.yaml; Ctrl-C stops in order)" >&2
	@exec $(PY) supervisor.py

check: $(READY)
	@$(PY) supervisor.py --check

test: $(READY)
	@echo "tandem: running the tests (real processes, sockets and an embedded PostgreSQL; a few minutes)"
	@$(PY) -m pytest

lint: $(READY)
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .

format: $(READY)
	@$(PY) -m ruff check --fix . && $(PY) -m ruff format .

types: $(READY)
	@$(PY) -m mypy

bench: $(READY)
	@$(PY) -m benchmarks

torture: $(READY)
	@$(PY) -m tests.shm.torture --publishes 10000000

# The environment. Debian's python3 comes without ensurepip unless python3-venv is installed; the
# second way makes the environment without pip and lets the system's pip fill it.
$(READY): requirements.lock
	@echo "tandem: making the Python environment .venv (once; about a minute)" >&2
	@rm -rf .venv
	@$(PYTHON) -m venv .venv 2>/dev/null || { rm -rf .venv; $(PYTHON) -m venv --without-pip .venv; }
	@echo "tandem: installing the pinned packages of requirements.lock" >&2
	@if [ -x .venv/bin/pip ]; then \
	    $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
	else \
	    $(PYTHON) -m pip --python $(PY) install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
	fi
	@touch $(READY)
	@echo "tandem: environment ready" >&2

lock:
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	    --no-header --quiet -o requirements.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
