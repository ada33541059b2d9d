"""A report shows all of a setup on one page, says what it cannot show, and is the same for the same setup."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image as Pillow

import classlens
from classlens.cli.main import main
from classlens.errors import DataError
from classlens.files import PHOTOS
from classlens.runs import report_run
from classlens.runs.report_run import ReportRequest, report
from classlens.source import Source


def headings(page):
    return re.findall(r"<h2[^>]*>(.*?)</h2>", page)


def made_of(page):
    return dict(
        re.findall(r"<tr><td[^>]*>(\w+)</td><td>(.*?)</td></tr>", page.partition("How this page was made</h2>")[2])
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    place = tmp_path_factory.mktemp("report") / "new" / "demo.html"
    run = report(ReportRequest("demo", output=place, pictures=7, maps=3, seed=3))
    return run, place.read_text(encoding="utf-8")


@pytest.fixture
def photos(tmp_path):
    """Two classes; one of three pictures is cut off."""
    for name, label in (("coffee.png", "cup"), ("chelsea.png", "cat"), ("camera.png", "cat")):
        (tmp_path / "photos" / label).mkdir(parents=True, exist_ok=True)
        with Pillow.open(next(PHOTOS.rglob(f"{Path(name).stem}.*"))) as picture:
            picture.convert("RGB").resize((90, 60)).save(tmp_path / "photos" / label / name)
    cut = tmp_path / "photos" / "cat" / "camera.png"
    cut.write_bytes(cut.read_bytes()[:300])
    return tmp_path / "photos"


def test_everything_is_on_one_page_and_findings_come_first(demo):
    run, page = demo

    assert headings(page) == ["Findings", "Data", "Schedule", "Maps", "How this page was made"]
    assert run.missing == ()
    assert run.findings.ran
    assert page.count('class="heat"') == 3
    assert page.count("<figure") == 2 * 7 + report_run.STRIPS + 3


def test_the_one_wrong_answer_of_the_split_is_shown_first(demo):
    """Few maps are shown, and all pictures are asked about: it is number 40 of 42, 30 of which have names that ImageNet lacks."""
    _, page = demo

    assert "wrong answers to 1 of 12 pictures of val whose label it knows" in page
    assert re.findall(r"val #(\d+)", page.partition(">Maps</h2>")[2])[0] == "40"
    assert "those of training" not in page


def test_maps_of_training_pictures_and_a_guess_about_feeding_are_named(photos, tmp_path, capsys):
    """The only transform is random, so nothing says how the network is fed; it has no split but that of training."""
    script = tmp_path / "train.py"
    script.write_text(
        "import torch\nfrom torchvision import datasets, transforms\n\n\ndef setup():\n"
        "    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),\n"
        "                              torch.nn.Flatten(), torch.nn.Linear(4, 2))\n"
        "    how = transforms.Compose([transforms.RandomCrop(32), transforms.ToTensor()])\n"
        f"    return {{'model': net, 'train': datasets.ImageFolder({str(photos)!r}, how)}}\n"
    )
    place = tmp_path / "r.html"

    assert main(["report", f"py:{script}:setup", "--output", str(place)]) == 0

    note = "neither a test transform nor a dataset under 'val' stands beside"
    assert note in capsys.readouterr().err
    maps = place.read_text().partition(">Maps</h2>")[2]
    assert note.replace("'", "&#x27;") in maps
    assert "no pictures but those of training" in maps
    assert main(["check", f"py:{script}:setup"]) in (0, 1)
    assert note in capsys.readouterr().err


def test_a_page_says_of_what_it_was_made(demo):
    _, page = demo
    made = made_of(page)

    assert made["command"].startswith("classlens report demo --output ")
    assert made["command"].endswith("--pictures 7 --maps 3 --seed 3")
    assert re.fullmatch(r"sha256 of its parameters [0-9a-f]{64}", made["weights"])
    assert f"classlens {classlens.__version__}, Python 3." in made["versions"]
    assert made["seed"] == "3"


def test_the_schedule_has_its_landmarks_in_exact_values(demo):
    _, page = demo
    source = classlens.open_source("demo")
    (curve,) = (one for one in classlens.replay(source.schedule(), source.clock()).only("lr")[:1])

    step, peak = curve.peak
    assert (
        f'<td class="number">{step}</td><td data-zh="峰值、预热结束">peak, warm-up ends</td><td class="number">{peak!r}</td>'
        in page
    )
    assert f"{curve.final!r}</td>" in page


def test_the_same_setup_is_the_same_page(demo):
    """Also where its source is open already, as in the studio, and where nothing is written."""
    run, _ = demo
    again = report(
        ReportRequest("demo", output=run.output, pictures=7, maps=3, seed=3), source=classlens.open_source("demo")
    )

    assert again.page == run.page == run.output.read_bytes()


def test_a_bad_picture_is_a_marked_tile_and_a_part_that_is_not_there_is_left_out(photos, tmp_path):
    run = report(ReportRequest(f"folder:{photos}"))
    page = run.page.decode()

    assert headings(page) == ["Findings", "Data", "How this page was made"]
    assert [Path(row.path).name for row in run.bad] == ["camera.png"]
    assert '<figure class="marked">' in page
    assert '<td>cat</td><td class="number">2</td>' in page
    assert "cut" in run.text() or "truncated" in run.text()


def test_a_part_that_cannot_be_shown_says_why(tmp_path, photos):
    config = tmp_path / "config.py"
    config.write_text(
        "optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))\n"
        "param_scheduler = dict(type='CosineAnnealingLR')\ntrain_cfg = dict(by_epoch=True, max_epochs=3)\n"
        f"train_dataloader = dict(batch_size=2, dataset=dict(type='CustomDataset', data_root='{tmp_path}/gone', pipeline=[dict(type='LoadImageFromFile')]))\n"
    )

    run = report(ReportRequest(str(config), dataset_size=100))

    assert [line.partition(":")[0] for line in run.missing] == ["Data"]
    assert "not shown: " in run.page.decode()
    assert "Schedule" in headings(run.page.decode())
    assert "sha256 of the config as it is understood" in made_of(run.page.decode())["config"]


def test_wrong_answers_come_first(photos, tmp_path):
    shutil.rmtree(photos / "cup")
    (photos / "espresso").mkdir()
    shutil.copy(photos / "cat" / "chelsea.png", photos / "espresso" / "a_cat.png")
    compare = report_run.compare

    assert compare("espresso", None, ("espresso",)) == {"label": "espresso"}
    picture = str(photos / "espresso" / "a_cat.png")
    answer = classlens.explain(classlens.open_source("demo").classifier(), picture)[0].predicted.class_name
    classes = ("espresso, coffee", answer)
    assert compare("espresso", answer, classes) == {"label": "espresso", "correct": False}
    assert compare(answer.split(",")[0], answer, classes)["correct"]
    assert "correct" not in compare("something else", answer, classes)


def test_a_run_that_is_stopped_leaves_no_file(photos, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        report(ReportRequest(f"folder:{photos}", output=tmp_path / "out" / "r.html"), progress=stop)

    assert "was not" in stopped.value.__notes__[0]
    assert not (tmp_path / "out").exists()


def test_the_command_prints_what_it_found_and_where_the_page_is(photos, tmp_path, capsys):
    place = tmp_path / "r.html"

    assert main(["report", f"folder:{photos}", "--output", str(place)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"wrote {place}"
    assert main(["report", f"folder:{photos}", "--output", str(place), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["file"] == str(place)
    assert [row["index"] for row in data["bad"]] == [0]
    assert {finding["code"] for finding in data["findings"]} >= {"D001"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["demo", "--output", "report.png"], "ending '.png'"),
        (["demo", "--output", "report.pdf"], "cannot write a page with the ending '.pdf'"),
        (["demoo"], "did you mean demo"),
        (["folder:nowhere"], "nowhere"),
        (["demo", "missing.pth"], "missing.pth"),
        (["folder:PHOTOS", "weights.pth"], "has no classifier"),
    ],
)
def test_slips_are_said_before_any_work(words, said, photos, capsys):
    assert main(["report", *(word.replace("PHOTOS", str(photos)) for word in words)]) == 2
    assert said in capsys.readouterr().err


def test_names_are_text_on_the_page(photos):
    (photos / "cup").rename(photos / "<img src=x onerror=alert(1)>")
    (photos / "cat" / "chelsea.png").rename(photos / "cat" / '"><script>alert(2)<.png')

    page = report(ReportRequest(f"folder:{photos}")).page.decode()

    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "&lt;script&gt;alert(2)&lt;.png" in page
    assert "<img src=x" not in page
    assert page.count("<script") == 3


SETUP = """
import torch
from PIL import Image

