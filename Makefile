# One word each for what is done often. All of it is tests/run.sh and the Python that env.sh makes on first use.
.POSIX:
.PHONY: help lint types test test-fast format

run = @python=$$(sh env.sh dev) && exec "$$python" -m

help: ## list these words
	@sed -n 's/^\([a-z-]*\):.* ## /\1	/p' Makefile | expand -t 12

lint: ## ruff: mistakes, names, imports
	$(run) ruff check .

types: ## mypy
	$(run) mypy

test: ## what CI runs: lint, layout, types and all tests; ARGS="-k durations" goes to pytest
	@sh tests/run.sh $(ARGS)

test-fast: ## the same without the tests marked slow
	@sh tests/run.sh -m "not slow" $(ARGS)

format: ## lay out the sources
	$(run) ruff format .
