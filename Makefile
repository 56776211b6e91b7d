# Everything goes through .venv, which is made here once, from pyproject.toml and constraints.txt.
# Another Python: make PYTHON=python3.12. The two PIP_ variables pin what builds linnet, too; older and newer pips read one each.

PYTHON ?= python3
BIN := .venv/bin
PARALLEL := -n auto --dist loadfile  # a file's tests in one process: they share what is slow to make
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
SOURCES := pyproject.toml constraints.txt $(wildcard native/*.toml native/include/*.h native/backend/*.py) src/linnet/tokenizer/unicode_classes.txt src/linnet/tokenizer/unicode_lower.txt $(shell find native/src -name "*.rs")

.PHONY: help demo test check bench clean
.DEFAULT_GOAL := help

help:  ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.use  ## Four minutes: make stories, train a small model on them, let it write
	@$(BIN)/linnet demo

test: .venv/.develop  ## All tests, by all cores
	@$(BIN)/python -m pytest $(PARALLEL)

check: .venv/.develop  ## What has to pass before a commit: style, types, import order, all tests
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest $(PARALLEL)

bench: .venv/.develop  ## The benchmarks, one table each
	@test -d benchmarks || { echo "there are no benchmarks here"; exit 1; }
	@for file in $(filter-out benchmarks/preparing.py, $(sort $(wildcard benchmarks/*.py))); do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

clean:  ## Throw away .venv, caches and builds; runs/ stays
	rm -rf .venv build dist native/target src/linnet/_native .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "linnet needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/.use: .venv/bin/python $(SOURCES)
	@echo "Installing linnet and PyTorch into .venv, once: about a minute, longer where PyTorch has to be downloaded"
	@$(PIP) -e '.[report]'
	@touch $@

.venv/.develop: .venv/bin/python $(SOURCES)
	@echo "Installing linnet and all that its tests need into .venv, once: one to three minutes"
	@$(PIP) -e '.[data,sources,hub,ray,report,tensorboard,translation,dev]'
	@touch .venv/.use $@
