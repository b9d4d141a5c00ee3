# Everything lives in the checkout: .venv is made when it is missing, and again when what it is made from changed.
PYTHON ?= python3
BIN := .venv/bin
SET_UP := .venv/set-up

.PHONY: demo test lint types pytest clean

demo: $(SET_UP)
	$(BIN)/python demo/run.py

test: lint types pytest

lint: $(SET_UP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(SET_UP)
	$(BIN)/mypy

pytest: $(SET_UP)
	$(BIN)/python -m pytest

$(SET_UP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt apache-airflow --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
