# Everything a stranger types. `make demo` and `make test` do their own set-up.
#
# The installation is editable (pip install -e): .venv lies in the checkout, so a second copy of
# the same files in it would only get old. Stamps make a second call instant.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
UNIT := $(wildcard tests/unit tests/cli tests/slic/test_slic_contract.py) tests/test_layering.py \
	--ignore tests/cli/test_real.py
JOBS ?= auto
# Of root's cluster, in `make test-user` and the short form of it in `make test`: any number will do.
TEST_USER ?= 20001
AS_USER = GLUNIX_TEST_USER=$(TEST_USER) $(BIN)/python -m pytest
AS_USER_SHORT := $(patsubst %,tests/transparent/test_%.py,slice terminal identity home_paths)
# `no`: no virtual machines in `make test`.
VM ?= yes

# Debian package : command that shows it is there.
VENV_NEEDS := python3-venv:py=ensurepip
TEST_NEEDS := gcc:gcc libc6-dev:/usr/include/stdio.h make:make git:git tar:tar gzip:gzip \
	vim:vim bash:bash less:less tmux:tmux procps:ps iputils-ping:ping nano:nano sqlite3:sqlite3 \
	strace:strace iproute2:ip man-db:man \
	libpython3-testsuite:py=test.test_signal clang:clang

# A checkout that was moved needs new scripts: they hold absolute paths.
ifneq ($(shell cat .venv/.stamp-at 2>/dev/null),$(CURDIR))
.PHONY: .venv/.stamp-install
endif

.PHONY: help install demo test check test-user shell bench test-long clean lab lab-test lab-down test-vm
help:
	@echo "make demo       install, start 4 nodes, run real jobs at both levels, stop"
	@echo "make test       install what tests need, and pass them (VM=no: without virtual machines)"
	@echo "make test-user  the tests of -T as an ordinary user of root's cluster (as root)"
	@echo "make check      format, lint, types, unit tests: under a minute"
	@echo "make shell      a shell with a cluster and the tools on PATH"
	@echo "make bench      measure against peers      make test-long  the long campaigns"
	@echo "make lab        three virtual machines (Vagrant), then: make lab-test, make lab-down"
	@echo "make test-vm    the same tests on machines that live as long as the test"
	@echo "make install    only .venv with the tools  make clean      remove what make made"

install: .venv/.stamp-install
	@echo "the tools are in $(CURDIR)/$(BIN)"

.venv/.stamp-install: pyproject.toml glunix/cli/launchers.py .ci/need
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("GLUnix needs Python 3.11 or later, this is " + sys.version.split()[0])'
	@PYTHON="$(PYTHON)" .ci/need $(VENV_NEEDS)
	@echo "installing into .venv ..."
	@rm -f .venv/.stamp-*
	@$(PYTHON) -m venv --clear .venv
	@$(PIP) install -e .
	@$(BIN)/python -m glunix.cli.launchers
	@printf %s "$(CURDIR)" >.venv/.stamp-at
	@touch $@

.venv/.stamp-test: .venv/.stamp-install
	@echo "installing what tests need ..."
	@$(PIP) install -e '.[test]'
	@$(BIN)/python -m glunix.cli.launchers
	@touch $@

demo: .venv/.stamp-install
	@$(BIN)/glunix demo

shell: .venv/.stamp-install
	@$(BIN)/glunix shell

check: .venv/.stamp-test
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q -n $(JOBS) $(UNIT)

test: .venv/.stamp-test
	@.ci/need -o $(TEST_NEEDS)
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -n $(JOBS) tests || { \
	  echo "what failed beside others is tried once more, alone; what fails again has failed"; \
	  $(BIN)/python -m pytest --last-failed --last-failed-no-failures none tests; }
	@[ "$$(id -u)" != 0 ] || $(AS_USER) -n $(JOBS) $(AS_USER_SHORT) || \
	  $(AS_USER) --last-failed --last-failed-no-failures none $(AS_USER_SHORT)
	@[ "$(VM)" = no ] || .ci/vm

# All that -T does, done by an ordinary user of root's cluster.
test-user: .venv/.stamp-test
	@[ "$$(id -u)" = 0 ] || { echo "needs root, to become user $(TEST_USER)" >&2; exit 1; }
	@$(AS_USER) -n $(JOBS) tests/transparent || { \
	  echo "what failed beside others is tried once more, alone; what fails again has failed"; \
	  $(AS_USER) --last-failed --last-failed-no-failures none tests/transparent; }

# The `slow` tests take their long form.
test-long: .venv/.stamp-test
	@.ci/need -o $(TEST_NEEDS)
	@GLUNIX_LONG=1 $(BIN)/python -m pytest --timeout 5400 -n $(JOBS) tests

# Machines with kernels of their own (vagrant/README.md); as root.
lab: .venv/.stamp-install
	@.ci/need $$($(BIN)/python -m vagrant tools vagrant)
	@$(BIN)/python -m vagrant up

lab-test: .venv/.stamp-test lab
	@GLUNIX_LAB=vagrant $(BIN)/python -m pytest --timeout 2400 -p no:xdist tests/lab

lab-down: .venv/.stamp-install
	@$(BIN)/python -m vagrant down

VM_TESTS ?= tests/lab
test-vm: .venv/.stamp-test
	@.ci/need $$($(BIN)/python -m vagrant tools quick)
	@GLUNIX_LAB=qemu $(BIN)/python -m pytest --timeout 2400 -p no:xdist $(VM_TESTS)

bench: .venv/.stamp-test
	@$(BIN)/python -m tests.bench

clean:
	rm -rf .venv build dist ./*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
