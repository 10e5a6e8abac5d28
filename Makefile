# Everything a contributor or CI runs. Needs Python 3.11 or newer and make, and Go for tests on a
# Kubernetes API server; the rest goes to .venv.

# The first Python that runs, is new enough and can make a virtual environment.
PYTHON ?= $(shell for python in python3.12 python3.11 python3; do \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
		>/dev/null 2>&1 && { echo "$$python"; break; }; done)
UV_VERSION := 0.13.9

BIN := .venv/bin
READY := .venv/.ready
LOCK := requirements/dev.txt
PYTEST := $(BIN)/python -m pytest
# Ends whatever the command leaves running (Ray), also when it fails or is interrupted.
CONTAINED := $(BIN)/python .ci/contained.py
SOURCES := executor operator crds tests .ci examples

.DEFAULT_GOAL := help
.PHONY: help setup check generate format test-unit test-integration test-cluster test-storm cluster-binaries kind-up kind-down e2e e2e-full bench bench-full bench-peers bench-operator bench-operator-full bench-nodes demo test build lock clean
.NOTPARALLEL:

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with the locked versions (done by the other targets when needed)

# uv is several times faster than pip; where it cannot be had, pip does the same.
$(READY): pyproject.toml $(LOCK)
	@if [ ! -x $(BIN)/python ] && [ -z "$(PYTHON)" ]; then \
		echo "No Python 3.11 or newer with venv found; install one or say make PYTHON=/path/to/python" >&2; \
		exit 1; fi
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) \
		|| echo "uv could not be installed; going on with pip"
	@if [ -x $(BIN)/uv ]; then \
		$(BIN)/uv pip install --quiet --python $(BIN)/python -r $(LOCK) && \
		$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	else \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(LOCK) && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check \
			--no-deps --no-build-isolation -e .; \
	fi
	@touch $@

check: $(READY) ## Lint, formatting, types, import contracts, generated pages, rules of the house
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports
	$(BIN)/python -m curator_api.generate --check
	$(BIN)/python -m curator_api.generate --check charts/curator/files/curatorpipelines.yaml
	$(BIN)/python -m curator_api.reference --check
	$(PYTEST) -q tests/unit/house

generate: $(READY) ## Write what is made from the models: the CRD and the pages of reference
	$(BIN)/python -m curator_api.generate
	$(BIN)/python -m curator_api.generate charts/curator/files/curatorpipelines.yaml
	$(BIN)/python -m curator_api.reference

format: $(READY) ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

test-unit: $(READY) ## Unit tests and simulations: no Ray, no network, under a minute
	$(PYTEST) -q -n auto tests/unit tests/simulation

# Each has a Ray or an API server of its own; one waits for processes to start for half of its time.
PROCESSES ?= 2
TIMED := --durations=15 --durations-min=5
test-integration: $(READY) ## Tests on a real local Ray
	$(CONTAINED) $(PYTEST) -q -n $(PROCESSES) --dist loadfile $(TIMED) tests/integration

test-cluster: cluster-binaries ## Tests on a real Kubernetes API server, without nodes
	$(CONTAINED) $(PYTEST) -q -n $(PROCESSES) --dist loadfile $(TIMED) tests/cluster \
		--ignore=tests/cluster/test_operator_storm.py

# Lives FIRST to FIRST + SEEDS - 1, a hundred at a time.
SEEDS ?= 100
FIRST ?= 1
test-storm: cluster-binaries ## Lives of pipelines under kills and faults (SEEDS=1000 for more, FIRST=42 SEEDS=1 for one)
	STORM_FIRST=$(FIRST) STORM_SEEDS=$(SEEDS) $(CONTAINED) $(PYTEST) -q -s tests/cluster/test_operator_storm.py

# Once per version; about eight minutes on two cores when nothing is cached. Needs Go.
cluster-binaries: $(READY) ## Build kube-apiserver, etcd, kubectl, Helm and KubeRay's operator for the tests
	$(BIN)/python -m tests.cluster.binaries

KIND := $(BIN)/python -m tests.cluster.kind
# Needs root or a Docker that runs; on a Debian without one, what it needs is installed.
kind-up: cluster-binaries ## A real cluster with fake GPUs, KubeRay and our images, until kind-down
	$(KIND) up

kind-down: $(READY) ## Take it away, with all that was started for it
	$(KIND) down

