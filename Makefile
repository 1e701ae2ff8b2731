# Tandem. `make run` and `make test` set everything up on a machine with python3, pip and make.
PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/.ready
BUILT := .venv/.built

.PHONY: owned help run check test lint types audit format lock clean bench endurance conformance differential \
    fuzz torture explore crash faults proxy campaign naked soak sanitize frames mutants

help:
	@echo "make run          trade the simulated venues from recorded data (Ctrl-C stops)"
	@echo "make check        validate config.yaml and print the resolved settings"
	@echo "make test         run the tests"
	@echo "make lint         ruff; make types: mypy --strict; make format: ruff format"
	@echo "make audit        pinned packages against known faults"
	@echo "make lock         pin the dependencies of pyproject.toml again"
	@echo "make bench        wire to wire against two baselines, shared memory, signing (ten minutes)"
	@echo
	@echo "Proofs that take longer; docs/verification.md says what each shows:"
	@echo "make conformance  the venues' own clients, unchanged, against the simulator (a minute)"
	@echo "make differential 10,000 random orders a venue, judged by libraries we did not write (minutes)"
	@echo "make fuzz         every reader of foreign bytes, SECONDS=30 each"
	@echo "make frames       10^8 changed frames to the compiled readers, under sanitizers (minutes)"
	@echo "make sanitize     the compiled parts under AddressSanitizer and UBSan (minutes)"
	@echo "make mutants      small faults in the compiled parts, each of which a test must find (an hour)"
	@echo "make explore      every interleaving of larger trouble for the pair machine (an hour)"
	@echo "make faults       the executor under every fault script (ten minutes)"
	@echo "make proxy        88 faults between bot and venues, at entry and exit (half an hour)"
	@echo "make naked        how long a leg stands alone when one request is lost (half an hour)"
	@echo "make campaign     a thousand trades under random faults (half an hour)"
	@echo "make crash        kill every process at every point of the code (an hour)"
	@echo "make soak         trade under random kills and outages, MINUTES=30"
	@echo "make torture      ten million publishes between two processes, Python and C (ten minutes)"
	@echo "make endurance    ten million quotes through an instance (a quarter of an hour)"

# Files of two owners lock each other out: refused before the first of them is made.
owned:
	@if [ "$$(id -u)" = 0 ] && [ "$$(stat -c %u .)" != 0 ]; then \
	    echo "tandem: this directory belongs to $$(stat -c %U .), and you are root: run make as $$(stat -c %U .), without sudo" >&2; \
	    exit 2; \
	fi

CONFIG ?= config.yaml
run: owned $(BUILT)
	@echo "tandem: starting python supervisor.py --config $(CONFIG) (Ctrl-C stops in order)" >&2
	@exec $(PY) supervisor.py --config $(CONFIG)

check: owned $(BUILT)
	@$(PY) supervisor.py --check

test: owned $(BUILT)
	@echo "tandem: running the tests (real processes, sockets and an embedded PostgreSQL; a few minutes)"
	@$(PY) -m pytest --numprocesses 3 --dist worksteal

lint: $(READY)
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .

format: $(READY)
	@$(PY) -m ruff check --fix . && $(PY) -m ruff format .

types: $(READY)
	@$(PY) -m mypy

audit: $(READY)
	@$(PY) -m verification.audit

bench: $(BUILT) .venv-baselines/.ready .venv-conformance/.ready
	@$(PY) -m benchmarks

# Ten million quotes through feeds and detector: memory flat, the newest never lost (a quarter of an hour).
endurance: $(BUILT)
	@$(PY) -m benchmarks.scale --pairs 1 --rates 10000 --total 10000000

# What Tandem is compared with is built as its users would build it, in an environment of its own.
.venv-baselines/.ready: benchmarks/baselines/requirements.lock
	$(call environment,.venv-baselines,benchmarks/baselines/requirements.lock,--no-deps)

explore: $(READY)
	@$(PY) -m verification.unwind_choice
	@$(PY) -m verification.explore

torture: $(READY)
	@$(PY) -m verification.torture --publishes 10000000

# Both build in a copy of the project: what is built here stays as it is.
frames: $(READY)
	@$(PY) -m verification.native.frames

sanitize: $(READY)
	@$(PY) -m verification.native.sanitize

mutants: $(READY)
	@$(PY) -m verification.native.mutants

crash: $(READY)
	@$(PY) -m verification.crash

MINUTES ?= 30
soak: $(READY)
	@$(PY) -m verification.crash.soak --minutes $(MINUTES)

faults: $(READY)
	@$(PY) -m verification.faults

proxy: $(READY)
	@$(PY) -m verification.proxy

campaign: $(READY)
	@$(PY) -m verification.campaign

naked: $(BUILT)
	@$(PY) -m verification.lost_requests

# paradex-py and ccxt pin what we do not, so they run in an environment of their own.
conformance: $(READY) .venv-conformance/.ready
	@echo "tandem: running the SDKs and ccxt against the simulator (about a minute)" >&2
	@$(PY) -m verification.conformance .venv-conformance/bin/python

