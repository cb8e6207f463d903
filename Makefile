# Everything a person or CI runs. Each target sets up what it needs; a second call finds the stamps and starts at once.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
SHELL := /bin/bash

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
WORKERS ?= 2
ARGS ?=
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

FRONTEND := package.json $(shell find frontend -type f \( -name '*.ts' -o -name '*.tsx' -o -name '*.css' -o -name '*.json' \
	-o -path 'frontend/style/*.js' \) -not -path '*/node_modules/*' -not -path 'frontend/lib/*' 2>/dev/null)
# OpenCloud's and v3 need a newer Go, v3 a C compiler too; the tests run on those that are built.
NEW_GO = $(shell go version 2>/dev/null | grep -E 'go1\.(2[5-9]|[3-9][0-9])')
REVADS ?= v2 $(if $(NEW_GO),opencloud $(if $(shell command -v gcc),v3))
SERVER_CONFIG := $(wildcard jupyter-config/*/*.json)

.PHONY: help
help: ## List the targets
	@grep -E '^[a-z0-9-]+:.*## ' Makefile | sed -E 's/^([a-z0-9-]+):.*## (.*)/  \1\t\2/' | expand -t 14

.PHONY: setup
setup: $(STAMPS)/linked ## Make .venv, install what is pinned, build the JupyterLab extension

.PHONY: demo
demo: setup ## Two sites on this machine, to try it; make demo ARGS="--check" needs no people
	$(BIN)/cs3collab demo $(ARGS)

.PHONY: test
test: setup ## The tests a change needs, Python and TypeScript, in about five minutes
	$(BIN)/pytest -m "not e2e and not slow and not reva" -n $(WORKERS) --dist worksteal $(ARGS)
	npm test --silent

.PHONY: test-slow
test-slow: setup ## The tests that take minutes
	$(BIN)/pytest -m "slow and not e2e and not reva" -n $(WORKERS) $(ARGS) || [ $$? -eq 5 ]  # 5: there are none

.PHONY: test-e2e
test-e2e: setup ## The tests in a real browser; Chromium must be installed
	$(BIN)/pytest -m e2e $(ARGS)

.PHONY: reva
reva: $(addprefix .reva/revad-,$(REVADS)) ## Build real Revas for test-reva; Go 1.25 and gcc must be installed, or Go 1.24 for one of them

.PHONY: test-reva
test-reva: setup reva ## The tests on a real Reva
	$(BIN)/pytest -m "reva and not e2e" -n $(WORKERS) $(ARGS)

.PHONY: test-all
test-all: test test-slow test-e2e test-reva ## Every test

.PHONY: lint
lint: setup ## Style, types, and the rings of imports
	@failed=0; \
	for tool in "ruff check" "ruff format --check" mypy lint-imports "npm run --silent lint"; do \
		echo "$$tool"; $$tool || failed=1; \
	done; \
	exit $$failed  # after the first complaint the others are still worth reading

.PHONY: format
format: setup ## Rewrite the code in the project's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	npm run --silent format

.PHONY: bench
bench: setup ## Measure against stock jupyter-collaboration; the rows go to build/bench.json
	mkdir -p build
	$(BIN)/python -m benchmarks $(ARGS)

.PHONY: lock
lock: setup ## Pin the Python packages again, at their newest allowed versions
	CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --upgrade --extra dev \
		--build-deps-for wheel --build-deps-for editable --strip-extras --allow-unsafe --unsafe-package pip \
		--no-header --no-annotate --no-emit-options --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--output-file requirements.lock pyproject.toml

.PHONY: clean
clean: ## Remove everything that was made here, .venv included
	rm -rf $(VENV) node_modules build dist frontend/lib cs3collab/labextension *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .reva
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# v3 keeps its shares in SQLite, in C, which need not be fast here, but compiled soon.
.reva/revad-v3: CGO := 1
.reva/revad-%: CGO ?= 0
.reva/revad-%: tests/revad/%/go.mod tests/revad/%/go.sum
	@go version 2>/dev/null | grep -qE 'go1\.(2[4-9]|[3-9][0-9])' || { echo "Go 1.24 or newer is needed to build Reva"; exit 1; }
	mkdir -p $(@D)
	cd $(<D) && CGO_ENABLED=$(CGO) CGO_CFLAGS="-O0 -w" nice -n 10 go build -p 2 -buildvcs=false -trimpath -ldflags "-s -w" \
		-o $(CURDIR)/$@ tool

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	mkdir -p $(STAMPS)
	touch $@

# The lock is complete, so nothing is resolved here; `pip check` says if it no longer fits pyproject.toml.
$(STAMPS)/packages: requirements.lock pyproject.toml $(STAMPS)/venv
	$(BIN)/pip install --quiet --no-deps --requirement requirements.lock
	HATCH_BUILD_NO_HOOKS=true $(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/pip check
	touch $@

node_modules/.stamp: package-lock.json
	@command -v npm >/dev/null || { echo "Node.js 20 or newer is needed"; exit 1; }
	npm ci --no-audit --no-fund --loglevel=error
	touch $@

$(STAMPS)/frontend: $(FRONTEND) node_modules/.stamp $(STAMPS)/packages
	npm run --silent build
	touch $@

$(STAMPS)/linked: scripts/link_shared_data.py $(STAMPS)/packages $(STAMPS)/frontend $(SERVER_CONFIG)
	$(BIN)/python scripts/link_shared_data.py
	touch $@
