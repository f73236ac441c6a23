# Every target sets up what it needs, once. Requires Python 3.11, make and git.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q install --require-hashes
MODELS := function/age_gender/models/.built

.DEFAULT_GOAL := help
.PHONY: help serve models test lint coverage clients check-infra bench bench-check bench-scale calibrate evaluate train lock audit clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

serve: $(MODELS) ## Serve on port 8080, or PORT=…
	@$(BIN)/python local_runner.py serve

models: $(VENV)/.build ## Fetch, verify and convert the networks
	@$(BIN)/python local_runner.py models

test: $(VENV)/.dev $(VENV)/.clients models ## Run all checks: lint, types, unit, contract and end-to-end tests
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.dev ## Lint, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy function
	@$(BIN)/mypy training modelbuild docsite testing benchmarks tests container local_runner.py

coverage: $(VENV)/.dev models ## Run the tests and report the line and branch coverage of function/
	@$(BIN)/python -m pytest tests/unit tests/contract tests/e2e -n 2 --dist loadfile --cov --cov-report=term

clients: $(VENV)/.clients ## Install the generators of API clients that the tests run

check-infra: $(VENV)/.dev $(VENV)/.infra $(MODELS) ## Check image, Terraform, manifests, Cloud Build file and docs (with Terraform, docker or podman, and gcloud, where installed)
	@CHECK_CONTAINER="$${CHECK_CONTAINER:-cpu}" $(BIN)/python -m pytest tests/infra -rs -n 2 --dist loadfile

bench: $(VENV)/.dev $(MODELS) ## Benchmark this service and other libraries; writes docs/benchmarks.md (BENCH_PEERS=folder to install them in, BENCH_CONTAINER=command that starts the image)
	@PYTHONPATH=function $(BIN)/python -m benchmarks

bench-scale: $(VENV)/.dev ## Simulate bursts, floods and outages on Cloud Run; writes docs/scale.md
	@PYTHONPATH=function $(BIN)/python -m benchmarks.scale

bench-check: $(VENV)/.dev $(MODELS) ## Benchmark the pipeline and report what got slower
	@PYTHONPATH=function $(BIN)/python -m benchmarks.check

train: $(VENV)/.dev models ## Train a model: NAME=agn-v2 DATA=folder LABELS="a.csv b.csv" WORK=folder (LEAVE_OUT=clean.csv, DEVICE=cuda, DOCS=folder for the model card)
	@test -n "$(NAME)" -a -n "$(DATA)" -a -n "$(LABELS)" -a -n "$(WORK)" \
	  || { echo "set NAME, DATA, LABELS and WORK"; exit 2; }
	@PYTHONPATH=function:. $(BIN)/python -m training.steps --name "$(NAME)" \
	  --images "$(DATA)" --labels $(LABELS) --work "$(WORK)" $(if $(DOCS),--docs "$(DOCS)") \
	  $(if $(LEAVE_OUT),--leave-out "$(LEAVE_OUT)") $(if $(DEVICE),--device "$(DEVICE)")

calibrate: $(VENV)/.dev models ## Calibrate the models: DATA=folder LABELS="a.csv b.csv" (LEAVE_OUT=clean.csv)
	@test -n "$(DATA)" -a -n "$(LABELS)" || { echo "set DATA and LABELS"; exit 2; }
	@PYTHONPATH=function:. $(BIN)/python -m training.calibrate --names $(or $(NAMES),agn-v2 agn-v2-research) \
	  --models function/age_gender/models --images "$(DATA)" --labels $(LABELS) \
	  $(if $(LEAVE_OUT),--leave-out "$(LEAVE_OUT)")

evaluate: $(VENV)/.dev models ## Evaluate the models: DATA=folder LABELS="a.csv b.csv" (LEAVE_OUT=clean.csv); writes docs/model-card.md
	@test -n "$(DATA)" -a -n "$(LABELS)" || { echo "set DATA and LABELS"; exit 2; }
	@PYTHONPATH=function:. $(BIN)/python -m training.evaluate --names $(or $(NAMES),agn-v2 agn-v2-research) \
	  --models function/age_gender/models --images "$(DATA)" --labels $(LABELS) --docs docs \
	  $(if $(LEAVE_OUT),--leave-out "$(LEAVE_OUT)")

lock: $(VENV)/.dev ## Pin the requirements again, with hashes
	@PATH="$(abspath $(BIN)):$$PATH" requirements/lock

audit: $(VENV)/.dev ## Check licences and known vulnerabilities of the deployed packages (needs the package index)
	@PATH="$(abspath $(BIN)):$$PATH" requirements/audit

.PHONY: docs
docs: $(VENV)/.base ## Build the documentation as a site in build/site, and check its links
	@$(BIN)/python -m docsite

clean: ## Remove the virtual environment and the built models
	rm -rf $(VENV) build
	git clean -fdxq function/age_gender/models

$(MODELS): modelbuild/*.py modelbuild/models.toml modelbuild/own/*.npz | $(VENV)/.build
	@$(BIN)/python local_runner.py models
	@touch $@

$(VENV)/.base: function/requirements.txt requirements/local.txt
	@test -x $(BIN)/python || { echo "Creating the virtual environment in $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing the requirements of the service"
	@$(PIP) -r function/requirements.txt -r requirements/local.txt
	@touch $@

$(VENV)/.build: requirements/build.txt $(VENV)/.base
	@echo "Installing the requirements of the model build (TensorFlow: a minute or two)"
	@$(PIP) -r requirements/build.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.build
	@echo "Installing the requirements of checks and tests"
	@$(PIP) -r requirements/dev.txt
	@touch $@

$(VENV)/.infra: requirements/infra.txt $(VENV)/.base
	@test -x $(VENV)/infra/bin/python || $(PYTHON) -m venv $(VENV)/infra
	@echo "Installing the requirements of the deployment checks"
	@$(VENV)/infra/bin/python -m pip --disable-pip-version-check -q install --require-hashes -r $<
	@touch $@

$(VENV)/.clients: requirements/clients.txt tests/e2e/clients/package-lock.json $(VENV)/.build
	@test -x $(VENV)/clients/bin/python || $(PYTHON) -m venv $(VENV)/clients
	@echo "Installing the generators of API clients"
	@$(VENV)/clients/bin/python -m pip --disable-pip-version-check -q install --require-hashes -r $<
	@cp tests/e2e/clients/package.json tests/e2e/clients/package-lock.json $(VENV)/clients
	@cd $(VENV)/clients && PATH="$(abspath $(BIN)):$$PATH" npm ci --silent --no-audit --no-fund --ignore-scripts \
	  || echo "npm cannot install openapi-typescript: the TypeScript client is not tested"
	@touch $@
