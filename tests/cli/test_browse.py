import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from classlens.adapters import Adapter, Options, open_source
from classlens.cli.browse import read_request
from classlens.cli.main import main, parser_of
from classlens.runs.browse_samples import BrowseRequest, render_sample
from classlens.runs.processes import DatasetSpec, run_job

CONFIG = """
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=32),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=4, dataset=dict(type='CustomDataset', data_root={root!r}, pipeline=pipeline))
val_dataloader = dict(batch_size=4, dataset=dict(type='CustomDataset', data_root={root!r}, pipeline=pipeline[:1]))
"""


@pytest.fixture
def data(tmp_path):
    random = np.random.default_rng(0)
    for group in ("cat", "dog"):
        for number in range(3):
            path = tmp_path / "data" / group / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), random.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    return tmp_path / "data"


@pytest.fixture
def config(data, tmp_path):
    path = tmp_path / "config.py"
    path.write_text(CONFIG.format(root=str(data)))
    return str(path)


def files(folder):
    """What a run left in a folder, besides the note of its options."""
    found = (str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())
    return sorted(name for name in found if name != "browse.json")


@pytest.mark.parametrize("mode", ["original", "transformed", "concat", "pipeline"])
def test_every_mode_writes_one_file_per_sample_and_equal_names_stay_apart(mode, config, tmp_path, capsys):
    out = tmp_path / "out"

    status = main(["browse", config, "--mode", mode, "--output-dir", str(out)])

    assert status == 0
    assert files(out) == ["cat/0_0.jpg", "cat/1_1.jpg", "cat/2_2.jpg", "dog/3_0.jpg", "dog/4_1.jpg", "dog/5_2.jpg"]
    assert f"wrote 6 pictures of train to {out}" in capsys.readouterr().out


DOCUMENTED = [
    ["--phase", "val", "--output-dir", "OUT", "--mode", "original", "--show-number", "4", "--rescale-factor", "10"],
    ["--show-number", "4", "--rescale-factor", "2", "--bgr2rgb", "--show-interval", "0"],
    ["--show-number", "4", "--output-dir", "OUT", "--mode", "concat"],
    ["--mode", "pipeline"],
    ["-o", "OUT", "-p", "val", "-n", "4", "-i", "0", "-m", "transformed", "-r", "2", "-c", "RGB", "--not-show"],
    ["--output_dir", "OUT", "--show_number", "4", "--cfg-options", "val_dataloader.batch_size=2"],
]


@pytest.mark.parametrize("words", DOCUMENTED, ids=" ".join)
def test_the_documented_options_work_as_written(words, config, tmp_path, capsys):
    out = tmp_path / "out"

    status = main(["browse", config, *(str(out) if word == "OUT" else word for word in words)])

    assert status == 0
    assert len(files(out)) == (4 if "OUT" in words else 0)


def test_the_same_seed_gives_the_same_files_with_any_number_of_workers(config, tmp_path):
    for name, more in (("one", ["--workers", "0"]), ("two", ["--workers", "2"]), ("other", ["--seed", "5"])):
        main(["browse", config, "--mode", "pipeline", "-o", str(tmp_path / name), *more])

    contents = {
        name: [(tmp_path / name / file).read_bytes() for file in files(tmp_path / name)]
        for name in ("one", "two", "other")
    }
    assert contents["one"] == contents["two"]
    assert contents["one"] != contents["other"]


@pytest.mark.parametrize(("words", "workers"), [([], None), (["--workers", "0"], 0), (["--workers", "3"], 3)])
def test_the_run_decides_how_many_processes_it_takes_unless_that_is_said(words, workers):
    arguments = parser_of("browse", "browse").parse_args(["demo", "--not-show", *words])

    assert read_request(arguments).args[1].workers == workers


