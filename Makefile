# Linkpulse. `make help` lists what there is; each target sets up what it needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench truth clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SECONDS_ARGUMENT := $(if $(filter command line environment override,$(origin SECONDS)),--seconds $(SECONDS))

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "linkpulse needs Python 3.11 to 3.13; give one with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
		|| { echo "Python's venv is missing; install it with: sudo apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# A stamp a set of packages, so that the demo does not wait for the developers' tools.
$(VENV)/.local: pyproject.toml | $(VENV)/bin/python
	@echo "setting up the demo's packages (about a minute, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local]' && touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	@echo "setting up the developers' packages (one to two minutes, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' && touch $@ $(VENV)/.local

# The broker is a system package: installed when we may, asked for in one line when not.
.PHONY: mosquitto
mosquitto:
	@PATH="$$PATH:/usr/sbin"; command -v mosquitto >/dev/null && command -v mosquitto_pub >/dev/null \
		|| if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "installing mosquitto"; \
			{ apt-get install -y -qq --no-install-recommends mosquitto mosquitto-clients \
				|| { apt-get update -qq && apt-get install -y -qq --no-install-recommends mosquitto mosquitto-clients; }; } \
				>build-mosquitto.log 2>&1 && rm -f build-mosquitto.log \
				|| { echo "mosquitto could not be installed: see build-mosquitto.log"; exit 1; }; \
		else echo "mosquitto is missing; install it with: sudo apt-get install mosquitto mosquitto-clients"; exit 1; fi

setup: $(VENV)/.dev mosquitto ## set up everything for developers

demo: mosquitto $(VENV)/.local ## the whole pipeline on this machine; SECONDS=40 ends by itself, FAULTS=1 injects faults
	@exec $(BIN)/python -m infrastructure.demo $(SECONDS_ARGUMENT) $(if $(FAULTS),--faults $(FAULTS))

# Many tests wait for a clock, a broker or a link: one worker more than there are processors.
WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )))

test: setup ## every test; WORKERS=1 for one after the other
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

format: $(VENV)/.dev ## write the agreed format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

check: $(VENV)/.dev template-check ## format, lint, strict types, architecture, template
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_architecture.py

bench: $(VENV)/.dev ## speed and memory, as ratios against a named peer in the same run
	@$(BIN)/python -m tests.benchmarks

# Debian's name of each tool that the truth lab runs beside the probes.
.PHONY: truth-tools
truth-tools:
	@PATH="$$PATH:/usr/sbin:/sbin"; missing=""; \
	for pair in ip:iproute2 ping:iputils-ping fping:fping taskset:util-linux; do \
		command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair##*:}"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing$$missing"; \
		{ apt-get install -y -qq --no-install-recommends $$missing \
			|| { apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; }; } \
			>build-truth.log 2>&1 && rm -f build-truth.log \
			|| { echo "these could not be installed:$$missing; see build-truth.log"; exit 1; }; \
	else echo "some tools are missing; install them with: sudo apt-get install$$missing"; exit 1; fi

truth: $(VENV)/.dev truth-tools ## every probe beside a wire of known truth; ONLY="echo loss", PICTURE=1
	@[ "$$(id -u)" = 0 ] || { echo "the truth lab makes network namespaces: run as root: sudo make truth"; exit 1; }
	@$(BIN)/python -m tests.truth $(ONLY) $(if $(PICTURE),--picture)

.PHONY: fuzz
fuzz: $(VENV)/.dev ## coverage-guided fuzzing of every parser; SECONDS=3600 for longer
	@$(BIN)/python -m tests.fuzz $(SECONDS_ARGUMENT)

.PHONY: chaos
chaos: $(VENV)/.dev mosquitto ## an agent's life with everything going wrong; TRIALS=1000 SEED=1, or one again: TRIAL=123
	@$(BIN)/python -m tests.chaos $(if $(TRIALS),--trials $(TRIALS)) $(if $(SEED),--seed $(SEED)) $(if $(TRIAL),--trial $(TRIAL)) $(if $(KIND),--kind "$(KIND)")

clean: ## forget what was built; the local cloud must be down
	@if $(BIN)/local-cloud status >/dev/null 2>&1; then \
		echo "the local cloud is up; end it first: $(BIN)/local-cloud down"; exit 1; fi
	@rm -rf build $(VENV) .venv-sam .venv-checkov .mypy_cache .ruff_cache .pytest_cache

include infrastructure/deploy.mk
