"""The data view of a real server: rows, classes, pictures, samples stage by stage, batches."""

import io

import numpy as np
from PIL import Image

import classlens
from classlens.figures.page import webp_of


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
