# The two commands of the README are `make demo` and `make test`; `make help` lists all.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow bench lint format viz report clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(INSTALLED)  ## create .venv with the tested versions (done by the others when needed)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed; set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)  ## the main job on real digits: train three methods, sample, judge, report
	$(BIN)/kedro run
	@echo "Report: $$(ls -t data/08_reporting/digits_even/*/report.html | head -n 1)"

test: $(INSTALLED)  ## the tests (minutes)
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(INSTALLED)  ## the tests that take longer
	$(BIN)/python -m pytest -m slow

bench: $(INSTALLED)  ## speed and memory against plain diffusers (docs/benchmarks.md)
	$(BIN)/python benchmarks/engine.py

lint: $(INSTALLED)  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED)  ## apply the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

viz: $(INSTALLED)  ## look at the DAG in the browser
	$(BIN)/kedro viz run

report: $(INSTALLED)  ## render the report from what is saved
	$(BIN)/kedro run --pipeline=report

clean:  ## delete everything that runs have made under data/ (not the environment)
	find data -mindepth 2 ! -name .gitkeep -delete
