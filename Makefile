# The commands of the house; `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
PROMPT ?= a red circle moving right
OUT ?= out.mp4
STAMP := .venv/.installed
BUF := proto/node_modules/.bin/buf
PACKAGES := $(wildcard libs/*/pyproject.toml services/*/pyproject.toml cli/pyproject.toml sdk/*/pyproject.toml)
SOURCES := libs services cli sdk tests benchmarks examples observability conftest.py
TYPED := libs/contracts/src/edgecore_contracts libs/runtime/src/edgecore_runtime libs/aiprod/src/edgecore_aiprod \
	services/gateway/src services/scheduler/src services/inference/src services/preview/src \
	services/cost/src services/analytics/src services/autoscaler/src cli/src sdk/python/src benchmarks examples \
	observability/dashboard.py observability/targets.py

.PHONY: help setup demo up test test-unit test-real test-cluster images lint fmt proto bench constraints clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## install everything into .venv (once; instant afterwards)

$(STAMP): requirements.txt constraints.txt $(PACKAGES)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -r requirements.txt
	touch $@

demo: ## one prompt in, one video out: PROMPT="…" OUT=file.mp4
	@started=$$(date +%s.%N); $(MAKE) --no-print-directory setup && \
	$(BIN)/python examples/demo.py "$(PROMPT)" --out "$(OUT)" --setup-started $$started

up: setup ## start the local stack and stay; Ctrl-C ends it
	$(BIN)/edgecore up

test: setup ## unit, local and end-to-end tests
	$(BIN)/python -m pytest -q --durations=15 --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-unit: setup ## the pure tests alone: no process, no network
	$(BIN)/python -m pytest -q -m "not local"

test-real: setup ## the same adapter and end-to-end suites on Kafka, PostgreSQL and Redis in containers
	EDGECORE_TEST_REAL=1 $(BIN)/python -m pytest -q libs/runtime/tests services tests/real --durations=10

test-cluster: setup ## the chart, installed where your kubeconfig points; its nodes must have the images
	EDGECORE_TEST_CLUSTER=1 $(BIN)/python -m pytest -q tests/cluster --durations=10

images: ## build every service's image: TAG, BASE_IMAGE, NETWORK and PIP_CONFIG as docker-bake.hcl says
	docker buildx bake $(if $(filter host,$(NETWORK)),--allow=network.host) \
		$(if $(PIP_CONFIG),--allow=fs.read=$(PIP_CONFIG))

lint: setup ## format, style, types, layers, contracts
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy $(TYPED)
	$(BIN)/lint-imports
	PATH="$$PWD/$(BIN):$$PATH" $(BIN)/python -m edgecore_contracts.generate --check
	$(BIN)/python -m edgecore_gateway.openapi | diff -q - docs/openapi.json
	test -x $(BUF) || npm install --prefix proto --no-package-lock --no-fund --no-audit --loglevel error
	cd proto && ../$(BUF) lint && ../$(BUF) breaking --against v1.binpb

fmt: setup ## format and sort imports
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

proto: setup ## regenerate what follows from proto/ and topics/
	PATH="$$PWD/$(BIN):$$PATH" $(BIN)/python -m edgecore_contracts.generate
	$(BIN)/python -m edgecore_gateway.openapi > docs/openapi.json

studio: ## build web/ into the gateway's package
	npm install --prefix web --no-fund --no-audit --loglevel error
	npm run --prefix web build

bench: setup ## NAME=<name> runs one benchmark; without NAME lists them; ARGS=--help
	$(BIN)/python -m benchmarks $(NAME) $(ARGS)

constraints: setup ## pin the versions that are installed now
	{ head -1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sort -f; } > constraints.new
	mv constraints.new constraints.txt

clean: ## remove what was built and what the local stack keeps; the environment stays
	rm -rf var out.mp4 build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
