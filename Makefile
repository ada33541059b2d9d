# Two commands: `make demo` and `make test`. Both need only Python >= 3.11 with pip, and may be repeated.
PYTHON ?= python3
OUT ?= out/demo
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test test-peers check bench clean

demo: .venv/demo.done
	.venv/bin/classlens demo --output-dir $(OUT)

test: .venv/test.done
	.venv/bin/python -m pytest -n 2 --dist loadfile

test-peers: .venv-peers/done
	.venv-peers/bin/python -m pytest tests_peers -n 2 --dist loadfile

check: .venv/test.done
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	$(MAKE) test

bench: .venv-peers/done
	.venv-peers/bin/python benchmarks/run.py

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/demo.done: pyproject.toml | .venv/bin/python
	.venv/bin/python -m pip install --quiet --editable '.[demo]'
	touch $@

.venv/test.done: pyproject.toml | .venv/bin/python
	.venv/bin/python -m pip install --quiet --editable '.[test]'
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

clean:
	rm -rf .venv .venv-peers out
