# Two commands do everything: make demo, make test. PYTHON=/path/to/python3 chooses the interpreter.
.DEFAULT_GOAL := help
.PHONY: help demo test build native-test isoproxy lint types check-house asan tsan floor faults handoff deadline process perf perf-proxy perf-smoke fuzz docs format wheel clean

PYTEST_ARGS ?=
SOURCES = $(wildcard native/*/*.[ch] perf/*/*.[ch] examples/*.c)
PYTHON_FOLDERS = isoexec tests tools perf examples native/engine

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## set up, then run real messages through an example handler in parallel ranks
	@venv=$$(tools/setup) && "$$venv/bin/isoexec" demo

test: ## set up, then the whole suite: C tests and pytest (PYTEST_ARGS="-k sip")
	@tools/native dev
	@venv=$$(tools/setup test) && "$$venv/bin/pytest" $(PYTEST_ARGS)

build: ## set up only: .venv/VERSION with isoexec and the test tools in it
	@venv=$$(tools/setup test) && echo "ready: $$venv/bin/isoexec"

native-test: ## the C tests alone
	@tools/native dev

isoproxy: ## the stand-alone proxy, in build/isoproxy-VERSION
	@tools/isoproxy

lint: ## ruff, clang-format, codespell, and the rules of the house
	@venv=$$(tools/setup --no-build lint) && export PATH="$$venv/bin:$$PATH" && \
	ruff check . && ruff format --check . && \
	clang-format --dry-run --Werror $(SOURCES) && codespell && python tools/check_house.py

types: ## mypy --strict over the package, and its stubs against the built module
	@venv=$$(tools/setup types) && export PATH="$$venv/bin:$$PATH" && \
	mypy && stubtest isoexec._native isoexec._proxy

check-house: ## who may include whom, sizes, documented functions
	@venv=$$(tools/setup --no-build) && "$$venv/bin/python" tools/check_house.py

format: ## let ruff and clang-format rewrite the sources
	@venv=$$(tools/setup --no-build lint) && export PATH="$$venv/bin:$$PATH" && \
	ruff check --fix . ; ruff format . && clang-format -i $(SOURCES)

asan: ## C tests and the embed example under AddressSanitizer and UBSan
	@tools/native asan

tsan: ## C tests and the embed example under ThreadSanitizer
	@tools/native tsan

floor: ## isoexec against the floor program, interleaved: the speed promises
	@venv=$$(tools/setup) && PATH="$$venv/bin:$$PATH" python -m perf floor

faults: ## every fault on every isolation level, for each CPython that is here
	@tools/faults $(FAULTS)

perf: ## isoexec beside every rival: all cases, and the report in docs/perf (ten minutes)
	@venv=$$(tools/setup perf) && PATH="$$venv/bin:$$PATH" && python -m perf run && python -m perf report

perf-smoke: ## the same cases in a minute or two: rough figures, but every answer is checked
	@venv=$$(tools/setup perf) && PATH="$$venv/bin:$$PATH" && python -m perf run --quick --out build/perf/smoke.json \
	    && python -m perf report build/perf/smoke.json build/perf/smoke

handoff: ## the queue channel against a bare hand-off and a bare ring, interleaved
	@venv=$$(tools/setup) && PATH="$$venv/bin:$$PATH" python -m perf handoff

process: ## process ranks against a pipe to a process
	@venv=$$(tools/setup) && PATH="$$venv/bin:$$PATH" python -m perf process

perf-proxy: ## the proxy under load against Kamailio and a bare responder, in turn
	@venv=$$(tools/setup) && PATH="$$venv/bin:$$PATH" python -m perf proxy

deadline: ## what a deadline costs a call, and how late it ends one
	@venv=$$(tools/setup) && PATH="$$venv/bin:$$PATH" python -m perf deadline

fuzz: ## fuzz the indexer for a minute each (needs clang)
	@tools/fuzz

docs: ## write the generated pages of docs/
	@venv=$$(tools/setup) && "$$venv/bin/python" tools/make_docs.py

wheel: ## the wheel of this CPython, in build/dist-VERSION
	@venv=$$(tools/setup) && ls build/dist-$${venv##*/}/*.whl

clean: ## remove .venv and build
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis
