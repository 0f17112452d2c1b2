# Everything this project does on one Linux machine. `make help` lists the targets.
# Nothing is installed outside .venv and .cache except the Debian packages of the target `host-packages`.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
CHECKOUT_AS_COLLECTION := collections/ansible_collections/fullrank/serving
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(VENV)/.stamp: pyproject.toml
	@echo "== Python environment in $(VENV) (about a minute)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install -q --group dev
	@touch $@

.PHONY: setup
setup: $(VENV)/.stamp ## the Python environment of the controller and of the tests

.PHONY: lint
lint: setup ## ruff, mypy, yamllint, ansible-lint
	ruff check .
	ruff format --check .
	mypy $(CHECKOUT_AS_COLLECTION)/plugins
	yamllint --strict .
	ansible-lint --offline -q

.PHONY: test-unit
test-unit: setup ## unit tests: pure functions and recorded data, seconds
	pytest