# --no-deps: everything needed is pinned, and overrides.txt says what is left out on purpose.
.venv-conformance/.ready: verification/conformance/requirements.lock
	$(call environment,.venv-conformance,verification/conformance/requirements.lock,--no-deps --no-compile)

# starknet-py pins what we do not, so it judges in an environment of its own, and imports nothing of ours.
differential: $(READY) .venv-differential/.ready .venv-differential-hyperliquid/.ready
	@$(PY) -m verification.differential.vest_orders 10000
	@$(PY) -m verification.differential.paradex_orders 10000 \
	    | .venv-differential/bin/python verification/differential/check_with_starknet_py.py 10000
	@$(PY) -m verification.differential.hyperliquid_orders 10000 \
	    | .venv-differential-hyperliquid/bin/python \
	    verification/differential/check_with_hyperliquid_sdk.py 10000

.venv-differential/.ready: verification/differential/requirements.txt
	$(call environment,.venv-differential,verification/differential/requirements.txt)

# The SDK's pins and starknet-py's exclude each other. --no-deps: what it needs is pinned here.
.venv-differential-hyperliquid/.ready: verification/differential/hyperliquid.txt
	$(call environment,.venv-differential-hyperliquid,verification/differential/hyperliquid.txt,--no-deps)

# atheris lies beside the environment, not in it: no test and no process may come to need it.
SECONDS ?= 30
fuzz: $(READY) .venv-fuzz/.ready
	@PYTHONPATH=.venv-fuzz $(PY) -m verification.fuzz --seconds $(SECONDS)

.venv-fuzz/.ready: verification/fuzz/requirements.txt $(READY)
	@rm -rf .venv-fuzz
	@$(PYTHON) -m pip --python $(PY) install --quiet --disable-pip-version-check --require-hashes \
	    --target .venv-fuzz -r $<
	@touch $@

# Standard output is the log's alone: whatever is said while something is made goes to standard error.
# The environment. Debian's python3 comes without ensurepip unless python3-venv is installed; the
# second way makes the environment without pip and lets the system's pip fill it.
$(READY): requirements.lock | owned
	$(call environment,.venv,requirements.lock)

# Hot code has a compiled twin, built where there is a compiler that takes it; else the Python code serves.
$(BUILT): $(READY) runtime/native.py $(wildcard venues/*/_*.c venues/_*.h feeds/_*.[ch] detector/_*.[ch] shm/_*.h) | owned
	@$(call writable,.venv)
	@$(PY) -m runtime.native >&2 || true
	@touch $@

# $(call writable,DIRECTORY): refuse where it is somebody else's, or cannot be made here.
writable = if [ -e $(1) ] && [ ! -w $(1) ]; then \
	    echo "tandem: $(CURDIR)/$(1) belongs to $$(stat -c %U $(1)) and has to be made anew: run as that user, or remove it" >&2; \
	    exit 2; \
	elif [ ! -e $(1) ] && [ ! -w . ]; then \
	    echo "tandem: $(CURDIR) belongs to $$(stat -c %U .): run as that user, or copy it to a place of your own" >&2; \
	    exit 2; \
	fi

# $(call environment,DIRECTORY,PINNED REQUIREMENTS,MORE OPTIONS OF PIP)
define environment
	@$(call writable,$(1))
	@echo "tandem: making the Python environment $(1) (once; about a minute)" >&2
	@rm -rf $(1)
	@$(PYTHON) -m venv $(1) >/dev/null 2>&1 || { rm -rf $(1); $(PYTHON) -m venv --without-pip $(1) >&2; }
	@echo "tandem: installing the pinned packages of $(2)" >&2
	@if [ -x $(1)/bin/pip ]; then \
	    $(1)/bin/python -m pip install --quiet --disable-pip-version-check $(3) --require-hashes -r $(2) >&2; \
	else \
	    $(PYTHON) -m pip --python $(1)/bin/python install --quiet --disable-pip-version-check $(3) \
	        --require-hashes -r $(2) >&2; \
	fi
	@touch $(1)/.ready
	@echo "tandem: environment ready" >&2
endef

lock:
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	    --no-header --quiet -o requirements.lock
	uv pip compile verification/conformance/requirements.in --override verification/conformance/overrides.txt \
	    --python-platform x86_64-manylinux_2_28 --python-version 3.11 --generate-hashes \
	    --no-header --quiet -o verification/conformance/requirements.lock
	uv pip compile benchmarks/baselines/requirements.in --python-platform x86_64-manylinux_2_28 \
	    --python-version 3.11 --generate-hashes --no-header --quiet -o benchmarks/baselines/requirements.lock

clean:
	rm -rf venues/*/_*.so feeds/_*.so detector/_*.so .venv .venv-baselines .venv-conformance .venv-differential .venv-differential-hyperliquid .venv-fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis
