"""How a run is made: in this process or in others, alone or with a page, and what it says meanwhile."""

import json
from itertools import chain, count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from classlens.cli import browse_workers
from classlens.cli.browse_files import encoded
from classlens.cli.browse_run import bar
from classlens.cli.browse_window import FRAME, fitted
from classlens.cli.browse_workers import worthwhile_here
from classlens.cli.main import main
from classlens.dataset.reading import read_image
from classlens.image import Image
from tests.cli.test_browse import MIXUP, config, data, files

__all__ = ["config", "data"]


@pytest.mark.parametrize(
    ("waiting", "seconds_each", "taken_here"),
    [(600, 0.002, 600), (10_000, 0.002, 126), (100, 0.1, 3), (30, 0.1, 30)],
    ids=["few quick ones", "many quick ones", "slow ones", "few slow ones"],
)
def test_a_run_starts_processes_only_when_much_is_left_to_do(waiting, seconds_each, taken_here, monkeypatch):
    clock = chain([0.0], (number * seconds_each for number in count()))
    monkeypatch.setattr(browse_workers.time, "process_time", lambda: next(clock))

    taken = list(worthwhile_here(((index, 0) for index in range(waiting)), waiting))

    assert len(taken) == pytest.approx(taken_here, abs=1)
    assert taken == [(index, 0) for index in range(len(taken))]


@pytest.mark.parametrize("kind", [["--stats"], ["--batch", "3", "-n", "2", "--cfg-options", *MIXUP]], ids=" ".join)
def test_statistics_and_batches_are_the_same_with_workers(kind, config, capsys):
    found = []
    for workers in ("0", "2"):
        assert main(["browse", config, "--json", "--workers", workers, *kind]) == 0
        found.append(json.loads(capsys.readouterr().out))

    assert found[0] == found[1]


def test_a_page_and_pictures_can_be_had_at_once(config, tmp_path):
    main(["browse", config, "--html", str(tmp_path / "page.html"), "-o", str(tmp_path / "out"), "--index", "0", "5"])

    assert files(tmp_path / "out") == ["cat/0_0.jpg", "dog/5_2.jpg"]
    assert (tmp_path / "page.html").stat().st_size > 1000


def test_cells_of_a_page_keep_their_facts_and_tiny_pictures_are_enlarged(config, tmp_path):
    page = tmp_path / "page.html"
    main(["browse", config, "--html", str(page), "--index", "4", "--repeat", "2"])

    text = page.read_text(encoding="utf-8")
    cells = json.loads(text.partition('type="application/json">')[2].partition("</script>")[0])
    assert [(cell["index"], cell["seed"], cell["classes"]) for cell in cells] == [(4, 0, ["dog"]), (4, 1, ["dog"])]
    assert [(cell["size"], cell["width"], cell["height"]) for cell in cells] == [([32, 32], 128, 128)] * 2


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


def test_the_bar_says_how_far_a_run_is_and_how_long_the_rest_takes():
    assert bar(150, 600, 30.0) == f"\r{'█' * 7}{'░' * 23} 150/600  0:01:30 left  "
    assert "600/600  0:00:00 left" in bar(600, 600, 120.0)


@pytest.mark.parametrize(("size", "shown"), [((300, 400), (400, 300)), ((4000, 6000), (1200, 800))])
def test_a_window_is_never_larger_than_the_screen(size, shown):
    jpeg = encoded(Image(np.zeros((*size, 3), np.uint8)))

    assert fitted(jpeg, 1200 + FRAME, 900 + FRAME).size == shown


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