class Photos(torch.utils.data.Dataset):
    '''Pictures without labels, or none that can be read.'''
    def __init__(self, size):
        self.size = size
    def __len__(self):
        return 3
    def __getitem__(self, index):
        return Image.new("RGB", (self.size, self.size), (60 * index, 90, 20))

def setup(size=8):
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    return {"model": torch.nn.Sequential(*layers).eval(), "train": Photos(size)}

def damaged():
    return setup(-1)
"""


@pytest.fixture
def script(tmp_path):
    (tmp_path / "train.py").write_text(SETUP)
    return f"py:{tmp_path / 'train.py'}"


def test_maps_of_pictures_that_cannot_be_read_say_so(script):
    run = report(ReportRequest(f"{script}:damaged", maps=2))

    assert "Maps: none of 2 pictures of train can be read" in run.missing
    assert len(run.bad) == 3


def test_without_labels_no_answer_is_wrong_and_a_checkpoint_is_known_by_its_digest(script, tmp_path):
    module = classlens.open_source(f"{script}:setup").classifier().module
    torch.save(module.state_dict(), tmp_path / "weights.pth")

    run = report(ReportRequest(f"{script}:setup", checkpoint=str(tmp_path / "weights.pth"), maps=1))

    page = run.page.decode()
    assert run.missing == ()
    assert page.count('class="heat"') == 1
    assert "answered wrongly" not in page
    assert f"sha256 {hashlib.sha256((tmp_path / 'weights.pth').read_bytes()).hexdigest()}" in page


def test_a_schedule_alone_and_nothing_at_all_are_reported_on_too(tmp_path):
    (tmp_path / "empty").mkdir()

    schedule = report(ReportRequest("schedule:torch.StepLR(step_size=3, lr=0.1, epochs=10, steps_per_epoch=10)"))
    nothing = report(ReportRequest("folder:empty"), source=Source("made", open_dataset=no_data))

    assert headings(schedule.page.decode()) == ["Findings", "Schedule", "How this page was made"]
    assert [line.partition(":")[0] for line in nothing.missing] == ["Findings", "Data"]


def no_data(split):
    raise DataError("there is nothing")


def test_what_a_target_has_to_be_known_for_is_a_note():
    notes = []

    source = Source("made", open_dataset=no_data, notes=("of 2012",))

    report(ReportRequest("folder:none"), source=source, on_note=lambda *note: notes.append(note))

    assert notes == [("note", "of 2012")]