# STORIES="tests/e2e/test_gpus.py" for some of them; uses the cluster of kind-up if it is up.
STORIES ?= tests/e2e
# More at once only where there are more cores: starting Ray takes both of two.
AT_ONCE ?= 0
e2e: cluster-binaries ## Stories on that cluster, with Helm and kubectl
	$(CONTAINED) $(KIND) run -- $(PYTEST) -q -n $(AT_ONCE) --durations=30 -m "not long" $(STORIES)

e2e-full: cluster-binaries ## All of them, those that take longest too
	$(CONTAINED) $(KIND) run -- $(PYTEST) -q -n $(AT_ONCE) --durations=30 $(STORIES)

bench: $(READY) ## Benchmarks against their baselines, about five minutes (BENCH="--only W1" for a part)
	$(CONTAINED) $(BIN)/python -m tests.benchmarks.run --quick $(BENCH)

bench-full: $(READY) ## Large sizes, three rounds; the figures go to out/benchmarks.json
	$(CONTAINED) $(BIN)/python -m tests.benchmarks.run --full --json out/benchmarks.json $(BENCH)

# In an environment of its own under out/peers, because it pins other versions than ours.
bench-peers: $(READY) ## The same work on cosmos-xenna; needs uv and Python 3.12
	PATH="$(CURDIR)/$(BIN):$$PATH" $(CONTAINED) sh tests/benchmarks/peers/run.sh out/peers

bench-operator: cluster-binaries ## The operator at 200 pipelines, 40 running; about ten minutes
	$(CONTAINED) $(BIN)/python -m tests.benchmarks.operator.run --pipelines 200 --running 40 \
		--json out/operator-200.json $(BENCH)

# Wants the machine to itself: about an hour.
bench-operator-full: cluster-binaries ## The operator at 1,000 pipelines, 200 running, then half an hour at 200
	$(CONTAINED) $(BIN)/python -m tests.benchmarks.operator.run --pipelines 1000 --running 200 \
		--json out/operator-1000.json $(BENCH)
	$(CONTAINED) $(BIN)/python -m tests.benchmarks.operator.run --pipelines 200 --running 40 \
		--steady 1800 --limit 3000 --json out/operator-soak.json $(BENCH)

bench-nodes: $(READY) ## The operator on the cluster of kind-up: a start step by step, its overhead
	$(BIN)/python -m tests.benchmarks.nodes.run --json out/nodes.json $(BENCH)

demo: $(READY) ## The main job on real text: the documentation inside the installed Python
	$(CONTAINED) $(BIN)/python examples/demo/demo.py

# What each tier may take, in minutes, and where it goes: docs/how-to/work-on-this-repository.md.
define tier
@began=$$(date +%s); $(MAKE) $(1) && took=$$(( $$(date +%s) - began )) && \
	echo "tier $(firstword $(1)): $$(( took / 60 )) min $$(( took % 60 )) s of $(2) min"
endef

test: ## All of it, as CI runs it
	$(call tier,check,1)
	$(call tier,test-unit,1)
	$(call tier,test-integration,14)
	$(call tier,test-cluster,6)
	$(call tier,test-storm,3)
	$(call tier,e2e,10)
	$(call tier,bench BENCH="--only W1",3)

build: $(READY) ## Wheel and source distribution in dist/
	$(BIN)/python -m hatchling build

# dev.txt is what .venv has; the others are what the images have, by hash. ray.txt is the first part
# of executor.txt, which keeps to dev.txt but for one: s3fs wants an older one than kubernetes.
LOCKED = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-annotate \
	--custom-compile-command "make lock" --no-emit-index-url --no-emit-find-links
lock: $(READY) ## Renew requirements/*.txt from pyproject.toml
	$(LOCKED) pyproject.toml --extra executor --extra operator --extra text --extra dev --extra bench \
		--output-file $(LOCK)
	$(LOCKED) pyproject.toml --extra operator --generate-hashes --constraint $(LOCK) \
		--output-file requirements/operator.txt
	mkdir -p out && sed '/^python-dateutil==/d' $(LOCK) > out/constraints.txt
	$(LOCKED) pyproject.toml --extra executor --extra text --extra s3 --extra gcs --generate-hashes \
		--constraint out/constraints.txt --output-file requirements/executor.txt
	echo 'ray[data,default]' | $(LOCKED) - --generate-hashes --constraint requirements/executor.txt \
		--output-file requirements/ray.txt
	echo 'hatchling' | $(LOCKED) - --generate-hashes --constraint $(LOCK) \
		--output-file requirements/build.txt

clean: ## Remove .venv, caches and build results
	rm -rf .venv dist build out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
