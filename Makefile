# Two commands: `make demo` and `make test`. Both need only Python >= 3.11 with pip, and may be repeated.
# Another Python: `make test PYTHON=python3.13 VENV=.venv-3.13`.
PYTHON ?= python3
VENV ?= .venv
OUT ?= out/demo
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo docs gallery test coverage test-kills test-long mutants test-peers test-oldest lint format check check-page check-wheel bench fuzz clean

demo: $(VENV)/demo.done
	$(VENV)/bin/classlens demo --output-dir $(OUT)

# Compiled once: tests start hundreds of processes, which write no bytecode where PYTHONDONTWRITEBYTECODE is set.
test: $(VENV)/test.done
	$(VENV)/bin/python -m compileall -q src
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile

# Which lines the suite runs, in its children too. Fails under the floor in pyproject.toml.
# Three tests are left out, where a signal, a full disk or a list of what is imported meets what measures.
coverage: $(VENV)/test.done
	rm -rf out/coverage && mkdir -p out/coverage
	$(VENV)/bin/python -m coverage run -m pytest -n 2 --dist loadfile $(addprefix --deselect tests/,\
	  strangers/test_endings.py::test_a_disk_that_takes_no_more_is_one_error_and_nothing_is_left \
	  strangers/test_endings.py::test_a_signal_while_packages_are_imported_leaves_no_traceback \
	  studio/test_serve.py::test_what_answers_first_has_loaded_nothing_heavy)
	$(VENV)/bin/python -m coverage combine --quiet
	$(VENV)/bin/python -m coverage report

# The whole counts of runs that are killed at random moments, of which the suite takes a share: half an hour.
test-kills: $(VENV)/test.done
	CLASSLENS_ALL_KILLS=1 $(VENV)/bin/python -m pytest tests/strangers/test_kills.py tests/strangers/test_audit_kills.py tests/runs/test_audit_run.py -n 0

# Two thousand maps, of which the suite makes 200, and nothing may be kept of them.
test-long: $(VENV)/test.done
	CLASSLENS_LONG=1 $(VENV)/bin/python -m pytest tests/strangers/test_endurance.py -n 0

# Small mistakes planted in a copy of what is committed, so many in each module, and which of them no test notices.
MUTANTS ?= 12
mutants: $(VENV)/test.done
	rm -rf out/mutants && mkdir -p out/mutants && git archive HEAD | tar x -C out/mutants
	$(VENV)/bin/python scripts/measure_mutants.py $(CURDIR)/out/mutants --each $(MUTANTS)

test-peers: .venv-peers/done
	.venv-peers/bin/python -m pytest tests_peers -n 2 --dist loadfile

# The pictures of the documentation, and the pages that show them.
gallery: $(VENV)/test.done
	$(VENV)/bin/python scripts/make_gallery.py

# The site, in out/docs; warnings are errors.
docs: $(VENV)/test.done
	$(VENV)/bin/python -m pip install --quiet --editable '.[docs]'
	$(VENV)/bin/python -m sphinx -q -W --keep-going -b html docs out/docs

# What pyproject.toml declares as the lower bounds, installed as exactly those versions.
test-oldest: .venv-oldest/done
	.venv-oldest/bin/python -m pytest -n 2 --dist loadfile -W default

lint: $(VENV)/test.done
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python scripts/measure_house.py

format: $(VENV)/test.done
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

check: lint check-page test

# The types of the studio's page, which its comments declare. Users never need node; whoever changes the page does.
PAGE = scripts/page
check-page:
	@command -v npm >/dev/null || { echo "no npm here: the types of the studio's page are not checked"; exit 0; }; \
	[ $(PAGE)/node_modules/done -nt $(PAGE)/package.json ] \
	  || { npm install --prefix $(PAGE) --no-package-lock --no-audit --no-fund --silent && touch $(PAGE)/node_modules/done; } \
	  || { echo "npm reaches no registry: the types of the studio's page are not checked"; exit 0; }; \
	$(PAGE)/node_modules/.bin/tsc -p $(PAGE)/jsconfig.json

