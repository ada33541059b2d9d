"""Every bad or unusual file, and what a user sees of it: tile, remark, reason, count, exit status."""

import json
import re

import cv2
import numpy as np
import pytest

from classlens.cli.main import main
from classlens.figures.filmstrip import WARNING
from tests.cli.test_browse import files
from tests.dataset.bad_pictures import CASES, JPEG, make


def write_list(folder, *paths):
    """An annotation list of any names."""
    rows = [{"img_path": str(path), "gt_label": number % 2} for number, path in enumerate(paths)]
    (folder / "list.json").write_text(json.dumps({"metainfo": {"classes": ["a", "b"]}, "data_list": rows}))
    return f"folder:{folder / 'list.json'}"


def marked(sample):
    """Whether a tile says something in the colour of warnings above its picture, or instead of one."""
    pixels = cv2.imread(sample["file"])[..., ::-1].astype(int)
    above = pixels[: pixels.shape[0] - (sample["size"] or [0])[0]]
    return int((np.abs(above - WARNING).max(axis=2) < 60).sum()) > 20


def test_the_table_is_long():
    assert len(CASES) >= 80
    assert sum(bool(case.reason) for case in CASES) >= 30


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_run_goes_on_past_any_file_and_says_what_is_wrong_with_it(case, tmp_path, capsys):
    good = tmp_path / "good.jpg"
    good.write_bytes(JPEG)
    (tmp_path / "case").mkdir()
    path = make(case, tmp_path / "case")
    target, out = write_list(tmp_path, good, path, good), tmp_path / "out"
    words = ["browse", target, "--mode", "original", "--in-order", "--index", "0", "1", "2", "--output-dir", str(out)]

    strict = main([*words, "--strict", "--json"])
    before, found, after = json.loads(capsys.readouterr().out)["samples"]
    lenient = main(words)
    told = capsys.readouterr()

    assert (strict, lenient) == (1 if case.reason else 0, 0)
    assert before["error"] is after["error"] is None
    assert "3 pictures of list.json" in told.out
    assert len(files(out)) == 3
    assert any(case.remark in remark for remark in found["remarks"]) or not case.remark
    assert bool(found["remarks"]) == bool(case.remark)
    assert marked(found) == bool(case.reason or case.remark)
    assert not marked(after)
    if case.size:
        assert tuple(found["size"]) == case.size
    if case.reason:
        assert found["error"].startswith(found["path"])
        assert re.search(case.reason, found["error"])
        assert told.err.count("\n  #1  ") == 1
        assert "1 of them is bad:" in told.err
    else:
        assert found["error"] is None
        assert "bad" not in told.err
