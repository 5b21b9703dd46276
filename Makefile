# Everything runs from a virtual environment in .venv, made on first use and refreshed when its inputs change.

PYTHON ?= $(shell command -v python3.11 || command -v python3 || command -v python)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEMO   := demo

.PHONY: help demo test test-slow lint format clean

help:
	@echo "make demo       generate a dataset with the embedded weights into $(DEMO)/, with its audit, report and card"
	@echo "make test       run the test suite (without the tests marked slow)"
	@echo "make test-slow  run the tests marked slow"
	@echo "make lint       ruff, mypy and the import contracts"
	@echo "make format     apply ruff's formatting and import order"
	@echo "make clean      remove $(VENV), $(DEMO)/ and every cache"

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Error: no Python found; install Python 3.11 or newer, or run make PYTHON=/path/to/python."; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing vec2face and its tested dependencies into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/vec2face generate demo --out $(DEMO)
	@echo
	@echo "Contact sheets, plots and report: $(DEMO)/report/ (open $(DEMO)/report/report.html)"
	@echo "Dataset card:                     $(DEMO)/report/card.md"

test: $(STAMP)
	$(BIN)/python -m pytest

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow --timeout=3600 --durations=10

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) $(DEMO) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
