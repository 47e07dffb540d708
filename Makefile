# The same verbs here and in CI. `make` alone lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help setup check fix test test-all studio demo docs bench clean

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Compiled files are kept even where the environment forbids it: without them every process of the tests compiles again.
TEST_SETTINGS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE PYTHONDONTWRITEBYTECODE=
CLIPS := $(wildcard tests/real_clips.py)

help:  ## list the verbs
	@echo "usage: make VERB"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 12

setup: .venv/installed $(if $(CLIPS),.venv/clips)  ## make .venv, install everything, fetch the test clips (quick when nothing changed)

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
		echo "Chronotope needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make setup PYTHON=python3.12"; exit 1; }
	[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv || { echo "No virtual environment could be made. On Debian: apt-get install python3-venv"; exit 1; }
	echo "installing torch, then everything else, into .venv (a few minutes the first time)"
	$(INSTALL) torch==2.13.0
	$(INSTALL) -e '.[dev]'
	touch $@

.venv/clips: .venv/installed $(CLIPS)
	@echo "fetching the real clips that some tests watch"
	if $(BIN)/python $(CLIPS); then touch $@
	else echo "Some clips could not be fetched: the tests that need them are skipped. The next 'make setup' tries again."; fi

check: setup  ## lint, format, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

fix: setup  ## let ruff format and repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: setup check  ## everything CI runs: setup, check, fast tests
	$(TEST_SETTINGS) $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

test-all: setup check  ## the slow, end-to-end, GPU and mutation tests too
	$(INSTALL) -e '.[mutation,ocr]'
	$(TEST_SETTINGS) $(BIN)/python -m pytest -n 2 --dist loadfile -m "" $(ARGS)

studio:  ## check and build the page of the service again, from studio/ (needs node)
	cd studio && npm ci --silent && npm run check && npm run build

demo: setup  ## videos from prompts and a photo, in out/demo/index.html
	bash runs/demo.sh

docs: setup  ## write the generated pages again, then build the site in site/ (strict: dead links fail)
	$(BIN)/python tools/generate_docs.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: setup  ## measure the shipped model; writes into benchmarks/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks.first_light
	$(BIN)/python -m benchmarks.canvas

clean:  ## remove the environment and all caches; datasets, runs and results stay
	rm -rf .venv .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
