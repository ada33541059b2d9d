import json

import pytest

from classlens.cli.main import main
from classlens.files import CONFIGS, PHOTOS


def test_an_override_that_misses_its_key_is_pointed_out(tmp_path, capsys):
    words = ["lr", "demo", "--save-path", str(tmp_path / "lr.svg"), "--cfg-options", "param_schedulr.gamma=0.2"]

    assert main(words) == 0
    assert (
        "note:  param_schedulr.gamma creates param_schedulr; did you mean param_scheduler?" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("config", "name", "size", "batch"),
    [
        ("resnet/resnet50_8xb32_in1k.py", "ImageNet", 1_281_167, 32),
        ("resnet/resnet50_b16x8_cifar100.py", "CIFAR100", 50_000, 16),
    ],
)
def test_published_data_that_are_absent_count_as_published(config, name, size, batch, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)

    assert main(["lr", f"configs/{config}", "--json"]) == 0
    result, note = capsys.readouterr()
    assert json.loads(result)["runs"][0]["steps_per_epoch"] == -(-size // batch)
    words = f"{name} is not on this disk: {size:,} samples, as published (--dataset-size N says otherwise)"
    assert note == f"note:  {words}\n"


@pytest.mark.parametrize("change", ["data_root=data/flowers", "classes=[rose,tulip]"])
def test_own_data_that_are_absent_ask_for_their_size(change, monkeypatch, tmp_path, capsys):
    """Many call their own pictures an ImageNet."""
    monkeypatch.chdir(tmp_path)
    words = ["configs/resnet/resnet50_8xb32_in1k.py", "--cfg-options", f"train_dataloader.dataset.{change}"]

    assert main(["lr", *words]) == 2
    error, hint = capsys.readouterr().err.splitlines()[-2:]
    assert "no such folder" in error
    assert hint == "hint:  say how many training samples there are: --dataset-size 1281167 is the size of ImageNet"


@pytest.mark.parametrize("command", ["browse", "lr"])
def test_a_folder_of_configs_says_which_it_holds(command, capsys):
    assert main([command, "configs/resnet"]) == 2

    assert "resnet50_8xb32_in1k.py" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "line", "message"),
    [
        (
            ["browse"],
            "dict(type='RandomResizedCrop'",
            "train pipeline: stage 2: no transform named 'RandomResizedCorp'",
        ),
        (["lr"], "param_scheduler = [", "no scheduler named 'LinaerLR' in param_scheduler[0]"),
        (["cam", str(PHOTOS / "chelsea.png")], "model = dict(", "no native backbone named 'EfficentNet'"),
    ],
)
def test_a_misspelled_type_is_named_with_file_and_line(words, line, message, tmp_path, capsys):
    text = (CONFIGS / "demo/efficientnet-lite0_photos.py").read_text()
    number = next(number for number, found in enumerate(text.splitlines(), 1) if line in found)
    config = tmp_path / "typo.py"
    for right, wrong in (
        ("ResizedCrop", "ResizedCorp"),
        ("'LinearLR'", "'LinaerLR'"),
        ("'EfficientNet'", "'EfficentNet'"),
    ):
        text = text.replace(right, wrong)
    config.write_text(text)

    assert main([*words, str(config)]) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error == f"error: {config}:{number}: {message}"
    assert "did you mean" in hint
