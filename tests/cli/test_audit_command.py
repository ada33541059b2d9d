"""The command line of audits, in this process, on a tiny network."""

import json

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
    assert said[1].startswith("bad: 1, e.g. 1 times: ")
    assert said[2].startswith("right: ")
    assert said[-1] == f"wrote {tmp_path}/report.html"
    assert {"map_0", "map_1"} <= next(read_rows(tmp_path)).keys()
    assert "<svg" in (tmp_path / "report.html").read_text()


def test_without_maps_there_is_still_a_page(words, tmp_path, capsys):
    assert main([*words, "-o", str(tmp_path), "--methods", "none", "--json"]) == 0

    facts = json.loads(capsys.readouterr().out)
    assert facts == json.loads((tmp_path / "summary.json").read_text())
    assert (facts["good"], facts["clusters"], facts["groups"]["all"]["mean_map"]) == (29, [], None)
    assert "map_0" not in next(read_rows(tmp_path))


def test_a_dry_run_writes_nothing(words, tmp_path, capsys):
    assert main([*words, "-o", str(tmp_path / "out"), "--dry-run"]) == 0

    assert capsys.readouterr().out.startswith("30 pictures, ")
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


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--methods", "GradCamm"], "no method named 'GradCamm'"),
        (["--layers", "layer9"], "no layer named 'layer9'"),
        (["-o", "gone://bucket/audit"], "cannot open gone://bucket/audit"),
    ],
)
def test_slips_are_errors_before_any_work(words, tmp_path, capsys, more, said):
    assert main([*words, "-o", str(tmp_path / "out"), *more]) == 2

    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
