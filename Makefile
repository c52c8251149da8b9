# Everything starts with the environment in .venv, made on first use from requirements.lock.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The first of these that is Python 3.11 or 3.12; PYTHON=... overrides it.
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null \
	&& echo $$p && break; done)
VENV ?= .venv
READY := $(VENV)/.ready
export PATH := $(abspath $(VENV))/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export DVC_NO_ANALYTICS := 1

.PHONY: help env demo test test-slurm lint lock clean-state

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

env: $(READY)  ## Make the environment in .venv

$(READY): requirements.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then echo "mixframe needs Python 3.11 or 3.12; none found (set PYTHON=...)" >&2; exit 1; fi
	@echo "Installing the environment into $(VENV): several GB of packages, some minutes"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --require-hashes -r requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

CORES ?= $(shell nproc)

demo: $(READY)  ## Run the demo on CORES cores, print its table, say where the report is
	snakemake --cores $(CORES)
	@mixframe show

test-slurm: $(READY)  ## The smoke pipeline through a SLURM of one node, started for the test (root)
	tests/slurm/run.sh

test: $(READY)  ## Run the tests
	pytest

lint: $(READY)  ## Check style, format and types
	ruff check .
	ruff format --check .
	snakefmt --check workflow
	python workflow/lint.py
	mypy

lock:  ## Resolve requirements.lock anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-annotate \
		--custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean-state:  ## Remove checkpoints, locks and timings
	rm -rf .mixframe