def test_a_bad_picture_in_a_list_is_a_marked_tile_with_its_reason(data, tmp_path, capsys):
    (data / "list.txt").write_text("cat/0.jpg 0\ncat/gone.jpg 0\n")

    status = main(["browse", f"folder:{data / 'list.txt'}", "-o", str(tmp_path / "out")])

    assert status == 0
    assert files(tmp_path / "out") == ["0/0_0.jpg", "0/1_gone.jpg"]
    assert "#1" in (said := capsys.readouterr().err)
    assert "gone.jpg: no such file" in said


def test_samples_are_spread_over_the_classes_unless_asked_otherwise(config, capsys):
    def shown(*words):
        main(["browse", config, "--json", "-n", "2", *words])
        return [sample["index"] for sample in json.loads(capsys.readouterr().out)["samples"]]

    assert sorted(index // 3 for index in shown()) == [0, 1]
    assert shown("--in-order") == [0, 1]
    assert shown("--index", "4", "2") == [4, 2]
    assert all(index >= 3 for index in shown("--class", "dog"))
    assert shown("--shuffle") == shown("--shuffle")


def test_samples_and_classes_are_not_chosen_at_once(config, capsys):
    assert main(["browse", config, "--index", "0", "--class", "dog"]) == 2
    assert "--index and --class both choose samples" in capsys.readouterr().err


def test_the_result_can_be_had_as_data(config, capsys):
    main(["browse", config, "--json", "--mode", "pipeline", "--index", "4", "--repeat", "2"])

    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == ["cat", "dog"]
    assert [sample["seed"] for sample in found["samples"]] == [0, 1]
    stages = found["samples"][0]["stages"]
    assert [stage["stage"] for stage in stages] == ["LoadImageFromFile", "RandomResizedCrop", "RandomFlip"]
    assert len(stages[1]["drawn"]["box"]) == 4
    assert found["samples"][0]["classes"] == ["dog"]


def test_several_samples_fit_on_one_sheet(config, tmp_path):
    main(["browse", config, "--grid", "2x2", "-o", str(tmp_path / "out")])

    assert files(tmp_path / "out") == ["grid_001.jpg", "grid_002.jpg"]


def test_a_page_holds_every_picture_and_needs_nothing_else(config, tmp_path):
    page = tmp_path / "page.html"

    main(["browse", config, "--html", str(page)])

    text = page.read_text(encoding="utf-8")
    data = json.loads(text.partition('type="application/json" class="data">')[2].partition("</script>")[0])
    assert len(data["samples"]) == 6
    assert text.count('src="data:image/webp;base64,UklGR') == 6
    assert "://" not in text


def test_numbers_about_the_samples(config, capsys):
    main(["browse", config, "--stats", "--json"])

    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == {"cat": 3, "dog": 3}
    assert found["width"] == {"min": 64, "median": 64, "max": 64}


def test_numbers_say_which_pictures_are_in_another_split_too(data, tmp_path, capsys):
    for split, number in (("train", 0), ("train", 1), ("val", 2)):
        (tmp_path / "all" / split / "cat").mkdir(parents=True, exist_ok=True)
        shutil.copy(data / "cat" / f"{number}.jpg", tmp_path / "all" / split / "cat")
    shutil.copy(data / "cat" / "1.jpg", tmp_path / "all" / "val" / "cat" / "copied.jpg")

    main(["browse", f"folder:{tmp_path / 'all'}", "--stats"])
    told = capsys.readouterr().out
    main(["browse", f"folder:{tmp_path / 'all'}", "--stats", "--phase", "val", "--json"])
    found = json.loads(capsys.readouterr().out)
    main(["browse", f"folder:{tmp_path / 'all'}", "--stats", "--index", "0"])
    part = capsys.readouterr().out

    assert "the same pixels in val: #1 is val #1" in told
    assert found["duplicates_in"] == {"train": [[1, 1]]}
    assert "duplicates were looked for among these 1 samples only" in part


def test_splits_that_are_not_compared_are_named_with_the_reason(config, data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("classlens.runs.browse_run.COMPARED", 2)
    for split, numbers in (("train", range(3)), ("val", range(1))):
        (tmp_path / "all" / split / "cat").mkdir(parents=True)
        for number in numbers:
            shutil.copy(data / "cat" / f"{number}.jpg", tmp_path / "all" / split / "cat")

    main(["browse", config, "--stats"])
    same = capsys.readouterr().out
    main(["browse", f"folder:{tmp_path / 'all'}", "--stats", "--phase", "val"])
    large = capsys.readouterr().out

    assert "not compared with val: it has the same files" in same
    assert "not compared with train: it has 3 samples, --phase train compares them all" in large


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mode", "all"], "invalid choice"),
        (["--show-number", "0"], "whole number of 1 or more"),
        (["--rescale-factor", "-1"], "not a number above 0"),
        (["--grid", "4by4", "-o", "x"], "rows x columns"),
        (["--grid", "2x2"], "--grid makes files"),
        (["--class", "bird"], "no class named 'bird'"),
        (["--index", "99"], "no sample 99"),
        (["--phase", "test"], "no test split"),
        (["--cfg-options", "train_dataloader.dataset.type=Nothing"], "no dataset named 'Nothing'"),
    ],
    ids=str,
)
def test_wrong_words_end_with_one_clear_error(words, message, config, capsys):
    try:
        status = main(["browse", config, *words])
    except SystemExit as leaving:
        status = leaving.code

    said = capsys.readouterr().err
    assert status == 2
    assert message in said
    assert said.startswith("error: ")
    assert "hint:" in said


