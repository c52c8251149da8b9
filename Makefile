# Everything starts with the environment in .venv, made on first use from requirements.lock.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The first of these that is Python 3.11 to 3.13; PYTHON=... overrides it.
PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
VENV ?= .venv
READY := $(VENV)/.ready
# The packages of the extra demo, which `make env` leaves out of what requirements.lock has, and
# which `make demo` and `make test` add. One of them is built from source.
DEMO := $(VENV)/.demo
DEMO_PACKAGES := espeakng-loader praat-parselmouth pyworld
# Prints the part of the lock that is, or is not, about these packages.
PART = awk -v packages="$(DEMO_PACKAGES)" -v inside=$(1) 'BEGIN { n = split(packages, names) } \
	/^[^ \#]/ { mine = 0; for (i = 1; i <= n; i++) if (index($$0, names[i] "==") == 1) mine = 1 } \
	mine == inside' requirements.lock
export PATH := $(abspath $(VENV))/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export DVC_NO_ANALYTICS := 1

.PHONY: help env demo test test-install test-slurm lint lock docs clean-state

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

env: $(READY)  ## Make the environment in .venv: all but what makes the demo's corpus

$(READY): requirements.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then echo "mixframe needs Python 3.11 to 3.13; none found (set PYTHON=...)" >&2; exit 1; fi
	@echo "Installing the environment into $(VENV): several GB of packages, some minutes"
	$(PYTHON) -m venv $(VENV)
	@$(call PART,0) > $(VENV)/core.lock
	$(VENV)/bin/python -m pip install --quiet --require-hashes -r $(VENV)/core.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# pyworld has no wheel, and pip would fail in the middle of a page of output.
$(DEMO): $(READY)
	@if ! command -v c++ g++ clang++ >/dev/null; then echo "the demo's corpus needs pyworld," \
		"which is built from source: a C++ compiler is missing (Debian, Ubuntu: apt-get install" \
		"g++ python3-dev; others: docs/install.md)" >&2; exit 1; fi
	@if ! $(VENV)/bin/python -c 'import os, sys, sysconfig; \
		sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'; then \
		echo "the demo's corpus needs pyworld, which is built from source: Python.h is missing" \
		"(Debian, Ubuntu: apt-get install python3-dev; others: docs/install.md)" >&2; exit 1; fi
	@$(call PART,1) > $(VENV)/demo.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --require-hashes -r $(VENV)/demo.lock
	@touch $@

CORES ?= $(shell nproc)

demo: $(DEMO)  ## Run the demo on CORES cores, print its table, say where the report is
	mixframe warm snakemake --cores $(CORES)
	@mixframe show

test-slurm: $(DEMO)  ## The smoke pipeline through a SLURM of one node, started for the test (root)
	tests/slurm/run.sh

test: $(DEMO)  ## Run the tests
	pytest

test-install:  ## Wheel and sdist in empty environments without a compiler: minutes, 6 GB (needs uv)
	tests/install/run.sh

lint: $(READY)  ## Check style, format and types
	ruff check .
	ruff format --check .
	snakefmt --check workflow
	snakemake --lint
	mypy

lock:  ## Resolve requirements.lock anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-annotate \
		--custom-compile-command "make lock" pyproject.toml -o requirements.lock

# Packages of their own, beside the locked ones; the pages are made from the sources' text.
DOCS := .venv-docs
$(DOCS)/.ready: pyproject.toml
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -c 'import tomllib; \
		print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' \
		| $(DOCS)/bin/python -m pip install --quiet -r /dev/stdin
	@touch $@

docs: $(DOCS)/.ready  ## Build the documentation into site/; a link to nothing is an error
	$(DOCS)/bin/mkdocs build --strict --quiet

clean-state:  ## Remove checkpoints, locks and timings
	rm -rf .mixframe
