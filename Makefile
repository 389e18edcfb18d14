# Everything a person does here. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Where Python is told to write no bytecode as it goes, every process would compile all it imports: written once then.
BYTECODE := $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode)
# What the worker's image can do beyond files: `make requirements WORKER_EXTRAS="s3 gs"` for another choice.
WORKER_EXTRAS := s3 postgres mysql oracle sqlserver redis kafka rabbitmq activemq websocket sse sftp auth
UV = $(or $(shell command -v uv),$(wildcard .venv-uv/bin/uv),$(PYTHON) -m uv)

.PHONY: uv images up down logs stack-test profiles-test manifests help setup demo test lint format bench calendars chaos ui requirements clean

help: ## show this list
	@grep -hE '^[a-z0-9%-]+:.*?## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP) ## make .venv with everything in it (uv is fetched if it is not there)

$(STAMP): pyproject.toml requirements/dev.txt | uv
	@echo "setting up $(VENV) …"
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	@$(UV) pip install --quiet --python $(BIN)/python $(BYTECODE) --require-hashes -r requirements/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@$(if $(BYTECODE),$(BIN)/python -m compileall -q base_ops dags plugins)
	@touch $@

uv:
	@$(UV) --version >/dev/null 2>&1 || $(PYTHON) -m pip install --quiet --user uv 2>/dev/null || { $(PYTHON) -m venv .venv-uv && .venv-uv/bin/pip install --quiet uv; }

demo: setup ## a small market through the whole pipeline, in Airflow, here
	@$(BIN)/base-ops demo

test: setup ## the tests that need nothing installed
	@$(BIN)/python -m pytest -q -n auto --dist loadfile

lint: setup ## ruff, mypy, and no surprises
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: setup ## let ruff put the code in form
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: setup ## compare with DuckDB and polars, side by side
	@$(BIN)/base-ops bench

chaos: setup ## kill every agent at 200 random moments, and 500 runs against a source that fails at random
	@CHAOS_KILLS=200 CHAOS_FAULT_RUNS=500 $(BIN)/python -m pytest -q -m slow tests/chaos

ui: setup ## Airflow with the DAGs loaded; Ctrl-C stops everything
	@$(BIN)/python -m base_ops.cli.ui

requirements: uv ## compile the hashed requirement files from pyproject.toml
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --all-extras --group dev pyproject.toml requirements/build.in -o requirements/dev.txt
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --extra worker $(WORKER_EXTRAS:%=--extra %) pyproject.toml -o requirements/worker.txt
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --extra airflow --extra s3 --extra postgres pyproject.toml docker/airflow.in -o requirements/airflow.txt
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header docker/build.in -o docker/build.txt
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header docker/mlflow.in -o docker/mlflow.txt
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header docker/local/s3.in -o docker/local/s3.txt

calendars: uv ## write the exchanges' calendars anew, two years ahead (fetches exchange_calendars with pandas 2)
	@$(UV) run --quiet --isolated --no-project --with 'exchange_calendars>=4.13.2' --with 'pandas<3' --with-editable . python -W ignore -m base_ops.calendars.build

images: ## build the worker, airflow and dev images (BASE_IMAGE=… for another base)
	@docker/images.sh

up: images ## the dev stack: Airflow, PostgreSQL, S3 (PROFILES="ml streaming observability cluster" for more)
	@docker/stack.sh up

down: ## stop the dev stack (its volumes stay)
	@docker/stack.sh down

logs: ## follow the dev stack's logs
	@docker/stack.sh logs

stack-test: ## the dev stack for real, on images made here; starts a Docker engine if none runs
	@docker/stack_test.sh

profiles-test: ## the dev stack's profiles ml, streaming and observability for real, on images made here
	@docker/stack_test.sh profiles

section-10-%: setup ## what shows point % of the platform's "done means" (tests/deploy/section_10.yaml)
	@$(BIN)/python tests/deploy/section_10.py $*

manifests: setup ## render the Kubernetes manifests, dashboards and rules from their tables
	@$(BIN)/python helm-values/modules/render.py && $(BIN)/python helm-values/argocd/render.py && $(BIN)/python helm-values/observability/render.py

clean: ## remove what the targets above made
	@rm -rf $(VENV) .venv-uv .base_ops .airflow .bench
