"""What is the same is found to be the same, and every change is found."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import classlens
from classlens.cli.main import main
from classlens.errors import DataError
from tests.audit.tiny_setup import write_network, write_pictures


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    place = tmp_path_factory.mktemp("verify")
    pictures = write_pictures(place / "photos", 40, bad=(3,), other_size=(8,))
    wishes = classlens.AuditOptions(methods=["GradCAM", "LayerCAM"], batch_size=4, number=30)
    return classlens.run_audit(
        classlens.AuditRequest(write_network(place), f"{place}/out", data=pictures, wishes=wishes)
    )


def test_an_audit_is_equal_to_itself(audit):
    every = classlens.verify_audit(audit.folder, share=1)
    some = classlens.verify_audit(audit.folder)

    assert every.is_equal, every.text()
    assert (every.rows, every.setup) == (30, ())
    assert every.pictures == len(audit.shown) > 4
    assert some.rows in (2, 4), "one batch, of which the last has two"


def test_a_row_that_was_changed_is_named_with_its_columns(audit, tmp_path, capsys):
    shutil.copytree(audit.folder, tmp_path / "out")
    path = tmp_path / "out" / "rows" / "part-00002.parquet"
    table = pq.read_table(path)
    losses = table["loss"].to_pylist()
    losses[1] += 1e-6
    table = table.set_column(
        table.column_names.index("loss"), table.schema.field("loss"), pa.array(losses, pa.float32())
    )
    pq.write_table(table, path)

    assert main(["verify", str(tmp_path / "out"), "--all"]) == 1

    index = table["index"][1].as_py()
    assert f"different: picture {index}: loss\n" in capsys.readouterr().out


def test_names_of_classes_are_said_as_they_are(audit):
    names = tuple(f"food for {number}" for number in range(audit.manifest.class_count))
    summary = replace(audit.summary, confusions=((0, 1, 7),))

    text = str(classlens.draw(replace(audit, manifest=replace(audit.manifest, classes=names), summary=summary)))

    assert "most often wrong: 7 of food for 0 taken for food for 1" in text


def test_a_report_by_itself_is_verified(audit, tmp_path):
    page = tmp_path / "report.html"
    shutil.copy(audit.page, page)
    assert classlens.verify_audit(str(page)).is_equal

    index = audit.summary.mistakes[0].index if audit.summary.mistakes else next(iter(audit.shown))
    path = audit.shown[index].facts["path"]
    before = Path(path).read_bytes()
    other = audit.shown[next(one for one in audit.shown if one != index)].facts["path"]
    shutil.copy(other, path)
    try:
        changed = classlens.verify_audit(str(page))
    finally:
        Path(path).write_bytes(before)

    assert not changed.is_equal
    assert changed.different[0].startswith(f"picture {index} of the report: ")
    assert "picture" in changed.different[0].partition("report: ")[2]


def test_what_differs_in_the_setup_is_said(audit, tmp_path):
    shutil.copytree(audit.folder, tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["versions"]["torch"] = "2.0.0"
    path.write_text(json.dumps(manifest))

    result = classlens.verify_audit(str(tmp_path / "out"))

    assert result.is_equal
    assert result.setup[0].startswith("versions.torch: '2.0.0', there ")


@pytest.mark.parametrize(
    "content",
    [
        b"<html></html>",
        "<html>caf\xe9</html>".encode("latin-1"),
        b'<script type="application/json" class="data">{"manifest": {}, "rows": 5}</script>',
        b'<script type="application/json" class="data">{"manifest": {}, "rows": [1]}</script>',
    ],
)
def test_what_is_no_report_is_refused(tmp_path, content):
    (tmp_path / "page.html").write_bytes(content)

    with pytest.raises(DataError, match="is no report of an audit"):
        classlens.verify_audit(str(tmp_path / "page.html"))


def test_what_is_no_audit_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no audit in .*: there is no manifest.json"):
        classlens.verify_audit(str(tmp_path))


def test_rows_that_are_missing_and_pictures_that_are_gone_are_named(audit, tmp_path):
    shutil.copytree(audit.folder, tmp_path / "out")
    path = tmp_path / "out" / "rows" / "part-00000.parquet"
    whole = pq.read_table(path)
    pq.write_table(whole.slice(0, whole.num_rows - 1), path)
    gone = Path(next(iter(audit.shown.values())).facts["path"])
    content = gone.read_bytes()
    gone.write_bytes(b"no picture")
    try:
        result = classlens.verify_audit(str(tmp_path / "out"), share=1)
    finally:
        gone.write_bytes(content)

    assert not result.is_equal
    assert any(" rows where " in line for line in result.different)
    assert any(line.startswith(f"picture {next(iter(audit.shown))} of the report: ") for line in result.different)
