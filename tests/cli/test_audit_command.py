"""The command line of audits, in this process, on a tiny network."""

import json
import re

import pytest
from fsspec.implementations.memory import MemoryFileSystem

import classlens
from classlens.audit.rows import read_rows
from classlens.cli.main import main
from tests.audit.tiny_setup import files_of, write_network, write_pictures


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    place = tmp_path_factory.mktemp("command")
    return [
        "audit",
        write_network(place),
        "--data",
        write_pictures(place / "photos", 30, bad=(4,)),
        "--batch-size",
        "4",
    ]


def test_what_it_came_to_is_said_in_a_few_lines(words, tmp_path, capsys):
    assert main([*words, "-o", str(tmp_path), "--layers", "1", "3", "--methods", "GradCAM"]) == 0

    said = capsys.readouterr().out.splitlines()
    assert said[0] == "30 pictures, 30 new; 29 with a label"
    assert said[1].startswith("bad: 1: ")
    assert "times" not in said[1]
    assert said[2].startswith("right: ")
    assert "first 5" not in said[2], "there are three classes"
    assert said[-1] == f"wrote {tmp_path}/report.html"
    assert {"map_0", "map_1"} <= next(read_rows(tmp_path)).keys()
    assert all(
        f">{said}</text>" in (tmp_path / "report.html").read_text() for said in ("probability of the answer", "75%")
    )
    assert main(["verify", str(tmp_path / "report.html")]) == 0
    assert "0 rows" not in (verified := capsys.readouterr().out)
    assert "rows are checked by giving the folder" in verified


def test_without_maps_there_is_still_a_page(words, tmp_path, capsys):
    assert main([*words, "-o", str(tmp_path), "--methods", "none", "--json"]) == 0

    facts = json.loads(capsys.readouterr().out)
    assert facts == json.loads((tmp_path / "summary.json").read_text())
    assert (facts["good"], facts["clusters"], facts["groups"]["all"]["mean_map"]) == (29, [], None)
    assert "map_0" not in next(read_rows(tmp_path))


def test_the_report_and_the_answers_lead_to_one_another(words, tmp_path, capsys):
    """Also where the answers came later than the report, and where the report is written again after them."""

    def links():
        pages = [(tmp_path / name).read_text() for name in ("report.html", "answers.html")]
        return ['href="answers.html"' in pages[0], 'href="report.html"' in pages[1]]

    assert main([*words, "-o", str(tmp_path)]) == 0
    assert 'href="answers.html"' not in (tmp_path / "report.html").read_text()
    assert main([*words, "-o", str(tmp_path), "--answers", "labels"]) == 0
    assert links() == [True, True]
    assert main([*words, "-o", str(tmp_path)]) == 0
    assert links() == [True, True]
    assert main(["verify", str(tmp_path / "report.html")]) == 0
    capsys.readouterr()


def test_a_dry_run_writes_nothing(words, tmp_path, capsys):
    assert main([*words, "-o", str(tmp_path / "out"), "--dry-run"]) == 0

    said = capsys.readouterr().out
    assert re.match(r"\S+ s to start, 30 pictures, \d+ ms each in one process: about .* in this process, ", said)
    assert not (tmp_path / "out").exists()


def test_rows_behind_an_address_are_those_on_a_disk(words, tmp_path, capsys):
    place = f"memory://{tmp_path.name}"

    assert main([*words, "-o", place, "--workers", "0"]) == 0
    assert main([*words, "-o", place, "--workers", "0"]) == 0
    assert main([*words, "-o", str(tmp_path), "--workers", "0"]) == 0

    assert "30 pictures, 0 new" in capsys.readouterr().out
    remote = {
        name.rpartition("/")[2]: MemoryFileSystem().cat(name)
        for name in MemoryFileSystem().ls(f"/{tmp_path.name}/rows", False)
    }
    assert remote == files_of(tmp_path)
    assert classlens.verify_audit(place).is_equal


def test_notes_about_feeding_stand_in_the_summary_on_the_page_and_in_the_terminal(words, tmp_path, capsys):
    script = tmp_path / "bare.py"
    script.write_text(
        "from torch import nn\n\n\ndef make():\n"
        "    return nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    target = f"py:{script}:make"

    assert main(["audit", target, *words[2:], "-o", str(tmp_path / "out"), "--methods", "none"]) == 0

    note = f"neither a test transform nor a dataset under 'val' stands beside {target}"
    assert note in capsys.readouterr().out
    assert note in json.loads((tmp_path / "out" / "summary.json").read_text())["notes"][0]
    assert note.replace("'", "&#x27;") in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["-o", "out", "--methods", "GradCamm"], "no method named 'GradCamm'"),
        (["-o", "out", "--layers", "layer9"], "no layer named 'layer9'"),
        (["-o", "gone://bucket/audit"], "cannot open gone://bucket/audit"),
    ],
)
def test_slips_are_errors_before_any_work(words, tmp_path, monkeypatch, capsys, more, said):
    monkeypatch.chdir(tmp_path)

    assert main([*words, *more]) == 2

    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
