# Every target installs what it needs into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install train test lint format benchmark bench emulator docs clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## make .venv and install this project with its tools into it

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

train: install  ## train the translator on payne2payne; the first time makes the emulator too
	$(BIN)/python -m cyclegan.train +experiment=payne2payne

test: install  ## run the tests, in two processes
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

emulator: install  ## make the grid of spectra and train the emulator on it
	$(BIN)/python -m emulator.train

lint: install  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install  ## put the code into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: install  ## time the parts that must be fast
	$(BIN)/python -m pytest -s benchmarks

bench: install  ## what everything costs and how it grows (docs/performance.md); BENCH=--short: in a minute
	$(BIN)/python -m benchmarks.bench $(BENCH)

docs: install  ## build the documentation into site/; begin at site/index.html
	$(BIN)/mkdocs build --strict

clean:  ## remove .venv and caches, but no runs and no models
	rm -rf $(VENV) build dist *.egg-info site .cache .pytest_cache .ruff_cache .mypy_cache
