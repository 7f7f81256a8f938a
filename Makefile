# Every command that people run. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
CACHE := $(HOME)/.cache/podium
UV_VERSION := $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements-uv.txt)
UV := $(CACHE)/uv-$(UV_VERSION)/bin/uv
PYTHON ?= python3
# Kubernetes clients in tests find the cluster that `make cluster` made.
CLUSTER_KUBECONFIG := /tmp/podium-cluster/kubeconfig
export KUBECONFIG ?= $(CLUSTER_KUBECONFIG)

# The operators of the tests leave Pods to the built-in Job controller.
UNMANAGED := PODIUM_FEATURE_GATES=ManagedJobs=false

# Where `make demo` keeps its runs; `podium get` finds the default.
DEMO_STATE ?= .podium

.PHONY: help setup demo test test-long unit e2e e2e-unmanaged outage cluster cluster-down image sbom crds lint type krew bench crash crash-soak soak format small-model

help: ## List the commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(UV):
	@echo "setup: uv $(UV_VERSION)"
	@mkdir -p $(dir $(UV))..
	@$(PYTHON) -m venv $(CACHE)/uv-$(UV_VERSION)
	@$(CACHE)/uv-$(UV_VERSION)/bin/pip install --quiet --disable-pip-version-check \
	  --no-deps --require-hashes -r requirements-uv.txt

$(VENV)/.done: $(UV) pyproject.toml uv.lock
	@echo "setup: Python packages into $(VENV)"
	@$(UV) sync --quiet --frozen --all-extras --compile-bytecode
	@$(BIN)/python -m compileall -q operator
	@touch $@

setup: $(VENV)/.done ## Make .venv with podium and everything the tests need

demo: setup ## Lint, test and build a small package as a workflow; show where the results are
	@run=demo-$$(date +%Y%m%d-%H%M%S)-$$$$; files="$(DEMO_STATE)/runs/$$run/executions"; \
	export PATH="$(abspath $(BIN)):$$PATH"; \
	podium run examples/release/workflow.yaml --run-name "$$run" --state-dir "$(DEMO_STATE)" \
	  || exit; \
	echo; cat "$$files/report-1/artifacts/report.md"; \
	echo "report: $$files/report-1/artifacts/report.md"; \
	echo "wheel:  $$(ls "$$files"/build-1/artifacts/*.whl)"; \
	echo "more:   $(BIN)/podium get $$run --state-dir $(DEMO_STATE)"

test: setup ## Set up everything and run the checks and tests
	@.ci/test

unit: setup ## Run the tests that need no cluster, but Go, to build an S3 server once
	@$(BIN)/python -c "from tests.cluster import binaries; binaries.ensure(['versitygw'])"
	@$(BIN)/pytest -q -m "not cluster and not long" -n 2

# Tests of a whole cluster share it: drains, releases and a busy machine delay what others wait for.
# One that failed runs once more, and the summary names it (RERUN).
AGAIN := --reruns 1

# Pods are mostly waited for: more tests at once than there are cores. The cases of the conformance
# suite run side by side in one process, by themselves.
e2e: setup cluster image ## Run the tests that need the cluster
	@$(BIN)/pytest -q -m "cluster and not long" -n 6 --dist loadgroup $(AGAIN) tests/cluster tests/e2e
	@$(BIN)/pytest -q -m "cluster and not long" $(AGAIN) tests/conformance tests/upgrade

# What `e2e` does not do this way: everything that users and machines do to Jobs and Pods.
e2e-unmanaged: setup cluster image ## Run the end-to-end tests with the built-in Job controller
	@$(UNMANAGED) $(BIN)/pytest -q -m "cluster and not long" -n 6 --dist loadgroup $(AGAIN) tests/e2e
	@$(BIN)/pytest -q -m cluster $(AGAIN) tests/conformance -k unmanaged

small-model: setup ## Run a workflow with a real model (MODEL_URL, or GGUF and NODE_MODULES)
	@$(BIN)/python -m tests.small_model

# What takes long and says little more than the tests above; `make test` leaves it out.
test-long: setup cluster image ## Run the long tests: a YAML language server (needs npm) and others
	@$(BIN)/pytest -q -m long
	@$(UNMANAGED) $(BIN)/pytest -q -m "cluster and not long" -n 6 --dist loadgroup $(AGAIN) tests/e2e/runs_test.py

crash: setup cluster image ## Kill the operator at each of its requests; put faults before the API server
	@$(BIN)/pytest -q -m "cluster and not long" $(AGAIN) tests/crash
	@$(BIN)/pytest -q -m "cluster and not long" -n 3 $(AGAIN) tests/faults

outage: setup cluster image ## Take the API server away for two minutes
	@PODIUM_DOWN_SECONDS=120 $(BIN)/pytest -q -s -m cluster tests/faults/faults_test.py -k away_for_some_time

cluster: setup ## Bring up the test cluster; the last line is its kubeconfig
	@$(BIN)/python -m tests.cluster up

cluster-down: setup ## End the test cluster and remove what it left on the machine
	@$(BIN)/python -m tests.cluster down

image: setup ## Build the image and load it into the test cluster
	@$(BIN)/python -m tests.cluster image

SBOM ?= sbom.cdx.json
sbom: setup ## Write what the image has of Python packages, with hashes, to SBOM (sbom.cdx.json)
	@$(UV) export --quiet --frozen --no-dev --extra operator --extra mcp --no-emit-project \
	  --format cyclonedx1.5 --output-file $(SBOM)
	@echo "sbom: $(SBOM)"

crds: setup ## Write the CRDs, the chart's Pod rules and the editors' schemas again from the models
	@$(BIN)/python -m podium.api.crd write
	@$(BIN)/python -m podium.cluster.jobs.pod_policy write
	@$(BIN)/python -m podium.executors.shipped write
	@$(BIN)/python -m podium.cli.schemas write
	@$(BIN)/python -m podium.cli.completion_spec write

lint: setup ## Check style, layers, generated files, and packages for known vulnerabilities
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports
	@$(BIN)/python -m podium.api.crd check
	@$(BIN)/python -m podium.cluster.jobs.pod_policy check
	@$(BIN)/python -m podium.executors.shipped check
	@$(BIN)/python -m podium.cli.schemas check
	@$(BIN)/python -m podium.cli.completion_spec check
	@$(BIN)/python .ci/audit.py

format: setup ## Format the code
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

type: setup ## Check types, strictly
	@$(BIN)/mypy

KREW_URL ?= https://example.com/podium/releases
krew: setup ## Make the archives of `kubectl podium` and the manifest for krew, in dist/krew; KREW_URL: where they will be
	@$(BIN)/python plugins/krew/build.py --uv $(UV) --url $(KREW_URL)

bench: setup cluster ## Print the benchmarks, each as a ratio against its floor
	@$(BIN)/python -m benchmarks.engine
	@$(BIN)/python -m benchmarks.events
	@$(BIN)/python -m benchmarks.shards
	@$(BIN)/python -m benchmarks.laptop
	@$(BIN)/python -m benchmarks.cluster --quick

KILLS ?= 500
crash-soak: setup cluster ## Kill the operator KILLS times (500) at random points, on fake machines
	@$(BIN)/python -m tests.crash.soak --kills $(KILLS)

MINUTES ?= 60
soak: setup cluster ## Put mixed runs and faults on one operator for MINUTES (60): it must not grow
	@$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)
