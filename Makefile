# The two commands of the README are `make demo` and `make test`; `make help` lists all.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TOOLS := $(VENV)/.tools
# Each test uses one thread; a process for each core runs files of tests, the longest files first.
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder --ignore=tests/browser
# Python traces lines cheaply from 3.12 on (sys.monitoring).
COVERED := import sys; print('--cov' if sys.version_info >= (3, 12) else '')
CACHES := .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis build

AUDIT := build/audit
TEXT := build/text

.DEFAULT_GOAL := help
.PHONY: help install demo test coverage test-slow test-text test-browser bench lint audit docs format viz viz-static report screenshots clean clean-data

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

install: $(TOOLS)  ## create .venv with the tested versions (done by the others when needed)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "Python 3.10 or newer is needed; set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable .
	@touch $@

# What tests, style and documentation need on top; `make demo` does without.
$(TOOLS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)  ## the main job on real digits: train three methods, sample, judge, report
	$(BIN)/kedro run --pipeline=recommended
	@echo "Report: $$(ls -t data/08_reporting/digits_even/*/report.html | head -n 1)"

test: $(TOOLS)  ## the tests (minutes); on Python 3.12 and newer with the coverage of src/
	COVERAGE_CORE=sysmon $(BIN)/python -m pytest $(PARALLEL) -m "not slow" $$($(BIN)/python -c "$(COVERED)")

coverage: $(TOOLS)  ## the tests with the coverage of src/ (slower on Python 3.10 and 3.11)
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow" --cov

test-slow: $(TOOLS)  ## the tests that take longer
	$(BIN)/python -m pytest -m slow

# Where the extra is installed, every program that uses diffusers starts two seconds later.
test-text: $(TOOLS)  ## the text-to-image example, its extra in an environment of its own
	$(PYTHON) -m venv $(TEXT)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$($(TEXT)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/base.pth"
	$(TEXT)/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[text]'
	$(TEXT)/bin/python -m pytest tests/test_text_to_image.py

test-browser: $(TOOLS)  ## the pages in a real browser (needs Chromium: apt install chromium)
	$(BIN)/python -m pytest tests/browser

bench: $(TOOLS)  ## speed and memory (docs/benchmarks.md)
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/folders.py
	$(BIN)/python benchmarks/sensitivity.py --speed 22000
	$(BIN)/python benchmarks/time_to_effect.py --seeds 0

lint: $(TOOLS)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

audit:  ## ask PyPI which pinned versions have known vulnerabilities (needs the network)
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(AUDIT)/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

docs: $(TOOLS)  ## the documentation as a site in build/site; its links and claims are checked
	$(BIN)/python -m pytest tests/test_repository.py & tested=$$!; \
		$(BIN)/python docs/site/build.py && wait $$tested

format: $(TOOLS)  ## apply the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

viz: $(INSTALLED)  ## look at the DAG in the browser
	$(BIN)/kedro viz run

viz-static: $(INSTALLED)  ## the DAG as a folder build/ to put on a web server
	$(BIN)/kedro viz build

report: $(INSTALLED)  ## render the report of make demo from what is saved
	$(BIN)/kedro run --pipeline=recommended_report

screenshots: $(TOOLS)  ## the pictures and the terminal of the documentation (after make demo; needs Chromium)
	$(BIN)/python docs/site/screenshots.py
	$(BIN)/python docs/site/first_minute.py

clean:  ## delete caches (not the environment, not data)
	rm -rf $(CACHES)
	find benchmarks src tests -name __pycache__ -prune -exec rm -rf {} +

clean-data:  ## delete what runs have made under data/, after a question (not data/01_raw)
	@du -sh data/0[2-8]_*
	@printf 'Delete all files in these folders? [y/N] '; read answer; [ "$$answer" = y ]
	find data -mindepth 2 -path 'data/0[2-8]_*' ! -name .gitkeep -delete