def test_an_output_folder_that_takes_no_files_ends_the_run(config, tmp_path, capsys):
    (tmp_path / "out").write_text("a file")

    assert main(["browse", config, "-o", str(tmp_path / "out")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_one_folder_holds_the_pictures_of_one_run(config, tmp_path, capsys):
    out = str(tmp_path / "out")
    words = ["browse", config, "-o", out, "--mode", "concat", "--index"]

    assert main([*words, "0", "1", "--seed", "1"]) == 0
    first = {name: Path(out, name).read_bytes() for name in files(out)}
    assert main([*words, "1", "5", "--seed", "1"]) == 0
    assert main([*words, "0", "--seed", "2"]) == 2

    said = capsys.readouterr().err
    assert "holds pictures of another run: made with seed 1" in said
    assert "hint:  another --output-dir keeps both" in said
    assert files(out) == ["cat/0_0.jpg", "cat/1_1.jpg", "dog/5_2.jpg"]
    assert all(Path(out, name).read_bytes() == content for name, content in first.items())


def test_a_file_of_somebody_else_is_never_overwritten(config, tmp_path, capsys):
    other = tmp_path / "out" / "cat" / "0_0.jpg"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"not ours")

    assert main(["browse", config, "-o", str(tmp_path / "out"), "--index", "0"]) == 2
    assert "0_0.jpg is there already, and not of this run" in capsys.readouterr().err
    assert other.read_bytes() == b"not ours"


DEADLY = """
import os
from classlens.adapters.folder import open_folder
from classlens.dataset.dataset import Dataset
from dataclasses import replace


def open_deadly(path, options):
    source = open_folder(path, options)

    def open_dataset(name):
        dataset = source.dataset(name)
        load = lambda index: os._exit(139) if index == 2 else dataset.load(index)
        return replace(dataset, load=load, thumbnail=None)

    return replace(source, open_dataset=open_dataset)
"""


def test_a_decoder_that_kills_its_process_costs_one_picture(data, tmp_path, monkeypatch):
    (tmp_path / "deadly.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("classlens.adapters.ADAPTERS", {"deadly": Adapter("deadly:open_deadly")})
    dataset = open_source(f"deadly:{data}").dataset("train")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    opening = DatasetSpec(f"deadly:{data}", "train", Options())
    monkeypatch.setattr("classlens.runs.processes.work", work_with_deadly)

    job = partial(render_sample, request=BrowseRequest(mode="original"), replaces=False)
    found = list(run_job(job, dataset, opening, ((index, 0) for index in range(6)), total=6, workers=2))

    assert [row.index for row in found] == list(range(6))
    assert [bool(row.error) for row in found] == [False, False, True, False, False, False]
    assert "the process that decoded it died" in found[2].error


def work_with_deadly(job, index, seed):
    """What a worker does, with the scheme known there too."""
    from classlens import adapters
    from classlens.runs import processes

    adapters.ADAPTERS = {"deadly": adapters.Adapter("deadly:open_deadly")}
    return job(processes.worker_dataset(), index, seed, None)()


def test_browsing_imports_neither_torch_nor_matplotlib(config, tmp_path):
    code = (
        "import sys; from classlens.cli.main import main; main(sys.argv[1:]);"
        "print(sorted({'torch', 'matplotlib', 'pandas', 'scipy'} & set(sys.modules)))"
    )

    result = subprocess.run(
        [sys.executable, "-c", code, "browse", config, "-o", str(tmp_path / "out"), "--mode", "pipeline"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )

    assert result.stdout.splitlines()[-1] == "[]"


def test_whole_batches_are_shown_with_the_shares_of_their_labels(config, tmp_path, capsys):
    main(["browse", config, "--batch", "4", "-o", str(tmp_path / "out"), "--cfg-options", *MIXUP])
    assert files(tmp_path / "out") == ["batch_001.jpg"]
    assert "batch 1: 4 samples, Mixup, own share" in capsys.readouterr().out

    main(["browse", config, "--batch", "--json", "--cfg-options", *MIXUP])
    (batch,) = json.loads(capsys.readouterr().out)["batches"]
    assert len(batch["indices"]) == 4
    assert all(sum(shares.values()) == pytest.approx(1) for shares in batch["shares"])


def test_a_bad_picture_leaves_its_batch_and_is_marked_and_listed(config, data, tmp_path, capsys):
    (data / "cat" / "1.jpg").write_bytes(b"no picture")
    words = ["browse", config, "--batch", "6", "--cfg-options", *MIXUP]

    assert main([*words, "-o", str(tmp_path / "out")]) == 0
    assert main([*words, "--strict"]) == 1

    told = capsys.readouterr()
    assert "batch 1: 5 samples, Mixup, own share" in told.out
    assert "1 of them is bad:\n  #1  " in told.err
    assert files(tmp_path / "out") == ["batch_001.jpg"]
    main([*words, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert sorted(found["batches"][0]["indices"]) == [0, 2, 3, 4, 5]
    assert [row["index"] for row in found["bad"]] == [1]


def test_a_batch_of_bad_pictures_only_is_a_sheet_of_marked_tiles(config, data, tmp_path, capsys):
    for path in data.rglob("*.jpg"):
        path.write_bytes(b"no picture")

    status = main(["browse", config, "--batch", "3", "-n", "2", "-o", str(tmp_path), "--cfg-options", *MIXUP])

    assert status == 0
    assert {"batch_001.jpg", "batch_002.jpg"} <= set(files(tmp_path))
    assert "6 of them are bad" in capsys.readouterr().err


MIXUP = ["model.type=ImageClassifier", "model.train_cfg.augments.type=Mixup", "model.train_cfg.augments.alpha=0.4"]


def test_a_command_that_python_calls_leaves_the_caller_its_temporary_folder(tmp_path):
    """A forked child would leave by the caller's `with`, and remove what the caller still needs."""
    script = """
import os, tempfile
from classlens.cli.browse import read_request
from classlens.cli.main import main, parser_of
with tempfile.TemporaryDirectory() as folder:
    status = main(["browse", "demo", "-n", "1", "--output-dir", f"{folder}/pictures"])
    print(status, sum(name.endswith(".jpg") for _, _, names in os.walk(folder) for name in names))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout.splitlines()[-1] == "0 1"
