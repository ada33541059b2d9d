"""How a run is made: in this process or in others, alone or with a page, and what it says meanwhile."""

import json
from dataclasses import replace
from itertools import chain, count
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

import classlens
from classlens.cli.display import FRAME, fit_screen
from classlens.cli.main import main
from classlens.dataset.dataset import Dataset
from classlens.dataset.decode import read_image
from classlens.dataset.state import to_image
from classlens.errors import DataError, NotOffered
from classlens.image import Image
from classlens.runs import processes
from classlens.runs.browse_samples import LARGEST, as_plain, encode_jpeg
from classlens.runs.processes import worthwhile_here
from tests.cli.test_browse import MIXUP, config, data, files

__all__ = ["config", "data"]


@pytest.mark.parametrize(
    ("waiting", "seconds_each", "taken_here"),
    [(600, 0.002, 600), (10_000, 0.002, 126), (100, 0.1, 3), (30, 0.1, 30)],
    ids=["few quick ones", "many quick ones", "slow ones", "few slow ones"],
)
def test_a_run_starts_processes_only_when_much_is_left_to_do(waiting, seconds_each, taken_here, monkeypatch):
    clock = chain([0.0], (number * seconds_each for number in count()))
    monkeypatch.setattr(processes.time, "process_time", lambda: next(clock))

    taken = list(worthwhile_here(((index, 0) for index in range(waiting)), waiting))

    assert len(taken) == pytest.approx(taken_here, abs=1)
    assert taken == [(index, 0) for index in range(len(taken))]


@pytest.mark.parametrize("kind", [["--stats"], ["--batch", "3", "-n", "2", "--cfg-options", *MIXUP]], ids=" ".join)
def test_statistics_and_batches_are_the_same_with_workers(kind, config, capsys):
    found = []
    for number in ("0", "2"):
        assert main(["browse", config, "--json", "--workers", number, *kind]) == 0
        found.append(json.loads(capsys.readouterr().out))

    assert found[0] == found[1]


def test_a_page_and_pictures_can_be_had_at_once(config, tmp_path):
    main(["browse", config, "--html", str(tmp_path / "page.html"), "-o", str(tmp_path / "out"), "--index", "0", "5"])

    assert files(tmp_path / "out") == ["cat/0_0.jpg", "dog/5_2.jpg"]
    assert (tmp_path / "page.html").stat().st_size > 1000


def test_a_page_calls_pictures_without_a_pipeline_as_they_are_loaded(config, tmp_path):
    (tmp_path / "bare" / "cat").mkdir(parents=True)
    Pillow.new("RGB", (8, 8)).save(tmp_path / "bare" / "cat" / "a.png")
    page = tmp_path / "page.html"

    main(["browse", f"folder:{tmp_path / 'bare'}", "--html", str(page)])
    assert "1 sample of the 1 of bare, as loaded" in page.read_text()
    main(["browse", config, "--html", str(page), "--index", "0"])
    assert ", transformed" in page.read_text()


def test_cells_of_a_page_keep_their_facts_and_tiny_pictures_are_enlarged(config, tmp_path):
    page = tmp_path / "page.html"
    main(["browse", config, "--html", str(page), "--index", "4", "--repeat", "2"])

    text = page.read_text(encoding="utf-8")
    data = json.loads(text.partition('type="application/json" class="data">')[2].partition("</script>")[0])
    cells = data["samples"]
    assert [(cell["index"], cell["seed"], cell["classes"]) for cell in cells] == [(4, 0, ["dog"]), (4, 1, ["dog"])]
    assert [cell["size"] for cell in cells] == [[32, 32]] * 2
    assert text.count('width="128" height="128"') == 2


@pytest.mark.parametrize("pair", [["--grid", "2x2", "--batch"], ["--stats", "--html", "x.html"]], ids=" ".join)
def test_a_run_makes_one_kind_of_result(pair, config, capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["browse", config, *pair])

    assert leaving.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err


