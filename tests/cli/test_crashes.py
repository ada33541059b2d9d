import json
import subprocess
import sys
from functools import partial

import pytest

from tests.cli.test_browse import files

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="copies of a process are made on Linux only")

DEADLY = """
import ctypes
import numpy as np
from PIL import Image

class Pictures:
    def __len__(self): return 5
    def __getitem__(self, index):
        if index == 2: ctypes.string_at(0)
        return Image.fromarray(np.full((20, 30, 3), index * 40, np.uint8)), index % 2

pictures = Pictures()
"""


@pytest.fixture
def command(tmp_path):
    (tmp_path / "deadly.py").write_text(DEADLY)

    def run(name, *words):
        command = [sys.executable, "-m", "classlens", name, f"py:{tmp_path / 'deadly.py'}:pictures", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    return run


@pytest.fixture
def browse(command):
    return partial(command, "browse")


def test_a_decoder_that_kills_the_process_costs_one_of_a_few_pictures(browse, tmp_path):
    found = browse("--output-dir", "out", "--strict")

    assert found.returncode == 1
    assert "killed the process that decoded it (SIGSEGV)" in found.stderr
    assert "1 of them is bad:\n  #2  sample 2: the process that decoded it died" in found.stderr
    assert files(tmp_path / "out") == ["0/0.jpg", "0/4.jpg", "1/1.jpg", "1/3.jpg", "unlabelled/2.jpg"]


def test_the_others_are_told_as_ever(browse):
    found = json.loads(browse("--json").stdout)

    assert (found["shown"], found["bad"]) == (4, 1)
    assert [bool(sample["error"]) for sample in found["samples"]] == [False, False, True, False, False]


def test_statistics_and_batches_go_on_without_it(browse):
    counted, batch = (json.loads(browse("--json", *words).stdout) for words in (["--stats"], ["--batch", "5"]))

    assert (counted["samples"], sum(counted["classes"].values())) == (5, 4)
    assert [bad["index"] for bad in counted["bad"]] == [bad["index"] for bad in batch["bad"]] == [2]
    assert sorted(batch["batches"][0]["indices"]) == [0, 1, 3, 4]


def test_where_labels_cannot_be_asked_for_the_end_is_one_error(browse):
    found = browse("--class", "1")

    assert found.returncode == 2
    assert "error: a picture killed the process that decoded it (SIGSEGV)\nhint:  --in-order" in found.stderr
    assert found.stdout == ""


def test_errors_of_the_user_are_told_once(browse):
    found = browse("--index", "9")

    assert found.returncode == 2
    assert found.stderr.count("no sample 9") == 1


def test_a_report_goes_on_without_it_and_names_it_at_the_end(command, tmp_path):
    found = command("report", "--pictures", "4")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")

    assert found.returncode == 0
    assert found.stderr.count("a picture killed the process that decoded it (SIGSEGV); beginning again") == 1
    *_, bad, wrote = found.stdout.splitlines()
    assert bad == "bad: sample 2 of Pictures train: a picture killed the process that decoded it (SIGSEGV)"
    assert wrote == "wrote report.html"
    assert "error D001: 1 of 5 pictures cannot be read" in page
    tiles = page.partition(">Pictures train, as loaded<")[2] or page.partition("as loaded")[2]
    assert tiles.partition("<h3")[0].count("<figure") == 4
    assert "killed the process" in page.partition('<figure class="marked">')[2].partition("</figure>")[0]


def test_a_check_goes_on_without_it(command):
    found = command("check", "--json")

    (finding,) = (one for one in json.loads(found.stdout)["findings"] if one["code"] == "D001")
    assert found.returncode == 1
    assert "1 of 5 pictures cannot be read" in finding["message"]


def test_a_picture_that_takes_too_long_is_named_with_the_limit(command, tmp_path):
    (tmp_path / "deadly.py").write_text(DEADLY.replace("ctypes.string_at(0)", "\n            while True: pass"))

    found = command("check", "--select", "D001", "--json", "--limit", "seconds=0.5")

    assert found.returncode == 1
    said = "a picture takes more than 0.5 s of work, which --limit seconds=N allows"
    assert said in found.stderr
    assert said in found.stdout


def test_an_end_that_is_no_pictures_fault_is_said_and_not_tried_again(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    words = [sys.executable, "-m", "classlens"]

    for name in ("check", "browse"):
        found = subprocess.run([*words, name, f"py:{script}:make"], capture_output=True, text=True, check=False)

        assert found.returncode == 128 + 9
        assert found.stderr == "error: the process of the run was killed (SIGKILL)\n"


def test_what_crashes_before_a_picture_is_looked_at_is_not_tried_again(tmp_path):
    (tmp_path / "crashing.py").write_text("import ctypes\nctypes.string_at(0)\n")
    command = [sys.executable, "-m", "classlens", "check", f"py:{tmp_path / 'crashing.py'}:make"]

    found = subprocess.run(command, capture_output=True, text=True, check=False)

    assert found.returncode == 128 + 11
    assert found.stderr == "error: the process of the run was killed (SIGSEGV)\n"
