"""The data view of a real server: rows, classes, pictures, samples stage by stage, batches."""

import asyncio
import io
import json
import threading

import numpy as np
import pytest
from PIL import Image

import classlens
from classlens.dataset.dataset import Dataset, Sample
from classlens.figures.page import webp_of
from classlens.runs.own_process import KILLERS
from classlens.studio.row_index import AT_ONCE, index_rows
from classlens.studio.serve import StudioRequest
from classlens.studio.session import Session
from tests.studio.running import ask_inside, running_studio


def pixels(webp):
    return np.asarray(Image.open(io.BytesIO(webp)).convert("RGB"))


def test_rows_come_in_pages_with_their_classes(studio):
    first, later = studio.wait("/data.json?count=3"), studio.wait("/data.json?start=222&count=60")

    assert (first["length"], first["total"], first["state"]) == (224, 224, "ready")
    assert [one["index"] for one in first["rows"]] == [0, 1, 2]
    assert {one["classes"][0] for one in first["rows"]} == {"brick"}
    assert [one["index"] for one in later["rows"]] == [222, 223]


def test_a_class_and_a_search_choose_among_the_samples(studio):
    classes = studio.wait("/classes.json")
    place = classes["names"].index("espresso")

    of_class = studio.wait(f"/data.json?class={place}&count=100")
    by_name = studio.wait("/data.json?q=ESPRESSO&count=100")
    by_file = studio.wait("/data.json?q=photo_07")
    both = studio.wait(f"/data.json?class={place}&q=photo_07")

    assert of_class["total"] == classes["counts"][place] == 32
    assert of_class["rows"] == by_name["rows"]
    assert (by_file["total"], both["total"]) == (7, 1)
    assert both["rows"][0]["classes"] == ["espresso"]
    assert of_class["command"] == "classlens browse demo --class espresso"


def test_a_picture_is_the_sample_shrunk(studio):
    dataset = classlens.open_source("demo").dataset("train")
    original = classlens.trace(dataset, 40).original.image

    status, headers, body = studio.ask("/picture/0/train/40.webp?edge=160")

    assert (status, headers["content-type"]) == (200, "image/webp")
    assert pixels(body).shape == pixels(webp_of(original, 160, smallest=80)).shape
    assert np.abs(pixels(body).astype(int) - pixels(webp_of(original, 160, smallest=80))).mean() < 6


def test_a_seed_gives_the_same_pixels_again_and_another_one_others(studio):
    def draw(seed):
        return studio.ask(f"/picture/0/train/5.webp?mode=transformed&seed={seed}")[2]

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def test_a_sample_is_shown_stage_by_stage_as_trace_gives_it(studio):
    trace = classlens.trace(classlens.open_source("demo").dataset("train"), 12, 7)

    sample = studio.get("/sample/0/train/12.json?seed=7")

    assert [one["name"] for one in sample["stages"]] == [one.stage for one in trace.snapshots]
    assert [one["size"] for one in sample["stages"]] == [list(one.size) for one in trace.snapshots]
    assert sample["stages"][1]["words"]
    last = pixels(studio.ask(sample["stages"][-1]["picture"])[2])
    assert np.abs(last.astype(int) - trace.transformed.image.pixels).mean() < 6
    assert sample["command"] == "classlens browse demo --mode pipeline --index 12 --seed 7"


def test_a_batch_says_what_each_picture_is_mixed_of(studio):
    batch = studio.get("/batch/0/train/1.json?size=6&seed=2")

    assert len(batch["rows"]) == 6
    assert all(abs(sum(one["weights"]) - 1) < 1e-6 for one in batch["rows"])
    assert studio.ask(batch["rows"][0]["picture"])[0] == 200
    assert batch["command"] == "classlens browse demo --batch 6 --number 2 --seed 2"


def test_a_bad_picture_is_a_marked_tile_and_its_name_is_text(tmp_path, studio):
    """Whatever the file is called: a name can be no header, no markup and no line of its own."""
    good = studio.ask("/picture/0/train/0.webp?edge=64")[2]
    folder = tmp_path / "photos" / "a<b>"
    folder.mkdir(parents=True)
    (folder / "good.webp").write_bytes(good)
    (folder / "<img src=x>\r\nSet-Cookie: a=b.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (folder / "cut.webp").write_bytes(good[:100])

    with running_studio(f"folder:{tmp_path / 'photos'}") as server:
        rows = server.wait("/data.json")["rows"]
        answers = [server.ask(f"/picture/0/train/{one['index']}.webp") for one in rows]
        bad = server.get("/data.json?bad=1")
        sample = server.get("/sample/0/train/0.json")

    assert [one["name"] for one in rows] == ["<img src=x>\r\nSet-Cookie: a=b.jpg", "cut.webp", "good.webp"]
    assert [(status, pixels(body).ndim) for status, _, body in answers] == [(200, 3)] * 3
    assert [("x-error" in headers, "set-cookie" in headers) for _, headers, _ in answers] == [
        (True, False),
        (True, False),
        (False, False),
    ]
    assert str(tmp_path) not in answers[0][1]["x-error"] + sample["error"]
    assert [one["index"] for one in bad["rows"]] == [0, 1]
    assert sample["stages"] == []


def test_bad_files_that_only_a_check_has_looked_at_count_as_bad(tmp_path, studio):
    """Of a validation split: the numbers of a finding are those of the split that it names."""
    good = studio.ask("/picture/0/train/0.webp?edge=64")[2]
    for split in ("train", "val"):
        (tmp_path / split / "a").mkdir(parents=True)
        (tmp_path / split / "a" / "good.webp").write_bytes(good)
    (tmp_path / "val" / "a" / "cut.webp").write_bytes(good[:100])

    with running_studio(f"folder:{tmp_path}") as server:
        before = server.wait("/data.json?split=val&bad=1")["rows"]
        assert server.wait("/findings.json")["state"] == "ready"
        train, val = (server.get(f"/data.json?split={split}&bad=1") for split in ("train", "val"))

    assert (before, train["rows"], val["total"]) == ([], [], 1)
    (row,) = val["rows"]
    assert (row["index"], row["name"]) == (0, "cut.webp")
    assert row["error"]
    assert str(tmp_path) not in row["error"]


def test_a_part_that_a_target_has_not_is_a_state(tmp_path, studio):
    """Relative targets of several parts are called as the user called them."""
    (tmp_path / "out" / "my" / "photos").mkdir(parents=True)
    (tmp_path / "out" / "my" / "photos" / "a.webp").write_bytes(studio.ask("/picture/0/train/0.webp")[2])
    with running_studio("folder:out/my/photos", "csv:out/my/none.csv", cwd=tmp_path) as server:
        status, _, body = server.ask("/look.json")
        missing = server.ask("/data.json?target=1")

    assert status == 404
    assert json.loads(body) == {"error": "this target has no network; it offers: dataset", "hint": "", "offered": False}
    assert "out/my/none.csv" in json.loads(missing[2])["error"]
    assert "offered" not in json.loads(missing[2])


def test_of_a_large_list_the_first_samples_are_there_before_all_are_counted(tmp_path, studio):
    """What the beginning shows is what the whole shows there; what needs all waits for it."""
    (tmp_path / "0.webp").write_bytes(studio.ask("/picture/0/train/0.webp")[2])
    lines = "".join(f"{name % 7}/{name:06}.jpg {name % 7}\n" for name in range(300_000))
    (tmp_path / "list.txt").write_text("0.webp 3\n" + lines)

    with running_studio(f"csv:{tmp_path / 'list.txt'}") as server:
        first = server.get("/data.json?count=5")
        while first["state"] == "counting" and not first["rows"]:
            first = server.get("/data.json?count=5")
        status = server.ask("/picture/0/train/0.webp")[0]
        every = server.wait("/data.json?count=5")
        last = server.wait("/data.json?start=299998&count=60")
        of_class = server.wait("/data.json?class=3&count=2")
        found = server.wait("/data.json?q=000123")

    assert first["rows"] == every["rows"]
    assert status == 200
    assert (every["length"], [one["index"] for one in last["rows"]]) == (300_001, [299_998, 299_999, 300_000])
    assert of_class["total"] == 300_000 // 7 + 1
    assert [one["name"] for one in found["rows"]] == ["000123.jpg"]


def test_a_sample_that_has_killed_a_process_is_a_marked_tile_and_is_left_out_of_its_batch(monkeypatch):
    monkeypatch.setitem(KILLERS, "sample 3 of demo train", "a picture killed the process (SIGSEGV)")
    session = Session(StudioRequest(("demo",)))

    status, headers, body = ask_inside(session, "/picture/0/train/3.webp?edge=64")
    batches = [json.loads(ask_inside(session, f"/batch/0/train/{one}.json?size=112")[2]) for one in (0, 1)]
    session.close()

    assert (status, pixels(body).ndim) == (200, 3)
    assert "killed the process (SIGSEGV)" in headers["x-error"]
    assert [one["index"] for batch in batches for one in batch["bad"]] == [3]
    assert sum(len(batch["rows"]) for batch in batches) == 223


def test_a_target_that_cannot_be_opened_says_why_beside_the_others():
    session = Session(StudioRequest(("demo", "folder:no/such/folder")))

    facts = json.loads(ask_inside(session, "/session.json")[2])
    session.close()

    assert [bool(one["error"]) for one in facts["targets"]] == [False, True]
    assert "no/such/folder" in facts["targets"][1]["error"]


def test_a_mistake_is_said_in_the_terminal_and_not_on_the_page(capsys):
    session = Session(StudioRequest(("demo",)))
    session.opened.claim(("source", 0))[0].set_exception(KeyError("a secret"))

    status, _, body = ask_inside(session, "/session.json")
    session.close()

    assert (status, json.loads(body)["hint"]) == (500, "its terminal says more")
    assert "secret" not in body.decode()
    assert "a mistake in it: KeyError: 'a secret'" in capsys.readouterr().err


def test_a_report_that_nobody_waits_for_any_more_is_cancelled():
    session, others_end = Session(StudioRequest(("demo",))), threading.Event()
    session.checks.thread.submit(others_end.wait)

    async def receive():
        while session.asked or not session.jobs:
            await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    status, _, body = ask_inside(session, "/report.html?target=0", receive)
    others_end.set()
    session.close()

    assert (status, json.loads(body)["error"]) == (422, "the report was cancelled")
    assert session.jobs[1].state == "cancelled"


def test_a_name_that_is_half_a_letter_is_found_by_the_rest_of_it():
    dataset = Dataset("list", 2, None, (), None, sample=lambda index: Sample(("\ud800cat.png", "dog.png")[index], (0,)))

    assert index_rows(dataset, lambda: True).filter("cat", -1).tolist() == [0]


def test_an_index_of_rows_ends_with_the_studio():
    dataset = Dataset("many", AT_ONCE + 1, None, (), None, sample=lambda index: Sample(f"{index}.png", (0,)))

    assert len(index_rows(dataset, lambda: True).ends) == AT_ONCE + 1
    assert len(index_rows(dataset, lambda: False).ends) == AT_ONCE


@pytest.mark.parametrize(
    "address", ["/batch/0/train/1/6.webp?size=6", "/curve/0/99.bin", "/part/1/99.bin", "/picture/0/train/224.webp"]
)
def test_what_is_not_there_is_refused(studio, address):
    status, _, body = studio.ask(address)

    assert status == 404
    assert json.loads(body)["error"]
