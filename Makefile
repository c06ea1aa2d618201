# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
# Each makes its own virtual environment with pip; nothing needs to be installed by hand but Python 3.11+.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml requirements-dev.lock

.PHONY: demo test test-all suite failed test-browser test-emulator test-aws check walk kill bench bench-gpu lint format types \
	shell lock dist docs clean

demo: .demo/venv/ready
	@bash docs/demo.sh .demo

# Minutes: without what tests/long.txt names, which `make test-all` and CI run as well.
test: export GPU_BOX_SHORT = yes
test: check

test-all: check

# mypy works while the tests of machines wait.
check: $(VENV)/ready lint shell
	@$(MAKE) --no-print-directory -j 2 types suite

# What needs root boots machines, and watches in seconds whether they work or idle: with little beside it.
TESTS := tests
WORKERS := 4
suite: $(VENV)/ready
	@status=0; \
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --ignore tests/browser \
		--ignore tests/emulator --ignore tests/real_machine $(TESTS) || status=1; \
	if [ "$$(id -u)" -eq 0 ]; then \
		$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder \
			--ignore tests/real_machine/test_trixie.py tests/real_machine || status=1; \
	else \
		echo "tests/real_machine: skipped, it boots machines, which needs root"; \
	fi; \
	exit $$status

# The files with a test that failed in the last run, one test at a time. Whole files: the tests of a story need
# those before them; those of the stop guarantee are a story each.
LAST_FAILED := .pytest_cache/v/cache/lastfailed
failed: $(VENV)/ready
	@tests=$$($(BIN)/python -c "import json; failed = json.load(open('$(LAST_FAILED)')); \
		print(*sorted({t if 'test_stop_guarantee' in t else t.split('::')[0] for t in failed}) or [1 / 0])") \
		&& $(BIN)/python -m pytest $$tests

# The lesson, notebooks and the report in a real Chromium, which must be there. Minutes: no part of `make test`.
test-browser: $(VENV)/ready
	$(BIN)/python -m pip install --quiet playwright
	$(BIN)/python -m pytest tests/browser

# A box's story against ministack, an emulator of AWS that others wrote, in a virtual environment of its own
# (.emulator). Skipped where that cannot be installed; no part of `make test`.
test-emulator: $(VENV)/ready
	$(BIN)/python -m pytest tests/emulator

# Every command struck by faults at its AWS calls, and with services down; `make walk EACH=20` takes so
# many a command.
walk: $(VENV)/ready
	$(BIN)/python -m tests.faults $(if $(EACH),--each $(EACH)) --write docs/reliability.md

# The installed command ended by `kill -9` at random moments, on the embedded cloud; `make kill KILLS=90` takes
# so many, 15 to 30 seconds each.
kill: $(VENV)/ready
	$(BIN)/python -m tests.races.kill $(if $(KILLS),--kills $(KILLS)) --write docs/reliability.md

# From `up` to `down` in your own AWS account, with a sweep at the end (tests/account.py): I_PAY_FOR_THIS=yes.
# `make test-aws ENDPOINT=embedded` costs nothing.
test-aws: $(VENV)/ready
	$(BIN)/python -m pytest -p tests.account -x -v --timeout 3600 --endpoint $(or $(ENDPOINT),aws) \
		$(if $(TYPE),--type $(TYPE)) tests/people/test_story.py

# Every wait that a user has, beside what they would use instead; `make bench ONLY="command sync"` takes those.
bench: $(VENV)/ready
	$(BIN)/python -m pip install --quiet playwright
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) --write docs/performance.md

# On a GPU machine, with its own Python and PyTorch: nothing is installed. Under 8 minutes; docs/gpu.md.
bench-gpu:
	$(PYTHON) benchmarks/vgg16_gpu.py --write docs/gpu.md

lint: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/ready
	$(BIN)/mypy

shell: $(VENV)/ready
	@if command -v shellcheck >/dev/null; then shellcheck docs/*.sh .ci/run .ci/stock; else echo "shellcheck: not here, skipped"; fi

format: $(VENV)/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# torch is pinned by pyproject.toml; which build of it, and what that build needs, is the machine's own affair.
lock: $(VENV)/ready
	$(BIN)/python -m pip install --quiet uv
	{ echo '# Versions that the tests were last seen to pass with: constraints for `make test`. Made by `make lock`.'; \
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
		--extra local --group dev pyproject.toml | grep -vE '^(torch|triton|nvidia-|cuda-)'; } >.lock.new
	mv .lock.new requirements-dev.lock

# What PyPI gets: sdist and wheel. hatchling's builds are reproducible: the same bytes from the same files.
dist: $(VENV)/ready
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

# The site, in site/: built only where every link leads somewhere.
docs: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# A stamp is written last, so that an interrupted install is made again.
$(VENV)/ready: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[local]' --group dev --constraint requirements-dev.lock
	@touch $@

.demo/venv/ready: $(SOURCES)
	$(PYTHON) -m venv .demo/venv
	.demo/venv/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.demo/venv/bin/python -m pip install --quiet '.[local]' --constraint requirements-dev.lock
	@touch $@

clean:
	rm -rf $(VENV) .demo .emulator dist build site .pytest_cache .mypy_cache .ruff_cache .hypothesis