# Wheel and sdist, installed without extras on every Python at hand, and what a user tries first. (`true`: make takes 127
# from the last Python that is missing for a shell that is missing, and finds none.)
PYTHONS ?= $(shell for minor in 11 12 13 14; do python3.$$minor -c "" 2>/dev/null && echo python3.$$minor; done; true)
check-wheel: $(VENV)/test.done
	$(VENV)/bin/python -m pip install --quiet build hatchling
	rm -rf out/dist && $(VENV)/bin/python -m build --no-isolation --outdir out/dist
	! find out/dist -name "*.whl" -size +1000000c | grep .
	@test -n "$(PYTHONS)" || exit 1; for python in $(PYTHONS); do \
	  rm -rf out/wheel && $$python -m venv out/wheel && cd out/wheel || exit 1; \
	  for file in ../dist/*; do \
	    echo "$$file on $$(bin/python --version)"; \
	    bin/pip install --quiet $$file && bin/pip check && bin/python -W error -c "import classlens" && bin/classlens --help >/dev/null \
	    && bin/classlens lr demo --save-path lr.png && bin/classlens browse demo --show-number 2 --output-dir browse \
	    && bin/pip uninstall --quiet --yes classlens || exit 1; \
	  done; cd ../..; \
	done

# All comparisons in one go, into docs/benchmarks.md: an hour, on an idle machine.
bench: .venv-peers/done
	.venv-peers/bin/python -m pip install --quiet --editable '.[bench]'
	.venv-peers/bin/python -m compileall -q src
	.venv-peers/bin/python benchmarks/run.py --write

# Ten minutes of inputs that strangers could send, shared by the harnesses; `make fuzz FUZZ_SECONDS=60` takes less.
FUZZ_SECONDS ?= 600
HARNESSES = $(sort $(wildcard fuzz/fuzz_*.py))
fuzz: .venv-fuzz/done
	for harness in $(HARNESSES); do \
	  .venv-fuzz/bin/python $$harness $$(($(FUZZ_SECONDS) / $(words $(HARNESSES)))) || exit 1; \
	done

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.done: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --editable '.[demo]'
	touch $@

$(VENV)/test.done: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --editable '.[test]'
	touch $@

# uv chooses the versions, which pip cannot. Old packages warn about new ones beside them: warnings are no errors here.
.venv-oldest/done: pyproject.toml
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet 'uv>=0.5'
	.venv-oldest/bin/uv pip compile --quiet --resolution lowest-direct --extra test pyproject.toml -o .venv-oldest/versions.txt
	.venv-oldest/bin/uv pip install --quiet --python .venv-oldest/bin/python --requirement .venv-oldest/versions.txt
	.venv-oldest/bin/uv pip install --quiet --python .venv-oldest/bin/python --no-deps --editable .
	touch $@

.venv-peers/bin/python:
	$(PYTHON) -m venv .venv-peers

# mmpretrain and mmcls come without their dependencies: they ask for an mmcv that must be compiled, and for opencv's
# desktop build, which needs a display library.
.venv-peers/done: pyproject.toml | .venv-peers/bin/python
	.venv-peers/bin/python -m pip install --quiet --editable '.[peers]'
	.venv-peers/bin/python -m pip install --quiet --no-deps 'mmpretrain==1.2.0' 'mmcls==0.25.0'
	.venv-peers/bin/python -m pip uninstall --quiet --yes opencv-python
	.venv-peers/bin/python -m pip install --quiet --no-deps --force-reinstall opencv-python-headless
	touch $@

.venv-fuzz/done: pyproject.toml
	$(PYTHON) -m venv .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet --editable '.[fuzz]'
	touch $@

clean:
	rm -rf .venv .venv-fuzz .venv-oldest .venv-peers scripts/page/node_modules out
