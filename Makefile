# make demo | test | board; everything else is for working on paredown itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
# Only what is imported is compiled, when it is: half the time of an installation goes into compiling all the rest.
PIP := $(BIN)/pip install --no-compile --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-cluster board lint types check benchmark calibration chaos screenshots clean

demo: $(VENV)/.run
	$(BIN)/paredown run demo

board: $(VENV)/.run
	$(BIN)/paredown board

# Hundreds of processes import the same files, and compile them once, whatever the environment says.
unexport PYTHONDONTWRITEBYTECODE

# Three at a time, for most of them wait now and then: whatever shares a Ray cluster, a browser or a file stays together.
test: $(VENV)/.test
	$(BIN)/python -m pytest -n 3 --dist loadgroup --no-loadscope-reorder --ignore tests/hosts

# A head and two workers as hosts of their own on this machine, which fail in turn. Needs root; skipped without.
test-cluster: $(VENV)/.test
	$(BIN)/python -m pytest -rs tests/hosts

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.lint
	$(BIN)/mypy

check: lint types test test-cluster

# Claims of speed, measured side by side; prints tables, judges nothing.
benchmark: $(VENV)/.test $(PEERS)/pipeline/.ready $(PEERS)/evaluator/.ready $(PEERS)/summarizer/.ready $(PEERS)/optimum/.ready
	$(BIN)/python -m tests.performance.bench_int8_linear
	$(BIN)/python -m tests.performance.bench_snapshot
	$(BIN)/python -m tests.performance.bench_zero_shot
	$(BIN)/python -m tests.performance.bench_throughput
	$(BIN)/python -m tests.performance.bench_latency_peers
	$(BIN)/python -m tests.performance.bench_memory_peers
	$(BIN)/python -m tests.performance.bench_memory_jobs
	$(BIN)/python -m tests.performance.bench_frontier
	$(BIN)/python -m tests.performance.bench_scale
	$(BIN)/python -m tests.performance.bench_writer
	$(BIN)/python -m tests.performance.bench_placement
	$(BIN)/python -m tests.performance.bench_ray
	$(BIN)/python -m tests.performance.bench_board

# Does the tool keep its promises about its own numbers? Wants the machine for itself for two hours.
calibration: $(VENV)/.test
	$(BIN)/python -m tests.calibration.measuring
	$(BIN)/python -m tests.calibration.deciding
	$(BIN)/python -m tests.calibration.deciding --alone --scale 4
	$(BIN)/python -m tests.calibration.racing
	$(BIN)/python -m tests.calibration.settling
	$(BIN)/python -m tests.calibration.settling --ties 200
	$(BIN)/python -m tests.calibration.confirming

# Every page of a store at two widths, light and dark, to be looked at: make screenshots STORE=FOLDER OUT=FOLDER
STORE ?= results/store
OUT ?= build/screenshots
screenshots: $(VENV)/.test
	$(BIN)/python -m tests.browser.screenshots --store $(STORE) --out $(OUT)

# Random kills of any process or host, with the workers' own notes as witnesses. Needs root and about an hour.
chaos: $(VENV)/.test
	$(BIN)/python -m tests.chaos --out results/reference/chaos.md

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("paredown needs Python 3.11 or newer: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

# Those that paredown is compared with, each with its own libraries.
$(PEERS)/%/.ready: tests/performance/peers/%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(VENV)/.run: $(BIN)/python constraints.txt pyproject.toml
	$(PIP) -e '.[cluster,board]'
	touch $@

$(VENV)/.test: $(VENV)/.run
	$(PIP) -e '.[test]'
	touch $@

$(VENV)/.lint: $(VENV)/.test
	$(PIP) -e '.[test,lint]'
	touch $@

clean:
	rm -rf $(VENV) $(PEERS) build dist *.egg-info .mypy_cache .ruff_cache
