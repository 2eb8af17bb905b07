# The whole developer interface. Needs make and Python 3.11 or later; everything else comes from the lock files.
#
#   make run           start on 127.0.0.1:8000 with the demo patients and without authentication
#   make test          the test suite with its coverage gate
#   make test-deploy   the tests of deploy/, which build and run the image where the tools are
#   make check         lint, format, types, rule content, rule mutations
#   make docs          build the documentation site into build/site, which needs no network
#   make docs-serve    show it on 127.0.0.1:8001 and build it anew at each change
#   make bench         time one call against a bare constant answer
#   make release       wheel, packages, rules, chart, bill of materials and checksums, in build/release
#   make lock          write requirements/*.txt again from pyproject.toml
#   make clean         remove what the other targets made

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first that runs, is recent enough and can make virtual environments; a name on PATH may do none of these.
PYTHON_FITS = -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3; do \
	"$$name" $(PYTHON_FITS) && echo "$$name" && break; done)
HOST ?= 127.0.0.1
PORT ?= 8000

VENV := .venv
BIN := $(VENV)/bin
TOOLS := $(VENV)/deploy
PIP := $(BIN)/python -m pip --disable-pip-version-check
# A lock file is whole, so nothing is left to resolve: a resolver that meets a newer release of a package it knows under
# another spelling ("coverage[toml]") would refuse the file. `pip check` tells when it is not whole.
INSTALL := install --quiet --no-deps
LOCKED := $(INSTALL) --require-hashes
# The theme advertises its successor at each start unless told otherwise.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs
LOCK := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

.PHONY: help run test test-deploy check docs docs-serve bench release lock clean

help:
	@sed -n 's/^#   //p' Makefile

run: $(VENV)/.run
	@TOCSIN_PROFILE=sandbox TOCSIN_AUTH=off TOCSIN_DEMO=on TOCSIN_STATE_DIR=$(CURDIR)/var exec $(BIN)/tocsin serve --host $(HOST) --port $(PORT)

test: $(VENV)/.dev
	@$(BIN)/python -m pytest --cov --cov-report=term

test-deploy: $(VENV)/.dev $(VENV)/.deploy
	@PATH="$(CURDIR)/$(TOOLS)/bin:$(CURDIR)/$(TOOLS)/node_modules/.bin:$$PATH" TEST_CONTAINERS=1 \
		$(BIN)/python -m pytest tests/deploy -rs

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/tocsin rules lint
	$(BIN)/python -m rules.engine.mutation

docs: $(VENV)/.dev
	@$(MKDOCS) build --strict --quiet
	@echo "Open build/site/index.html"

docs-serve: $(VENV)/.dev
	@$(MKDOCS) serve --strict --dev-addr $(HOST):8001

bench: $(VENV)/.dev
	@$(BIN)/python -m tests.bench

release: $(VENV)/.dev
	@$(BIN)/python deploy/release/build.py $(if $(IMAGE),--image)

lock: $(VENV)/.dev
	$(LOCK) $(UPGRADE) --output-file requirements/run.txt pyproject.toml
	$(LOCK) $(UPGRADE) --only-build-deps --build-deps-for editable \
		--constraint requirements/run.txt --output-file requirements/build.txt pyproject.toml
	$(LOCK) $(UPGRADE) --extra traces --constraint requirements/run.txt \
		--output-file requirements/traces.txt pyproject.toml
	$(LOCK) $(UPGRADE) --extra dev --extra traces --constraint requirements/traces.txt \
		--constraint requirements/build.txt --output-file requirements/dev.txt pyproject.toml
	$(LOCK) $(UPGRADE) --output-file tests/deploy/tools/requirements.txt tests/deploy/tools/requirements.in

clean:
	rm -rf $(VENV) build dist var .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find hooks rules service tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp is newer than the lock files its packages came from, so that a second call installs nothing.
$(VENV)/.python:
	@"$(PYTHON)" $(PYTHON_FITS) || { \
		echo "$(or $(PYTHON),What was found on PATH) is not Python 3.11 or later with venv and ensurepip." >&2; \
		echo "On Debian or Ubuntu: apt-get install python3 python3-venv." >&2; \
		echo "To use another one: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.python requirements/run.txt requirements/build.txt pyproject.toml service/__init__.py
	@echo "Installing the packages of requirements/run.txt into $(VENV)" >&2
	@$(PIP) $(LOCKED) -r requirements/run.txt -r requirements/build.txt
	@$(PIP) $(INSTALL) --no-build-isolation --editable .
	@$(PIP) check > /dev/null || { $(PIP) check >&2; exit 1; }
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	@echo "Installing the packages of requirements/dev.txt into $(VENV)" >&2
	@$(PIP) $(LOCKED) -r requirements/dev.txt
	@$(PIP) check > /dev/null || { $(PIP) check >&2; exit 1; }
	@touch $@

# Tools of tests/deploy in an environment of their own, because their pins clash with those of the service. What cannot
# be had is told, and its tests are skipped.
$(VENV)/.deploy: $(VENV)/.python tests/deploy/tools/requirements.txt tests/deploy/tools/package-lock.json
	@echo "Installing the tools of tests/deploy into $(TOOLS)" >&2
	@"$(PYTHON)" -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip --disable-pip-version-check $(LOCKED) \
		-r tests/deploy/tools/requirements.txt || echo "Without these tools some tests are skipped." >&2
	@cp tests/deploy/tools/package*.json $(TOOLS)/
	@npm ci --silent --no-audit --no-fund --prefix $(TOOLS) || echo "Without Helm some tests are skipped." >&2
	@touch $@
