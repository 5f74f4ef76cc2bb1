# One-word commands for frequent tasks, by tests/run.sh and the Python of env.sh, which is created on first use.
.POSIX:
.PHONY: help lint types test test-fast format docs

run = @python=$$(sh env.sh dev) && exec "$$python" -m

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.* ## /\1	/p' Makefile | expand -t 12

lint: ## ruff: errors, names, imports
	$(run) ruff check .

types: ## mypy
	$(run) mypy

test: ## what CI runs: lint, layout, types and all tests; ARGS="-k durations" goes to pytest
	@sh tests/run.sh $(ARGS)

test-fast: ## the same without the tests marked slow
	@sh tests/run.sh -m "not slow" $(ARGS)

format: ## format the sources
	$(run) ruff format .

docs: ## the documentation at http://127.0.0.1:8000; ARGS="-a 127.0.0.1:8001" goes to mkdocs
	$(run) mkdocs serve $(ARGS)