def test_large_pictures_are_shrunk_on_a_contact_sheet_only(tmp_path):
    (tmp_path / "data").mkdir()
    Pillow.new("RGB", (900, 600), (200, 30, 30)).save(tmp_path / "data" / "0.png")
    target = f"folder:{tmp_path / 'data'}"

    main(["browse", target, "--grid", "1x1", "-o", str(tmp_path / "grid")])
    main(["browse", target, "-o", str(tmp_path / "alone")])

    widths = [read_image(next(Path(tmp_path, name).rglob("*.jpg"))).size[1] for name in ("grid", "alone")]
    assert widths == [10 + 288 + 10, 900]


@pytest.mark.parametrize(("size", "shown"), [((300, 400), (400, 300)), ((4000, 6000), (1200, 800))])
def test_a_window_is_never_larger_than_the_screen(size, shown):
    jpeg = encode_jpeg(Image(np.zeros((*size, 3), np.uint8)))

    assert fit_screen(jpeg, 1200 + FRAME, 900 + FRAME).size == shown


@pytest.fixture
def photos(tmp_path):
    for name in ("cat/a", "cat/b", "dog/c"):
        file = tmp_path / "photos" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Pillow.new("RGB", (32, 24)).save(file)
    return tmp_path / "photos"


@pytest.mark.parametrize("inside", [".", "out"])
def test_pictures_are_not_written_among_those_that_are_looked_at(inside, photos, capsys):
    before = files(photos)

    assert main(["browse", f"folder:{photos}", "-o", str(photos / inside)]) == 2

    assert "what is written would join them" in capsys.readouterr().err
    assert files(photos) == before


def test_a_page_never_takes_the_place_of_a_picture(photos, capsys):
    picture = photos / "cat" / "a.png"
    before = picture.read_bytes()

    assert main(["browse", f"folder:{photos}", "--html", str(picture)]) == 2

    assert "--html writes .html or .htm files" in capsys.readouterr().err
    assert picture.read_bytes() == before


def test_a_folder_of_pictures_is_refused_when_the_dataset_has_other_numbers(photos, tmp_path, capsys):
    out = tmp_path / "out"
    main(["browse", f"folder:{photos}", "-o", str(out)])
    (photos / "cat" / "a.png").unlink()

    assert main(["browse", f"folder:{photos}", "-o", str(out)]) == 2

    assert "made with samples 3" in capsys.readouterr().err
    assert files(out) == ["cat/0_a.jpg", "cat/1_b.jpg", "dog/2_c.jpg"]


def test_an_edited_config_is_another_run_and_the_error_says_what_was_edited(config, tmp_path, capsys):
    out = str(tmp_path / "out")
    main(["browse", config, "-o", out, "--index", "0"])
    text = Path(config).read_text()

    Path(config).write_text(text.replace("scale=32", "scale=16"))
    assert main(["browse", config, "-o", out, "--index", "5"]) == 2
    assert "made with dataset.pipeline.1.scale 32 (now 16)" in capsys.readouterr().err
    assert files(out) == ["cat/0_0.jpg"]

    Path(config).write_text(text + "optimizer = dict(type='SGD', lr=1.0)\n# a comment\n")
    assert main(["browse", config, "-o", out, "--index", "5"]) == 0
    assert files(out) == ["cat/0_0.jpg", "dog/5_2.jpg"]


def test_overrides_and_edits_that_come_to_the_same_are_the_same_run(config, tmp_path, capsys):
    out = str(tmp_path / "out")
    main(["browse", config, "-o", out, "--index", "0", "--cfg-options", "train_dataloader.dataset.pipeline.1.scale=16"])

    Path(config).write_text(Path(config).read_text().replace("scale=32", "scale=16"))
    assert main(["browse", config, "-o", out, "--index", "5"]) == 0


