"""Faults planted among real pictures, and healthy data, in which nothing may be found."""

import shutil

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms
from sklearn.datasets import load_digits
from torch.utils.data import ConcatDataset, Subset
from torchvision.datasets import ImageFolder

import classlens
from classlens.check.data_rules import disagreement
from classlens.check.examine import examine
from classlens.check.inspection import Inspection
from classlens.check.rule import choose_rules
from classlens.cli.main import main
from classlens.dataset.near_duplicates import find_pairs, small_copy
from classlens.errors import NotOffered
from tests.check.pictures import KINDS, tiles

TILES = tiles()
COPIES = [small_copy(np.asarray(tile)) for tile in TILES]
RECALL = {"cropped by 5 to 10 % a side": 0.9}


@pytest.mark.parametrize("kind", KINDS)
def test_near_duplicates_of_a_kind_are_found_and_nothing_else_is(kind):
    changed = [small_copy(np.asarray(KINDS[kind](tile))) for tile in TILES]

    pairs = list(find_pairs(COPIES + changed))

    wrong = [pair for pair in pairs if pair.other != pair.one + len(TILES)]
    assert wrong == []
    assert len(pairs) >= RECALL.get(kind, 0.98) * len(TILES)


def test_other_pictures_and_other_digits_are_no_duplicates():
    digits = [cv2.resize((one * 15.9).astype(np.uint8), (64, 64)) for one in load_digits().images]

    assert list(find_pairs(COPIES)) == []
    assert list(find_pairs(digits, [True] * len(digits))) == []


def test_black_pictures_are_not_compared():
    assert list(find_pairs([np.zeros((64, 64), np.uint8)] * 3)) == []
    assert list(find_pairs([])) == []


def found(folder, select="D"):
    result = examine(Inspection(classlens.open_source(f"folder:{folder}")), choose_rules([select]))
    return {one.code: one for one in result.findings}


@pytest.fixture
def healthy(tmp_path):
    """Thirty photos in two classes and two splits."""
    for number, tile in enumerate(TILES[:30]):
        place = tmp_path / ("val" if number % 3 == 0 else "train") / "ab"[number % 2] / f"{number:02}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        tile.save(place, quality=90)
    return tmp_path


def test_healthy_data_are_healthy(healthy):
    assert found(healthy) == {}


def test_the_demo_is_healthy_and_is_checked_within_ten_seconds(capsys):
    assert main(["check", "demo"]) == 0
    assert "demo: nothing found by" in capsys.readouterr().out


def leak(folder):
    KINDS["mirrored"](TILES[1]).save(folder / "val" / "b" / "other.jpg")


def repeat(folder):
    shutil.copy(folder / "train" / "b" / "01.jpg", folder / "train" / "b" / "copy.jpg")


def relabel(folder):
    KINDS["resized to 60 %"](TILES[1]).save(folder / "train" / "a" / "small.jpg")


def save_page(folder):
    (folder / "train" / "a" / "page.jpg").write_text("<html>404</html>")


