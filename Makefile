# Everything lives in the checkout: .venv is made when it is missing, and again when what it is made from changed.
PYTHON ?= python3
BIN := .venv/bin
SET_UP := .venv/set-up
# Most tests wait for a tenant rather than compute, so more test processes than processors still help.
WORKERS ?= 4
# Those of `make quick` compute.
QUICK_WORKERS ?= 2
BENCH_BIN := .venv-bench/bin
BENCH_SET_UP := .venv-bench/set-up

# Installs a dependency group beside the package. uv does it, because the pip of Python 3.11 knows no groups (PEP 735).
install = $(1)/python -m uv pip install --quiet --python $(1)/python $(2) --group $(3) apache-airflow --editable '.[sandbox]'

.PHONY: demo test quick lint types pytest package matrix lowest constraints chaos live bench clean

demo: $(SET_UP)
	$(BIN)/python demo/run.py

test: lint types pytest

lint: $(SET_UP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: $(SET_UP)
	$(BIN)/mypy

# For between two edits: lint, types, and the tests of cloud/ and runs/, which need neither Airflow nor its database. It
# leaves out tests/provider and tests/faults (Airflow), tests/contract, tests/sandbox, the tests of chaos, live and the
# pages beside them, and the modules marked as slow: property tests, finding a run, rate limits, many waits at a time.
quick: lint types
	$(BIN)/python -m pytest -n $(QUICK_WORKERS) --dist worksteal -m "not slow" tests/cloud tests/runs

pytest: $(SET_UP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# The source distribution and the wheel, in dist/.
package: $(SET_UP)
	rm -rf dist
	$(BIN)/python -m uv build --quiet --out-dir dist

# The whole suite on each Airflow that is supported, about eight minutes for each: `make matrix AIRFLOW=3.1` for one.
matrix: $(SET_UP)
	$(BIN)/python -m matrix $(if $(AIRFLOW),$(AIRFLOW),--write)

# The same on the lowest versions that pyproject.toml declares.
lowest: $(SET_UP)
	$(BIN)/python -m matrix lowest

# Which versions those are: for an Airflow those of the week after its release, but for the provider that bridges them.
constraints: $(SET_UP)
	$(BIN)/python -m matrix.constraints $(AIRFLOW)

# A real Airflow, on PostgreSQL, is broken on purpose: half an hour, no part of `make test`. Some of the scenarios:
# `make chaos SCENARIOS="3 4"`.
chaos: $(SET_UP)
	$(if $(AIRFLOW),$(BIN)/python -m matrix --set-up $(AIRFLOW))
	$(if $(AIRFLOW),.venvs/$(AIRFLOW)/bin,$(BIN))/python -m chaos $(SCENARIOS) --write

# Compares a real tenant with what is expected here: QLIK_TENANT and QLIK_API_KEY (or QLIK_CLIENT_ID and QLIK_CLIENT_SECRET) say
# which. It only reads, but for one real run each: `make live LIVE="--app ID --task ID --automation ID --output report.md"`.
live: $(SET_UP)
	@$(BIN)/python -m live $(LIVE)

# An hour and a quarter: most of it are waits in real time. BENCH names some of them: `make bench BENCH="parsing paging"`.
bench: $(BENCH_SET_UP)
	$(BENCH_BIN)/python -m benchmarks $(BENCH)

$(SET_UP): pyproject.toml constraints/3.3.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints/3.3.txt uv
	$(call install,$(BIN),--constraint constraints/3.3.txt,dev)
	touch $@

# The packages to compare with have an environment of their own.
$(BENCH_SET_UP): pyproject.toml constraints/3.3.txt constraints/bench.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv --clear .venv-bench
	$(BENCH_BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints/3.3.txt uv
	$(call install,$(BENCH_BIN),--constraint constraints/3.3.txt --constraint constraints/bench.txt,bench)
	touch $@

clean:
	rm -rf .venv .venv-bench .venvs .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