def test_a_copied_config_is_the_same_run(config, tmp_path):
    main(["browse", config, "-o", str(tmp_path / "out"), "--index", "0"])

    copy = tmp_path / "copy.py"
    copy.write_text(Path(config).read_text())
    assert main(["browse", str(copy), "-o", str(tmp_path / "out"), "--index", "5"]) == 0


def test_a_folder_by_another_path_is_the_same_run(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(photos.parent)
    out = str(tmp_path / "out")
    (tmp_path / "link").symlink_to(photos)

    for spelt in (photos, "photos", "./photos/", photos / ".." / "photos", "link"):
        assert main(["browse", f"folder:{spelt}", "-o", out]) == 0
    assert main(["browse", "folder:photos/cat", "-o", out]) == 2


OWN = """
import numpy as np
from PIL import Image

class Pictures:
    def __len__(self): return 3
    def __getitem__(self, index): return Image.fromarray(np.full((8, 8, 3), 7, np.uint8)), 0

pictures = Pictures()
"""


def test_edited_code_and_edited_lists_are_other_runs(photos, tmp_path, capsys):
    code, labels = tmp_path / "own.py", photos / "labels.txt"
    config = tmp_path / "listed.py"
    dataset = f"dict(type='CustomDataset', data_root={str(photos)!r}, ann_file='labels.txt', classes=('a', 'b'))"
    config.write_text(f"train_dataloader = dict(batch_size=1, dataset={dataset})\n")
    for place, text in ((code, OWN), (labels, "cat/a.png 0\ncat/b.png 1\n")):
        place.write_text(text)
    for number, (target, edited) in enumerate(
        [(f"py:{code}:pictures", code), (f"folder:{labels}", labels), (config, labels)]
    ):
        words = ["browse", str(target), "-o", str(tmp_path / f"out{number}")]
        assert main(words) == 0
        assert main(words) == 0

        edited.write_text(edited.read_text().replace("7", "9").replace(" 1", " 0"))
        assert main(words) == 2
        assert f"made with another content of {edited}" in capsys.readouterr().err
        edited.write_text(OWN if edited == code else "cat/a.png 0\ncat/b.png 1\n")


def test_python_browses_a_dataset_as_the_command_does(config, data, tmp_path):
    (data / "cat" / "1.jpg").write_bytes(b"no picture")
    main(["browse", config, "-o", str(tmp_path / "command"), "--mode", "concat"])

    request = classlens.BrowseRequest(mode="concat", output_dir=str(tmp_path / "python"))
    run = classlens.browse(classlens.open_source(config).dataset("train"), request)
    rows = list(run)

    assert [row.index for row in rows if row.error] == [1]
    assert (run.done, run.total, run.bad) == (6, 6, 1)
    assert files(tmp_path / "command") == files(tmp_path / "python")
    for row in rows:
        place = Path(row.file)
        assert place.read_bytes() == (tmp_path / "command" / place.relative_to(tmp_path / "python")).read_bytes()


def test_python_gets_batches_and_statistics_as_results(config):
    size = classlens.BrowseRequest(batch=3, number=2, keep_pictures=True)
    (survey,) = classlens.browse(config, classlens.BrowseRequest(statistics=True))

    batches = list(classlens.browse(config, size))

    assert [len(row.batch.images) for row in batches] == [3, 3]
    assert all(row.jpeg for row in batches)
    assert survey.per_class == {"cat": 3, "dog": 3}
    assert survey.text().startswith("6 of the 6 samples of train")


def test_a_request_of_two_kinds_or_of_no_known_mode_is_refused():
    with pytest.raises(ValueError, match="a run has one of them"):
        classlens.BrowseRequest(html="page.html", batch=4)
    with pytest.raises(ValueError, match="the mode is original"):
        classlens.BrowseRequest(mode="all")


def test_a_notebook_shows_samples_and_batches_as_pictures_under_their_titles(config):
    (sample, *_), (batch, *_) = (
        list(classlens.browse(config, classlens.BrowseRequest(number=3, keep_pictures=True, batch=size)))
        for size in (None, 3)
    )

    assert sample._repr_jpeg_() == sample.jpeg
    assert batch._repr_jpeg_() == batch.jpeg
    assert batch.jpeg.startswith(b"\xff\xd8")
    assert batch.title == "#1  batch of train"


def test_data_without_samples_or_without_batches_are_refused():
    one = Dataset("toy", 1, lambda index: Image(np.zeros((4, 4, 3), np.uint8)), (), to_image)

    with pytest.raises(NotOffered, match="toy says nothing about batches") as caught:
        list(classlens.browse(one, classlens.BrowseRequest(batch=0)))
    assert "--batch 16" in caught.value.hint
    with pytest.raises(DataError, match="toy has no samples"):
        list(classlens.browse(replace(one, length=0)))


def test_what_a_target_has_to_be_known_for_is_a_note(tmp_path, config, capsys):
    (tmp_path / "old.py").write_text(Path(config).read_text() + "_deprecation_ = dict(expected='new.py')\n")
    notes = []

    list(classlens.browse(str(tmp_path / "old.py"), on_note=lambda *note: notes.append(note)))

    ((kind, text),) = notes
    assert (kind, "use new.py" in text) == ("note", True)


@pytest.mark.parametrize(
    ("request_", "longest", "needed"),
    [
        ({"mode": "concat"}, 60, LARGEST),
        ({"mode": "original", "output_dir": "out"}, 60, 60),
        ({"mode": "original", "output_dir": "out", "rescale": 3.0}, 60, 180),
        ({"mode": "original", "edges": (100, 400)}, 60, 400),
        ({"mode": "original", "edges": (100, 400)}, 900, 900),
    ],
)
def test_pictures_are_decoded_as_large_as_they_are_drawn(request_, longest, needed):
    assert classlens.BrowseRequest(**request_).pixels_needed(longest) == needed


def test_random_parameters_are_data_but_for_noise():
    drawn = {"at": (0, 1), "noise": np.zeros(17), "fill": np.arange(3), "box": (np.int64(1), 2.5)}

    assert as_plain(drawn) == {"noise": "noise", "fill": [0, 1, 2], "box": [1, 2.5]}


def test_a_picture_longer_than_jpeg_allows_is_shrunk():
    """65,535 pixels: ITU-T T.81, B.2.2."""
    jpeg = encode_jpeg(Image(np.zeros((2, 70_000, 3), np.uint8)))

    height, width = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[:2]
    assert (height, 60_000 < width <= 65_535) == (2, True)


def test_a_sheet_of_one_class_is_another_run_than_that_of_another(photos, tmp_path, capsys):
    words = ["browse", f"folder:{photos}", "--grid", "1x2", "-o", str(tmp_path / "out"), "--class"]

    assert main([*words, "cat"]) == main([*words, "cat"]) == 0
    assert main([*words, "dog"]) == 2
    assert "made with" in capsys.readouterr().err


def test_a_split_that_cannot_be_read_is_named_with_the_reason(photos, config, capsys):
    """Beside a training set that is there."""
    text = Path(config).read_text()
    head, _, tail = text.rpartition("data_root=")
    Path(config).write_text(f"{head}data_root='gone', {tail.partition(', ')[2]}")

    assert main(["browse", config, "--stats"]) == 0

    assert "not compared with val: " in capsys.readouterr().out


def test_of_many_bad_pictures_the_first_are_named_and_the_others_counted(photos, capsys):
    for number in range(30):
        (photos / "cat" / f"bad{number:02}.png").write_bytes(b"no picture")

    main(["browse", f"folder:{photos}", "--stats"])
    main(["browse", f"folder:{photos}", "-n", "33"])

    assert "more (--json names all)" in capsys.readouterr().err
