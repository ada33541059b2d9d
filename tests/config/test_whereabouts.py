import pytest

from .writing_files import read

BASE = """
pipeline = [
    dict(type='Load'),
    dict(type='Flip',
         prob=0.5),
]
loader = dict(
    batch=32,
    dataset=dict(pipeline=pipeline))
"""
CHILD = """_base_ = 'base.py'

loader = dict(workers=2,
              sampler={'shuffle': True})
"""


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("loader.workers", "child.py:3"),
        ("loader.sampler.shuffle", "child.py:4"),
        ("loader.batch", "base.py:8"),
        ("loader.dataset.pipeline.1.prob", "base.py:5"),
        ("pipeline.0.type", "base.py:3"),
        ("pipeline", "base.py:2"),
        ("loader.nothing", "child.py:3"),
    ],
)
def test_a_key_is_found_where_it_was_written(tmp_path, key, place):
    config = read(tmp_path, base=BASE, child=CHILD)

    assert config.where(key) == f"{tmp_path}/{place}"


def test_a_key_that_is_nowhere_is_in_the_file(tmp_path):
    config = read(tmp_path, child="a = 1")

    assert config.where("b.c") == str(tmp_path / "child.py")
    assert config.path == tmp_path / "child.py"


def test_a_key_of_a_file_that_is_gone_is_where_its_variable_was(tmp_path):
    config = read(tmp_path, base=BASE, child=CHILD)
    (tmp_path / "base.py").unlink()

    assert config.where("pipeline.1.prob") == f"{tmp_path}/base.py:2"
