# `make demo` and `make test` do all set-up from a bare checkout: virtual environment, dependencies
# at the versions of constraints.txt, then the job.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STORE ?= normbench-runs
# More than there are cores: many tests wait for processes.
JOBS ?= 3

# Tests start hundreds of processes, and installation compiles nothing: what one process compiles the
# next must find.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: coverage demo test lint types unit test-slurm test-dask test-postgres test-browser bench clean

demo: $(VENV)/.ready
	$(BIN)/normbench run digits_cnn_bn sgd --seeds 5 --store $(STORE)
	@echo
	@echo "Curves and runs in MLflow: $(BIN)/normbench ui --store $(STORE)"

test: lint
	$(MAKE) --no-print-directory --jobs 2 types $(VENV)/.compiled
	$(MAKE) --no-print-directory unit

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy

unit: $(VENV)/.ready
	$(BIN)/python -m slipcover -m pytest --numprocesses $(JOBS) --dist worksteal

# `make test` measures which lines are run; this measures branches, too, and takes longer.
coverage: $(VENV)/.ready
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal --cov --cov-report=term

# Starts a real SLURM on this machine, with fake GPUs; needs root, and apt unless it is installed.
test-slurm: $(VENV)/.ready
	tests/slurm/start_one_node_slurm.sh
	$(BIN)/python -m pytest --numprocesses 0 -m slurm tests/slurm; \
		status=$$?; tests/slurm/stop_one_node_slurm.sh; exit $$status

# All tests on a real Dask cluster; `make test` runs the shorter ones of them.
test-dask: $(VENV)/.ready
	NORMBENCH_TEST_DASK=1 $(BIN)/python -m pytest --numprocesses 0 tests/end_to_end/test_dask_launcher.py

# Starts a PostgreSQL of its own in a temporary folder; `make test` does so too where it is installed.
test-postgres: $(VENV)/.ready
	$(BIN)/python -m pytest --numprocesses 0 -m postgres tests/suite/tracking

# MLflow's own pages on a published leaderboard too, which `make test` leaves out; needs Chromium.
test-browser: $(VENV)/.ready
	NORMBENCH_TEST_BROWSER=1 $(BIN)/python -m pytest --numprocesses 0 tests/browser

bench: $(VENV)/.ready
	$(BIN)/normbench bench cifar10_3c3d_bn
	$(BIN)/normbench bench cifar10_resnet20

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("normbench needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable . --group dev
	touch $@

# Compiles what tests import, once and not in each of their processes; a faulty test is `unit`'s to tell.
$(VENV)/.compiled: $(VENV)/.ready
	-$(BIN)/python -m pytest --collect-only --quiet --numprocesses 0 >$@ 2>&1
