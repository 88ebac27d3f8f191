# Every target sets up what it needs, in `.venv` and its like; a second run finds it ready.
# `make` lists the targets. Options: PYTHON (of .venv), ARGS (to pytest, to the benchmarks, or to mutation testing), PORT (of an example), and what an example takes (TODO_BACKEND, ACCOUNTS_BACKEND, ORDERS_BACKEND, API_BACKEND, QUOTA_BACKEND, QUOTA_DATABASE).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := help

PYTHON ?= python3
ARGS ?=
export PORT ?= 8000
export TODO_BACKEND ?= sqlite:todo.db
export API_BACKEND ?= sqlite:api.db
export QUOTA_BACKEND ?= sqlite:quota.db

bin := .venv/bin
setup = @bash .ci/setup .venv "$(PYTHON)"
# Runs each of the commands, and fails if any did: one run tells all there is to mend.
all = @failed=0; for command in $(1); do echo "$$command"; $$command || failed=1; done; exit $$failed
# Folders whose types are checked, as far as they hold any Python yet.
typed := $(foreach folder,src examples benchmarks docs/snippets tests/typing tests/packaging .ci,$(if $(shell find $(folder) -name '*.py' 2>/dev/null),$(folder)))

.PHONY: help
help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1|\2/p' Makefile | column -t -s '|'

.PHONY: todo
todo: ## serve the to-do example at http://127.0.0.1:8000
	$(setup) todo
	@exec $(bin)/python -m examples.todo.serve

.PHONY: todo-upstash
todo-upstash: ## serve the to-do example on an Upstash on this machine
	$(setup) todo
	@exec $(bin)/python -m examples.todo.serve_upstash $(ARGS)

.PHONY: accounts
accounts: ## serve the accounts example, in three functions and an order service, at http://127.0.0.1:8000
	$(setup) todo
	@exec $(bin)/python -m examples.accounts.serve

.PHONY: accounts-upstash
accounts-upstash: ## serve the accounts example on an Upstash on this machine
	$(setup) todo
	@exec $(bin)/python -m examples.accounts.serve_upstash $(ARGS)

.PHONY: api
api: ## serve the API example at http://127.0.0.1:8000
	$(setup) todo
	@exec $(bin)/python -m examples.api.serve

.PHONY: api-upstash
api-upstash: ## serve the API example on an Upstash on this machine
	$(setup) todo
	@exec $(bin)/python -m examples.api.serve_upstash $(ARGS)

.PHONY: quota
quota: ## serve the quota example at http://127.0.0.1:8000
	$(setup) quota
	@exec $(bin)/python -m examples.quota.serve

.PHONY: quota-upstash
quota-upstash: ## serve the quota example on an Upstash on this machine
	$(setup) quota
	@exec $(bin)/python -m examples.quota.serve_upstash $(ARGS)

.PHONY: test
test: ## run the test suite on each supported Python that is installed
	$(setup) setup test todo-test
	@bash .ci/databases
	@$(bin)/python .ci/suite.py $(ARGS)

.PHONY: quick
quick: ## run the test suite on the Python of .venv only
	$(setup) setup test todo-test
	@bash .ci/databases
	@$(bin)/python -m pytest $(ARGS)

.PHONY: lint
lint: ## ruff, its formatter, and the direction of imports
	$(setup) setup lint
	$(call all,"$(bin)/ruff check" "$(bin)/ruff format --check" "$(bin)/lint-imports --no-logo")

.PHONY: format
format: ## let ruff mend and format what it can
	$(setup) setup lint
	$(bin)/ruff check --fix
	$(bin)/ruff format

.PHONY: types
types: ## mypy and pyright, both strict, and the types of everything public
	$(setup) setup test todo-test types
	$(call all,"$(bin)/mypy $(typed)" "$(bin)/pyright --warnings $(typed)" "$(bin)/python .ci/verify_types.py")

.PHONY: audit
audit: ## ask whether a package that is installed is known to be vulnerable
	$(setup) setup audit
	@$(bin)/python .ci/audit.py

.PHONY: docs
docs: ## build the documentation into site/, where a warning is an error
	$(setup) setup docs
	@# The theme's advertisement of its successor is no news to this build.
	NO_MKDOCS_2_WARNING=1 $(bin)/mkdocs --quiet build --strict

.PHONY: browser
browser: ## use the to-do page with headless Chromium
	$(setup) setup test browser
	@bash .ci/chromium
	@$(bin)/python .ci/browser.py $(ARGS)

.PHONY: model
model: ## search the model of the notification protocol, and let the real one do its behaviours again (needs Java)
	$(setup) setup test model
	@$(bin)/python -m tests.models.check
	@$(bin)/python -m pytest -q tests/stepping/test_traces.py tests/redis/test_traces.py $(ARGS)

.PHONY: bench
bench: ## print the benchmark table
	@"$(PYTHON)" -m benchmarks $(ARGS)

.PHONY: soak
soak: ## run the to-do example for minutes, with faults on all the time, and check what came of it
	$(setup) soak
	@exec $(bin)/python -m benchmarks.soak $(ARGS)

.PHONY: mutants
mutants: ## mutation testing of the logic, which takes an hour or more
	$(setup) setup test todo-test mutants
	@$(bin)/python -m tests.mutants $(ARGS)

.PHONY: check
check: ## everything that CI checks
	@bash .ci/run

.PHONY: pins
pins: ## renew the versions in .ci/constraints.txt
	$(setup) setup
	@{ head -n 1 .ci/constraints.txt; \
	   $(bin)/uv pip compile pyproject.toml --quiet --universal --upgrade --python-version 3.10 \
	       --all-extras --group dev --no-header --no-annotate; } > .ci/constraints.new
	@mv .ci/constraints.new .ci/constraints.txt

.PHONY: clean
clean: ## remove environments, caches and what was built
	rm -rf .venv .venv-* site dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
