# Everything runs inside .venv; a stamp per lock file makes the second run instant.
PYTHON ?= python3
ARGS ?=
# Much of the testing is waiting: two processes take little more than half the time of one.
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
# A copied or moved checkout must not use the other one's environment: its scripts hold absolute paths.
HERE := $(shell pwd -P | cksum | cut -d ' ' -f 1)
MADE := $(VENV)/.made-$(HERE)
RUNTIME := $(VENV)/.runtime-$(HERE)
DEV := $(VENV)/.dev-$(HERE)
OURS := $(VENV)/.ours-$(HERE)
# which pip there is, is the environment's business: no word on a newer one
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help up demo bench test check format lock clean
.DEFAULT_GOAL := help
.NOTPARALLEL:

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

up: $(RUNTIME) $(OURS) ## install what is needed, then run everything on this machine (Ctrl-C stops it)
	@exec $(BIN)/rapport up $(ARGS)

demo: $(RUNTIME) $(OURS) ## run the demonstration against the running system
	@exec $(BIN)/rapport demo $(ARGS)

bench: $(RUNTIME) $(OURS) ## measure throughput and latency, each beside its floor
	@exec $(BIN)/rapport bench $(ARGS)

test: $(DEV) $(OURS) ## run the tests (ARGS="-k name" chooses)
	@exec $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

check: $(DEV) $(OURS) ## lint, format, types, who may import whom, own doors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -q tests/architecture

format: $(DEV) $(OURS) ## write the canonical format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(MADE) ## resolve the dependencies anew and write the two lock files
	@$(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/python -m pip install --quiet --upgrade uv
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(VENV)/lock/bin/uv pip compile --quiet --universal --generate-hashes \
	  --python-version 3.11 --extra dev pyproject.toml --output-file requirements-dev.lock
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(VENV)/lock/bin/uv pip compile --quiet --universal --generate-hashes \
	  --python-version 3.11 --constraint requirements-dev.lock pyproject.toml --output-file requirements.lock

clean: ## remove the environment and every cache; the data directory stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(MADE):
	@$(PYTHON) infra/deploy/preflight.py
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(RUNTIME): requirements.lock | $(MADE)
	@$(BIN)/python infra/deploy/install.py requirements.lock
	@touch $@

# The packages for testing contain those for running, in the same versions.
$(DEV): requirements-dev.lock | $(MADE)
	@$(BIN)/python infra/deploy/install.py requirements-dev.lock
	@touch $(RUNTIME) $@

$(OURS): pyproject.toml | $(MADE)
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