def cut_off(folder):
    data = (folder / "train" / "a" / "02.jpg").read_bytes()
    (folder / "train" / "a" / "02.jpg").write_bytes(data[: len(data) * 2 // 3])


def damage(folder):
    data = bytearray((folder / "train" / "a" / "02.jpg").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2] = b"\xff\xd3"
    (folder / "train" / "a" / "02.jpg").write_bytes(data)


def turn_by_exif(folder):
    exif = Pillow.Exif()
    exif[0x0112] = 6
    TILES[40].crop((0, 0, 160, 120)).save(folder / "train" / "a" / "phone.jpg", exif=exif)


def make_transparent(folder):
    picture = TILES[40].convert("RGBA")
    picture.putalpha(Pillow.fromarray(np.tile(np.linspace(0, 255, 160).astype(np.uint8), (160, 1))))
    picture.save(folder / "train" / "a" / "logo.png")


def save_16_bits(folder):
    deep = np.asarray(TILES[40].convert("L")).astype(np.uint16) * 257
    cv2.imwrite(str(folder / "train" / "a" / "scan.png"), deep)


def save_12_in_16_bits(folder):
    for path in list(folder.rglob("*.jpg")):
        deep = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.uint16) * 16
        cv2.imwrite(str(path.with_suffix(".png")), deep)
        path.unlink()


def add_an_icon(folder):
    TILES[41].resize((12, 12)).save(folder / "train" / "a" / "icon.png")


def add_a_strip(folder):
    TILES[41].crop((0, 0, 160, 4)).resize((800, 20)).save(folder / "train" / "a" / "strip.png")


FAULTS = {
    leak: ("D003", "1 of 31 pictures are in two splits (train and val)"),
    repeat: ("D004", "1 of 31 pictures are twice in a split"),
    relabel: ("D005", "1 of 31 pictures are there under another label"),
    save_page: ("D001", "text, not a picture"),
    cut_off: ("D001", "1 of 30 pictures cannot be read"),
    damage: ("D002", "1 of 30 pictures are damaged"),
    turn_by_exif: ("D006", "(EXIF orientation): Pillow and cv2 differ in shape"),
    make_transparent: ("D006", "(alpha): Pillow and Pillow on white differ"),
    save_16_bits: ("D006", "(more than 8 bits): Pillow and cv2 differ"),
    save_12_in_16_bits: ("D007", "where 16 bits go to 65535"),
    add_an_icon: ("D008", "such as one of 12 x 12"),
    add_a_strip: ("D008", "such as one of 800 x 20"),
}


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found(plant, healthy):
    code, words = FAULTS[plant]
    plant(healthy)

    findings = found(healthy)

    assert code in findings
    assert words in findings[code].message
    assert findings.keys() <= {code, "D004", "D006"}


def test_a_file_is_counted_once_and_called_the_same_file(healthy):
    train = ImageFolder(healthy / "train")
    bundle = {"train": ConcatDataset([train, Subset(train, [0, 1, 2])]), "val": Subset(train, range(8))}

    result = examine(Inspection(classlens.open_source(bundle)), choose_rules(["D003"]))

    (finding,) = result.findings
    assert finding.message == "8 of 28 pictures are in two splits (train and val)"
    assert finding.where.count("(the same file)") == 3
    assert " = " not in finding.where
    assert finding.evidence == {"pairs": 8, "the same file": 8, "looked at": 28}


def test_harmless_oddities_are_not_found(healthy):
    opaque = TILES[40].convert("RGBA")
    opaque.save(healthy / "train" / "a" / "opaque.png")
    TILES[41].convert("P").save(healthy / "train" / "a" / "palette.png")
    TILES[42].convert("L").save(healthy / "train" / "a" / "grey.jpg")
    TILES[43].convert("CMYK").save(healthy / "train" / "a" / "print.jpg", quality=95)

    assert found(healthy) == {}


def test_a_profile_that_does_not_suit_a_png_is_no_damage(healthy):
    """libpng warns of it, and no loader reads it."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    TILES[42].convert("L").save(healthy / "train" / "a" / "grey.png", icc_profile=profile)

    assert found(healthy) == {}


def test_a_page_shows_the_pairs_side_by_side(healthy, tmp_path, capsys):
    leak(healthy)

    assert main(["check", f"folder:{healthy}", "--select", "D003", "--html", str(tmp_path / "page.html")]) == 1
    assert capsys.readouterr().out.endswith(f"wrote {tmp_path / 'page.html'}\n")

    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/webp") == 1
    assert "other.jpg" in page


def test_data_of_which_no_picture_can_be_read_have_no_usual_size(healthy):
    for path in healthy.rglob("*.jpg"):
        path.write_bytes(path.read_bytes()[:200])

    with pytest.raises(NotOffered, match="no picture can be read"):
        found(healthy, "D008")


def test_a_file_that_one_loader_cannot_read_is_not_read_otherwise(tmp_path):
    """That is damage, which another rule names."""
    TILES[0].save(tmp_path / "cut.jpg")
    content = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])

    assert disagreement(str(tmp_path / "cut.jpg")) == (0.0, "")
