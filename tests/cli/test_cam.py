import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import classlens as cl
from classlens.cam.explain import explain
from classlens.cli.main import main
from classlens.dataset.decode import read_image
from classlens.errors import install_command
from classlens.runs import map_pictures, own_process
from tests.cam.conftest import noise_image

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "demo" / "photos"
CAT, CUP = str(PHOTOS / "chelsea.png"), str(PHOTOS / "coffee.png")


def test_one_map_is_saved_as_a_plain_overlay_of_the_size_as_fed(tmp_path, capsys):
    path = tmp_path / "new" / "cam.png"

    assert main(["cam", CAT, "demo", "--save-path", str(path)]) == 0

    with Pillow.open(path) as picture:
        assert picture.size == (224, 224)
    said = capsys.readouterr().out
    assert "282 tiger cat" in said
    assert "GradCAM at backbone.layers.6.bn" in said
    low, high = map(float, re.search(r"values (\S+) to (\S+), hottest at", said).groups())
    raw = cl.explain(cl.open_source("demo").classifier(), CAT)[0].values
    assert [low, high] == pytest.approx([raw.min(), raw.max()], rel=0.01)
    assert f"wrote {path}" in said
    assert [entry.name for entry in path.parent.iterdir()] == ["cam.png"]


def test_json_tells_everything_about_every_map(capsys):
    words = ["cam", CAT, CUP, "demo", "--method", "gradcam", "LayerCAM", "--target-category", "tabby", "967", "--json"]

    assert main(words) == 0

    maps = json.loads(capsys.readouterr().out)["maps"]
    assert [(Path(one["picture"]).stem, one["target"], one["method"]) for one in maps] == [
        (photo, target, method)
        for photo in ("chelsea", "coffee")
        for target in (281, 967)
        for method in ("GradCAM", "LayerCAM")
    ]
    assert maps[-1]["class_name"] == "espresso"
    assert maps[-1]["probability"] > 0.9
    assert maps[-1]["layers"] == ["backbone.layers.6.bn"]
    assert maps[-1]["size_as_fed"] == [224, 224]


def test_class_names_can_be_said_and_what_is_doubtful_about_feeding_is_a_note(tmp_path, capsys):
    pytest.importorskip("timm")
    (tmp_path / "names.txt").write_text("cat\ncup\ndog\n")
    address = "timm:resnet18.a1_in1k?pretrained=false&num_classes=3"

    for names in ("cat,cup,dog", str(tmp_path / "names.txt")):
        words = ["cam", CAT, address, "--classes", names, "--target-category", "cup", "--method", "EigenCAM", "--json"]
        assert main(words) == 0
        written = capsys.readouterr()
        assert json.loads(written.out)["maps"][0]["class_name"] == "cup"
        assert "note:  pictures are fed as in training, 224 x 224" in written.err
    assert main(["cam", CAT, address, "--classes", "cat,cup"]) == 2
    assert "2 class names for 3 scores" in capsys.readouterr().err
    assert main(["cam", CAT, address, "--classes", "nowhere.txt"]) == 2
    assert "no class names in 'nowhere.txt', and no such file" in capsys.readouterr().err


def test_the_numbers_are_kept_on_request(tmp_path):
    path = tmp_path / "map.npz"

    main(["cam", CAT, "demo", "--target-layers", "backbone.layers[-1]", "backbone.layers[3]", "--npz", str(path)])

    with np.load(path, allow_pickle=False) as kept:
        assert set(kept) == {"heatmap", "saliency_0", "saliency_1", "meta"}
        assert (kept["heatmap"].shape, kept["heatmap"].dtype) == ((224, 224), np.float32)
        assert 0 <= kept["heatmap"].min() <= kept["heatmap"].max() <= 1
        assert [kept[name].shape for name in ("saliency_0", "saliency_1")] == [(7, 7), (28, 28)]
        (meta,) = json.loads(str(kept["meta"]))
    assert meta["layers"] == ["backbone.layers.6", "backbone.layers.3"]


def test_several_layers_are_one_map_unless_each_is_wanted(capsys):
    layers = ["--target-layers", "backbone.layers.5", "backbone.layers.6"]

    main(["cam", CAT, "demo", *layers, "--json"])
    together = json.loads(capsys.readouterr().out)["maps"]
    main(["cam", CAT, "demo", *layers, "--each-layer", "--json"])
    apart = json.loads(capsys.readouterr().out)["maps"]

    assert [one["layers"] for one in together] == [["backbone.layers.5", "backbone.layers.6"]]
    assert [one["layers"] for one in apart] == [["backbone.layers.5"], ["backbone.layers.6"]]


def test_pictures_of_one_name_do_not_overwrite_each_other(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Pillow.open(CAT).resize((60, 50)).save(tmp_path / folder / "same.jpg")
    out = tmp_path / "out"

    assert main(["cam", str(tmp_path / "a"), str(tmp_path / "b" / "*.jpg"), "demo", "--save-path", str(out)]) == 0

    assert sorted(path.name for path in out.iterdir()) == ["index.html", "same.png", "same_2.png"]


@pytest.mark.parametrize("ending", ["jpg", "pdf", "svg", "webp"])
def test_pictures_are_written_in_the_format_of_their_ending(tmp_path, ending):
    path = tmp_path / f"cam.{ending}"

    assert main(["cam", CAT, "demo", "--save-path", str(path), "--method", "GradCAM", "LayerCAM"]) == 0

    starts = {"jpg": b"\xff\xd8", "pdf": b"%PDF", "svg": b"<svg", "webp": b"RIFF"}
    assert path.read_bytes().startswith(starts[ending])


def test_a_whole_picture_is_not_cropped(tmp_path, capsys):
    both = tmp_path / "both.png"
    pixels = [np.asarray(Pillow.open(path).convert("RGB").resize((200, 200))) for path in (CAT, CUP)]
    Pillow.fromarray(np.concatenate(pixels, axis=1)).save(both)
    out = tmp_path / "cup.npz"

    main(["cam", str(both), "demo", "--whole", "--target-category", "espresso", "--npz", str(out)])

    heat = np.load(out)["heatmap"]
    assert heat.shape == (224, 448)
    assert heat[:, 224:].sum() > 0.8 * heat.sum()


def test_at_the_original_size_the_overlay_is_as_large_as_the_picture(tmp_path):
    path, numbers = tmp_path / "cat.png", tmp_path / "cat.npz"

    assert main(["cam", CAT, "demo", "--original-size", "--save-path", str(path), "--npz", str(numbers)]) == 0

    with Pillow.open(path) as drawn, Pillow.open(CAT) as read:
        assert drawn.size == read.size
    with np.load(numbers, allow_pickle=False) as kept:
        assert min(kept["heatmap"].shape) == 224


def test_fewer_bits_are_an_option(capsys):
    assert main(["cam", CAT, "demo", "--precision", "bf16", "--memory-budget", "50"]) == 0

    assert "cat" in capsys.readouterr().out


def test_preview_lists_the_layers_and_stars_the_default(capsys):
    assert main(["cam", CAT, "demo", "--preview-model"]) == 0

    lines = capsys.readouterr().out.splitlines()
    (starred,) = [line for line in lines if line.startswith("* backbone")]
    assert starred.split()[1] == "backbone.layers.6.bn"
    assert any("head.fc" in line for line in lines)


def test_preview_needs_no_weights_and_says_so(capsys):
    config = str(ROOT / "configs" / "resnet" / "resnet50_8xb16_cifar100.py")

    assert (
        main(
            ["cam", config, "--preview-model", "--cfg-options", "model.backbone.depth=18", "model.head.in_channels=512"]
        )
        == 0
    )

    told = capsys.readouterr()
    assert "* backbone.layer4.1.bn2" in told.out
    assert "untrained, no weights are named" in told.err
    assert main(["cam", CAT, config]) == 2
    assert "names no weights" in capsys.readouterr().err


def test_every_documented_word_is_understood(tmp_path, capsys):
    words = "--target-layers backbone.layers[-1] --method LayerCAM --target-category 281 --eigen_smooth --aug_smooth"
    more = "--vit-like --num-extra-tokens 0 --device cpu --cfg-options model.head.topk=(1,)"

    assert main(["cam", CAT, "demo", *words.split(), *more.split(), "--save-path", str(tmp_path / "x.jpg")]) == 0

    assert "281 tabby" in capsys.readouterr().out


def test_methods_for_which_eigen_smooth_does_nothing_are_named(capsys):
    assert main(["cam", CAT, "demo", "--eigen-smooth", "--method", "GradCAM", "KPCA-CAM", "FullGrad"]) == 0

    told = capsys.readouterr().err
    assert "note:  --eigen-smooth does nothing for KPCA-CAM, FullGrad: no channels of a layer are added up" in told


def test_a_network_for_small_pictures_whose_transform_keeps_their_size_is_measured_at_the_first(tmp_path, capsys):
    """It could not even be run at the size that the transform is tried with."""
    (tmp_path / "small.py").write_text(
        "from torch import nn\n"
        "from torchvision.transforms import ToTensor\n"
        "model = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(256, 3)).eval()\n"
        "both = model, ToTensor()\n"
    )
    Pillow.fromarray(noise_image(32, 32).pixels).save(tmp_path / "a.png")
    asked = ["cam", str(tmp_path / "a.png"), f"py:{tmp_path / 'small.py'}:both"]
    more = ["--memory-budget", "500", "--method", "GradCAM", "ScoreCAM", "RISE", "--whole", "--evaluate"]

    assert main([*asked, *more, "--json"]) == 0
    told = capsys.readouterr()
    assert {tuple(one["layers"]) for one in json.loads(told.out)["maps"]} == {("1",), ("input",)}
    assert "RISE 1,000" in told.err
    assert main([*asked, "--preview-model"]) == 0
    assert "* 1 " in capsys.readouterr().out


def test_the_script_takes_the_documented_words(tmp_path):
    script = ROOT / "tools" / "visualizations" / "vis_cam.py"
    path = tmp_path / "cam.png"

    done = subprocess.run([sys.executable, script, CAT, "demo", "--save-path", path], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert path.is_file()


SLIPS = [
    (["nothere.png", "demo"], "no such picture: nothere.png"),
    (["demo"], "no picture is named in front of demo"),
    ([CAT], "no config among"),
    ([CAT, "demo", "a.pth", "b.pth"], "behind the config demo stand 2 words"),
    ([CAT, "demo", "nothere.pth"], "no such checkpoint: nothere.pth"),
    ([CAT, "nothere.py"], "nothere.py"),
    ([CAT, "demo", "--method", "GradCAN"], "no method named 'GradCAN'"),
    ([CAT, "demo", "--colormap", "jat"], "no colour map named 'jat'"),
    ([CAT, "demo", "--save-path", "x.docx"], "cannot write a picture with the ending '.docx'"),
    ([CAT, "demo", "--npz", "x.npy"], "--npz writes .npz files"),
    ([CAT, "demo", "--box", "1", "2", "3", "4"], "--box without --evaluate"),
    ([CAT, "demo", "--evaluate", "--box", "9", "2", "3", "4"], "--box: 9 2 3 4 is no box"),
    ([CAT, "demo", "--evaluate", "--box", "nothere.csv"], "no table of boxes can be read from nothere.csv"),
    ([CAT, CUP, "demo", "--evaluate", "--box", "1", "2", "3", "4"], "one box for 2 pictures"),
    ([CAT, "demo", "--samples", "0"], "is not a whole number of 1 or more"),
    ([CAT, "demo", "--opacity", "2"], "is not a number from 0 to 1"),
    ([CAT, "demo", "--contour", "1"], "is not a number from 0 to less than 1"),
    ([CAT, "demo", "--num-extra-tokens", "-1"], "num-extra-tokens"),
    ([CAT, "demo", "--cfg-options", "nonsense"], "'nonsense' is not KEY=VALUE"),
]
PROBE = """
import sys
from classlens.cli.main import main
from classlens.errors import install_command
try:
    status = main(sys.argv[1:])
except SystemExit as stop:
    status = stop.code
print("torch" in sys.modules)
sys.exit(status)
"""


def test_slips_fail_with_one_clear_error_before_torch_is_imported():
    for words, message in SLIPS:
        done = subprocess.run([sys.executable, "-c", PROBE, "cam", *words], capture_output=True, text=True)

        assert done.returncode == 2, words
        assert done.stdout == "False\n", words
        assert message in done.stderr
        assert done.stderr.startswith("error: ")
        assert "\nhint:  " in done.stderr


def test_without_torch_the_error_says_what_to_install():
    code = "import sys; sys.modules['torch'] = None; from classlens.cli.main import main; sys.exit(main(sys.argv[1:]))"

    done = subprocess.run([sys.executable, "-c", code, "cam", CAT, "demo"], capture_output=True, text=True)

    assert done.returncode == 2
    assert done.stderr == f"error: torch is not installed\nhint:  {install_command('demo')}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target-layers", "backbone.layer4"], "no layer named 'backbone.layer4'"),
        (["--target-category", "tabbi"], "no class named 'tabbi'"),
        (["--target-category", "1000"], "no class named '1000'"),
        (["--target-layers", "head.fc"], "is no feature map"),
        (["--device", "moon"], "cannot compute on 'moon'"),
        (["--evaluate", "--box", "0", "0", "452", "9"], "chelsea.png, 451 wide"),
    ],
)
def test_what_only_the_model_can_refuse_is_one_clear_error_and_writes_nothing(words, message, tmp_path, capsys):
    assert main(["cam", CAT, "demo", *words, "--save-path", str(tmp_path / "x.png")]) == 2

    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_broken_picture_is_one_clear_error(tmp_path, capsys):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")

    assert main(["cam", str(broken), "demo"]) == 2

    assert "broken.png" in capsys.readouterr().err


def test_scores_are_a_table_with_the_baselines_beside(tmp_path, capsys):
    small = tmp_path / "small.png"
    with Pillow.open(CUP) as cup:
        cup.resize((64, 64)).save(small)
    pipeline = "test_dataloader.dataset.pipeline"
    sizes = ["--cfg-options", f"{pipeline}.1.scale=36", f"{pipeline}.2.crop_size=32"]

    main(
        [
            "cam",
            str(small),
            "demo",
            "--evaluate",
            "--method",
            "GradCAM",
            "LayerCAM",
            "--box",
            "0",
            "0",
            "32",
            "64",
            *sizes,
        ]
    )

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    head = lines.index(["deletion", "insertion", "drop", "increase", "road", "pointing", "energy"])
    assert [line[0] for line in lines[head + 1 : head + 6]] == ["GradCAM", "LayerCAM", "uniform", "random", "better"]
    assert [len(line) - 7 for line in lines[head + 1 : head + 6]] == [3, 3, 1, 1, 1]
    energy_of_uniform = float(lines[head + 3][-1])
    assert energy_of_uniform == pytest.approx(0.5, abs=0.03)  # the box is the left half, wherever the picture is cut
    assert any(line[:1] == ["sanity:"] for line in lines)


def test_scores_of_several_pictures_are_averaged_and_boxes_come_from_a_table(tmp_path, capsys):
    for path in (CAT, CUP):
        Pillow.open(path).resize((64, 64)).save(tmp_path / Path(path).name)
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("name,left,top,right,bottom\nchelsea.png,0,0,64,64\nanother.png,1,2,3,4\n")
    pipeline = "test_dataloader.dataset.pipeline"
    sizes = ["--cfg-options", f"{pipeline}.1.scale=36", f"{pipeline}.2.crop_size=32"]

    main(["cam", str(tmp_path), "demo", "--method", "EigenCAM", "--evaluate", "--box", str(boxes), "--json", *sizes])

    told = json.loads(capsys.readouterr().out)
    assert [one["faithfulness"]["own"]["energy"] is None for one in told["maps"]] == [False, True]
    (mean,) = told["means"]
    assert mean["maps"] == 2
    drops = [one["faithfulness"]["own"]["drop"] for one in told["maps"]]
    assert mean["own"]["drop"] == pytest.approx(sum(drops) / 2)
    assert len(told["maps"][0]["sanity"]["rank"]) == 5


def test_a_contrast_says_both_probabilities_and_the_difference_of_the_logits(capsys):
    words = ["cam", CUP, "demo", "--target-category", "espresso - cup"]

    main(words)
    said = capsys.readouterr().out
    main([*words, "--json"])
    (one,) = json.loads(capsys.readouterr().out)["maps"]

    assert "967 - 968 espresso - cup (95.1% : " in said
    assert f"logits {one['logit']:+.2f} apart" in said
    assert 0 < one["against_probability"] < 0.05 < one["probability"]


def test_an_empty_map_has_no_hottest_place_and_what_it_is_missing_is_said(capsys):
    main(["cam", CAT, "demo", "--method", "FEM"])
    told = capsys.readouterr()

    assert "hottest" not in told.out
    assert "is empty: no evidence for this class" in told.err
    assert "choose a layer behind the activation, e.g. --target-layers backbone.layers.6" in told.err
    main(["cam", CAT, "demo", "--method", "FEM", "XGradCAM", "--target-layers", "backbone.layers.6"])
    assert "warning" not in capsys.readouterr().err


def test_of_many_empty_maps_the_first_are_named_and_all_are_counted(capsys, tmp_path):
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes(Path(CAT).read_bytes())

    main(["cam", str(tmp_path), "demo", "--method", "FEM"])

    told = capsys.readouterr().err
    assert told.count("map at backbone.layers.6.bn is empty") == 10
    assert "warning: 12 of 12 maps are empty" in told


def test_what_slow_methods_will_cost_is_said_before(capsys, monkeypatch):
    words = ["cam", CAT, "demo", "--method", "SmoothGrad", "Occlusion", "GradCAM", "--samples", "2"]
    main(words)
    assert "runs of the network" not in capsys.readouterr().err

    monkeypatch.setattr(map_pictures, "WORTH_A_NOTE", 1)
    main(words)

    assert re.search(
        r"note:  runs of the network for every picture and class: SmoothGrad 2, Occlusion 4; up to \d+ m?s each",
        capsys.readouterr().err,
    )


def test_the_line_of_progress_says_what_is_counted_and_wipes_itself_out(capsys, monkeypatch):
    clock = iter([0.0, 1.0, 3.0, 3.1, 9.0, 9.5])
    monkeypatch.setattr(own_process, "monotonic", lambda: next(clock))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    count = own_process.progress_line()

    for done in (10, 30, 31, 90):
        count("ScoreCAM", done, 90)
    count("pictures", 1, 1)

    told = capsys.readouterr().err
    assert [part.strip() for part in told.split("\r")] == [
        "",
        "ScoreCAM: 10 of 90",
        "ScoreCAM: 30 of 90, 4 s left",
        "",
        "",
    ]


def test_a_bad_picture_among_several_is_named_and_ends_nothing(tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "cat.png").write_bytes(Path(CAT).read_bytes())
    (folder / "broken.png").write_bytes(Path(CAT).read_bytes()[:99])
    (folder / "._cat.png").write_text("another program's note")

    assert main(["cam", str(folder), "demo", "--save-path", str(tmp_path / "maps")]) == 0
    told = capsys.readouterr()
    assert "tiger cat" in told.out
    assert "broken.png" in told.err
    assert told.err.splitlines()[-1] == "1 of 2 pictures could not be read"
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["cat.png", "index.html"]


def test_many_pictures_are_read_a_portion_at_a_time_and_told_as_one(tmp_path, capsys, monkeypatch):
    small = Pillow.open(CAT).resize((60, 50))
    for number in range(6):
        folder = tmp_path / "photos" / str(number)
        folder.mkdir(parents=True)
        small.save(folder / "same.png")
    (tmp_path / "photos" / "2" / "same.png").write_bytes(b"no picture")
    read = []
    monkeypatch.setattr(map_pictures, "read_image", lambda path: read.append(path) or read_image(path))
    sizes = []
    monkeypatch.setattr(
        map_pictures, "explain", lambda c, pictures, **how: sizes.append(len(read)) or explain(c, pictures, **how)
    )

    words = [
        "cam",
        str(tmp_path / "photos"),
        "demo",
        "--batch-size",
        "1",
        "--save-path",
        str(tmp_path / "maps"),
        "--json",
    ]
    assert main(words) == 0

    told = capsys.readouterr()
    assert sizes == [4, 6]
    assert len(json.loads(told.out)["maps"]) == len(json.loads(told.out)["written"]) == 5
    names = sorted(str(path.relative_to(tmp_path / "maps")) for path in (tmp_path / "maps").rglob("*.png"))
    assert names == ["0/same.png", "1/same.png", "3/same.png", "4/same.png", "5/same.png"]
    assert told.err.splitlines()[-1] == "1 of 6 pictures could not be read"


@pytest.mark.parametrize("place", ["photos", "photos/chelsea.png"], ids=["their folder", "one of them"])
def test_a_map_is_never_written_over_a_picture_that_is_looked_at(place, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    photo = photos / "chelsea.png"
    photo.write_bytes(Path(CAT).read_bytes())

    assert main(["cam", str(photo), "demo", "--save-path", str(tmp_path / place)]) == 2

    assert "is one of the pictures to look at" in capsys.readouterr().err
    assert photo.read_bytes() == Path(CAT).read_bytes()


def test_a_picture_in_the_place_of_the_checkpoint_is_told(capsys):
    assert main(["cam", CAT, "demo", CUP]) == 2

    said = capsys.readouterr().err
    assert said.startswith(f"error: the words are in the order IMG CONFIG IMG: {CAT} demo {CUP}\n")
    assert said.endswith(f"hint:  the order is IMG CONFIG CHECKPOINT: classlens cam {CAT} {CUP} demo\n")


def test_methods_may_be_separated_by_commas(capsys):
    assert main(["cam", CAT, "demo", "--method", "GradCAM,layercam", "--json"]) == 0

    assert [one["method"] for one in json.loads(capsys.readouterr().out)["maps"]] == ["GradCAM", "LayerCAM"]


NETWORK = """
import torch
from torch import nn


def built(classes, *end):
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4)
    body = nn.Sequential(nn.Conv2d(3, 4, 3, 8), norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))
    return nn.Sequential(*body, *end).eval()


raw = built(3)
ended = built(3, nn.Softmax(1))
labels = built(3, nn.Sigmoid())
binary = built(1)
binary.classes = ["benign", "malignant"]
diverged = built(3)
diverged[0].weight.data[0] = float("nan")
"""


@pytest.fixture
def network(tmp_path):
    (tmp_path / "networks.py").write_text(NETWORK)
    return lambda name: f"py:{tmp_path / 'networks.py'}:{name}"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raw", "does not say what its scores are"),
        ("ended", "ends in a softmax: the logits in front of it are explained"),
        ("labels", "ends in a sigmoid, each class a label by itself"),
        ("binary", "has a single logit: above zero it speaks for 'malignant'"),
    ],
)
def test_what_a_network_puts_out_is_said_once(name, words, network, capsys):
    assert main(["cam", CAT, CUP, network(name), "--precision", "bf16", "--target-layers", "1"]) == 0

    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note:")]
    assert sum(words in note for note in notes) == 1


def test_the_kind_of_output_may_be_said_where_nothing_tells(network, capsys):
    words = ["cam", CAT, network("raw"), "--target-category", "0", "1", "2", "--json"]

    main(words)
    one_of_several = json.loads(capsys.readouterr().out)["maps"]
    main([*words, "--output-type", "sigmoid"])
    labels = json.loads(capsys.readouterr().out)["maps"]

    assert sum(one["probability"] for one in one_of_several) == pytest.approx(1)
    assert [one["probability"] for one in labels] == pytest.approx([1 / (1 + np.exp(-one["logit"])) for one in labels])
    assert {one["output"] for one in labels} == {"sigmoid"}


def test_a_binary_network_is_asked_for_either_class_by_every_quick_method(network, capsys):
    words = [
        "cam",
        CAT,
        network("binary"),
        "--method",
        "all",
        "--target-category",
        "malignant",
        "benign",
        "0",
        "--json",
    ]

    assert main(words) == 0

    maps = json.loads(capsys.readouterr().out)["maps"]
    assert {one["class_name"] for one in maps} == {"malignant", "benign"}
    assert "FinerCAM" in {one["method"] for one in maps}


def test_weights_that_are_not_finite_are_one_clear_error(network, capsys):
    assert main(["cam", CAT, network("diverged")]) == 2

    said = capsys.readouterr().err
    assert "'0' (Conv2d) is the first layer that is not" in said
