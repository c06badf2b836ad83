# make quickstart   set-up, then the whole path on both demos: build, check, serve, infer, sweep, report
# make test         set-up, then every test, the live-server ones included
# make help         everything else
SHELL := /bin/bash
PYTHON ?= python3
ACTIVE := $(VIRTUAL_ENV)
VENV := $(if $(ACTIVE),$(ACTIVE),$(CURDIR)/.venv)
BIN := $(VENV)/bin
PACKAGES := generator backends ensembles perf
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev links quickstart test test-quick lint types format regen bench bench-onnx bench-inflight bench-streaming bench-soak bench-check bench-fuzz bench-simulate bench-simulate-accuracy bench-simulate-grid bench-gate-simulated bench-tune bench-tune-simulated bench-gate bench-drain bench-rollout bench-scaling bench-store bench-packing bench-plan bench-roofline findings clean wheel

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

$(VENV)/.setup: pyproject.toml
	@if [ -x $(BIN)/python ]; then $(BIN)/python .ci/prepare.py; else $(PYTHON) .ci/prepare.py $(VENV); fi
	@echo 'installing tritonsmith with its embedded server: about a minute, 270 MB to download'
	$(BIN)/python -m pip install --editable '.[embedded]'
	$(BIN)/tritonsmith doctor --install
	@touch $@

$(VENV)/.setup-dev: $(VENV)/.setup
	$(BIN)/python -m pip install --quiet --editable '.[embedded,dev]'
	@touch $@

setup: $(VENV)/.setup ## install tritonsmith, its server and tools into .venv (or the active virtual environment)

setup-dev: $(VENV)/.setup-dev links ## also what tests, lint and types need

links: $(VENV)/.setup-dev
	@mkdir -p build/links/tritonsmith
	@$(foreach p,$(PACKAGES),ln -sfn ../../../$(p) build/links/tritonsmith/$(p);)
	@test -d build/typings/tritonclient || $(BIN)/python .ci/make_typings.py build/typings

quickstart: setup ## build, check, serve, infer, sweep and report both demos: digits and a language model
	@$(BIN)/python -m tritonsmith.perf.quickstart

test: setup-dev ## every test: those without a server on all cores, then one by one those that start one
	@status=0; $(BIN)/python -m pytest -m 'not live' -n auto --dist loadfile || status=$$?; \
	$(BIN)/python -m pytest -m live || status=$$?; exit $$status

test-quick: setup-dev ## the tests that are not marked slow
	$(BIN)/python -m pytest -m 'not slow'

lint: setup-dev ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup-dev ## mypy, strict
	$(BIN)/mypy

format: setup-dev ## let ruff rewrite
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

regen: setup ## write model_repository/ again from the demo's spec
	$(BIN)/tritonsmith build ensembles/image_classification/spec.yaml --output model_repository

findings: setup ## write generator/checks/README.md again from the rules
	$(BIN)/python -m tritonsmith.generator.checks.page

bench: setup-dev ## start-up, build of 1,000 models, overhead of the onnxruntime backend
	$(BIN)/python -m tritonsmith.perf.bench.startup
	$(BIN)/python -m tritonsmith.perf.bench.build_speed
	$(BIN)/python -m tritonsmith.perf.bench.overhead

bench-onnx: setup-dev ## ONNX's own backend test suite through the real server; ten minutes, resumable
	$(BIN)/python -m tritonsmith.perf.bench.onnx_suite

bench-inflight: setup-dev ## in-flight against static batching on the CPU engine, and what prefix reuse gains; minutes
	$(BIN)/python -m tritonsmith.perf.bench.inflight

bench-streaming: setup-dev ## tokens per second through the server against the engine alone; minutes
	$(BIN)/python -m tritonsmith.perf.bench.streaming

bench-soak: setup-dev ## 12,000 requests of clients that stop, leave and send nonsense: does the server grow; minutes
	$(BIN)/python -m tritonsmith.perf.bench.soak

bench-check: setup-dev ## the check of 1,000 models against protobuf's own parse of them
	$(BIN)/python -m tritonsmith.perf.bench.check_speed

bench-fuzz: setup-dev ## 100,000 mutated configurations and specs end in findings or an error; minutes
	$(BIN)/python -m tritonsmith.perf.bench.fuzz

bench-tune: setup-dev ## tune's picks against measuring everything, on three pipelines; over an hour, resumable
	$(BIN)/python -m tritonsmith.perf.bench.tune

bench-tune-simulated: setup-dev ## how good tune's picks are on made-up spaces, against brute and quick searches; ten minutes
	$(BIN)/python -m tritonsmith.perf.bench.tune_simulated

bench-gate-simulated: setup-dev ## how often the gate cries wolf or overlooks, by simulation; seconds
	$(BIN)/python -m tritonsmith.perf.bench.gate_simulated

bench-gate: setup-dev ## how often the gate cries wolf or overlooks, on the real server; hours, resumable
	$(BIN)/python -m tritonsmith.perf.bench.gate_real

bench-drain: setup-dev ## 20 rolling restarts under load with the generated Deployment's numbers: is a request lost; 20 minutes
	$(BIN)/python -m tritonsmith.perf.bench.drain

bench-simulate: setup-dev ## how many requests a second the simulator simulates; seconds
	$(BIN)/python -m tritonsmith.perf.bench.simulate_speed

bench-simulate-accuracy: setup-dev ## the simulator against the real server on a small grid; ten minutes
	$(BIN)/python -m tritonsmith.perf.bench.simulate_accuracy

bench-simulate-grid: setup-dev ## the simulator against all that bench-tune measured; a minute, after it
	$(BIN)/python -m tritonsmith.perf.bench.simulate_accuracy --grid build/bench-tune

bench-plan: setup-dev ## instances that a plan from one sweep says ten loads need, against the real server; fifteen minutes
	$(BIN)/python -m tritonsmith.perf.bench.plan_instances

bench-roofline: setup-dev ## the roofline's constants fitted on published throughput, and judged on what was held out; two minutes
	$(BIN)/python -m tritonsmith.perf.bench.fit_roofline

bench-packing: setup-dev ## 200 random fleets packed, against their exact optima; seconds
	$(BIN)/python -m tritonsmith.perf.bench.packing

bench-scaling: setup-dev ## what an HPA is given against the servers' own statistics, with a real Prometheus; six minutes
	$(BIN)/python -m tritonsmith.perf.bench.scaling

bench-store: setup-dev ## pushes to an object store are killed, servers started on what they leave; five minutes
	$(BIN)/python -m tritonsmith.perf.bench.store

bench-rollout: setup-dev ## 50 roll-outs to a live server under load, half of them broken on purpose; ten minutes
	$(BIN)/python -m tritonsmith.perf.bench.rollout

wheel: setup-dev ## build the wheel, from nothing stale
	rm -rf build/lib build/bdist* dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove what make made, but not .venv
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache
