"""What a new user was told, and followed: every word of advice has to work when it is taken."""

import csv
import json
import re

import pytest

from classlens.cli.main import main
from classlens.files import CONFIGS, PHOTOS

CAT = str(PHOTOS / "chelsea.png")
LITE = str(CONFIGS / "demo" / "efficientnet-lite0_photos.py")


@pytest.mark.parametrize("layer", ["backbone.layers.3", "backbone.layers.0.bn", "backbone.layers.5.0.linear_conv"])
def test_the_layer_that_a_warning_recommends_can_be_used_and_warns_no_more(layer, capsys):
    assert main(["cam", CAT, LITE, "--method", "FEM", "--target-layers", layer]) == 0
    (advised,) = re.findall(r"e\.g\. --target-layers (\S+)", capsys.readouterr().err)

    assert main(["cam", CAT, LITE, "--method", "FEM", "--target-layers", advised]) == 0
    assert "negative" not in capsys.readouterr().err


def test_a_list_of_layers_is_told_as_one_that_does_not_run(capsys):
    assert main(["cam", CAT, LITE, "--target-layers", "backbone.layers"]) == 2
    assert "layer 'backbone.layers' did not run, or put out no tensor" in capsys.readouterr().err


def test_the_line_the_table_and_the_json_name_one_hottest_place_in_pixels_of_the_picture(tmp_path, capsys):
    words = ["cam", CAT, "demo", "--csv", str(tmp_path / "maps.csv")]
    assert main(words) == 0
    x, y = re.search(r"hottest at x (\d+), y (\d+)", capsys.readouterr().out).groups()
    with (tmp_path / "maps.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["hottest x"], row["hottest y"]) == (x, y)

    main([*words, "--json"])
    (one,) = json.loads(capsys.readouterr().out)["maps"]
    assert one["hottest_in_picture"] == [int(x), int(y)]
