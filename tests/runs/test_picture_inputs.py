from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import classlens
from classlens.errors import DataError
from classlens.image import Encoding, Image
from tests.cam.conftest import classifier_of, noise_image

CHW = Encoding(layout="CHW")


@pytest.fixture
def gap_classifier():
    torch.manual_seed(0)
    head = (torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 3))
    return classifier_of(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(), *head).eval())


@pytest.fixture
def photo() -> Image:
    return noise_image(32, 48)


@pytest.fixture
def files(photo, tmp_path):
    """A folder with two pictures, one of them broken, and a text."""
    Pillow.fromarray(photo.pixels).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:400])
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def same(maps, expected) -> bool:
    return all(np.allclose(one.values, expected[0].values, atol=1e-6) for one in maps)


def channels_first(image: Image) -> torch.Tensor:
    return torch.from_numpy(image.pixels.copy()).permute(2, 0, 1)


FORMS = {
    "array": lambda photo: (np.asarray(photo), None),
    "array with alpha": lambda photo: (np.dstack([photo.pixels, photo.pixels[..., :1]]), None),
    "array of bytes and several": lambda photo: (np.stack([photo.pixels] * 2), None),
    "array of OpenCV": lambda photo: (photo.pixels[..., ::-1], Encoding(order="BGR")),
    "floats": lambda photo: (photo.pixels / 255, Encoding(white=1.0)),
    "tensor of bytes": lambda photo: (channels_first(photo), CHW),
    "tensor of floats": lambda photo: (channels_first(photo) / 255, Encoding(layout="CHW", white=1.0)),
    "batch": lambda photo: ((channels_first(photo)[None] / 255).requires_grad_(), Encoding(layout="CHW", white=1.0)),
    "bfloat16": lambda photo: (channels_first(photo).bfloat16(), CHW),
    "Pillow": lambda photo: (Pillow.fromarray(photo.pixels), None),
    "Pillow with alpha": lambda photo: (Pillow.fromarray(photo.pixels).convert("RGBA"), None),
    "several forms": lambda photo: ([photo, Pillow.fromarray(photo.pixels), (photo.pixels,)], None),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_picture_gives_the_same_map(gap_classifier, photo, form):
    given, encoding = FORMS[form](photo)

    maps = classlens.explain(gap_classifier, given, encoding=encoding)

    assert same(maps, classlens.explain(gap_classifier, photo))


def test_paths_patterns_and_folders_are_read_and_maps_know_the_names(gap_classifier, photo, files):
    expected = classlens.explain(gap_classifier, photo)

    for given in (files / "a.png", str(files / "a.png"), str(files / "a*.png"), [files / "a.png"]):
        maps = classlens.explain(gap_classifier, given)
        assert same(maps, expected)
        assert [one.image.name for one in maps] == [str(files / "a.png")]


def test_bad_files_of_a_folder_are_counted_and_named(gap_classifier, files):
    with pytest.warns(UserWarning, match=r"1 of 2 pictures could not be read; .*b\.png: truncated PNG"):
        maps = classlens.explain(gap_classifier, files)

    assert len(maps) == 1
    assert len(maps.bad) == 1
    assert repr(maps).startswith("Explanation of 1 map:\n")
    assert repr(maps).endswith(f"bad: {maps.bad[0]}")


def test_a_single_bad_file_or_a_missing_one_is_an_error(gap_classifier, files):
    with pytest.raises(DataError, match=r"b\.png: truncated PNG"):
        classlens.explain(gap_classifier, files / "b.png")
    with pytest.raises(DataError, match="no such picture"):
        classlens.explain(gap_classifier, files / "c.png")


def test_numbers_in_the_encoding_of_the_classifier_are_fed_as_they_are(gap_classifier, photo):
    def prepare(image: Image) -> Image:
        return Image(np.ascontiguousarray(image.pixels[4:20, 8:24]))

    cropping = replace(gap_classifier, prepare=prepare)
    ready = torch.from_numpy(cropping.encoding.encode(prepare(photo)))

    (fed,) = classlens.explain(cropping, ready, encoding=cropping.encoding)
    (expected,) = classlens.explain(cropping, photo)

    assert fed.image.size == (16, 16)
    np.testing.assert_allclose(fed.values, expected.values, atol=1e-6)


def test_a_picture_of_pillow_is_upright_and_keeps_the_high_byte_of_16_bits(gap_classifier, photo, tmp_path):
    turned = Pillow.fromarray(photo.pixels).transpose(Pillow.Transpose.ROTATE_90)
    exif = turned.getexif()
    exif[0x112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    grey = photo.pixels[..., 0]

    with Pillow.open(tmp_path / "turned.png") as stored:
        assert same(classlens.explain(gap_classifier, stored), classlens.explain(gap_classifier, photo))
    deep = Pillow.fromarray(grey.astype(np.uint16) * 256 + 7)
    assert same(classlens.explain(gap_classifier, deep), classlens.explain(gap_classifier, grey))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_a_picture_of_pillow_without_a_known_range_needs_an_encoding(gap_classifier, photo, mode):
    picture = Pillow.fromarray(photo.pixels[..., 0]).convert(mode)

    with pytest.raises(DataError, match=f"images: a picture of mode {mode}: .* could be encoded in several ways"):
        classlens.explain(gap_classifier, picture)
    read = classlens.explain(gap_classifier, picture, encoding=Encoding())
    assert same(read, classlens.explain(gap_classifier, photo.pixels[..., 0]))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (torch.zeros(3, 8, 8), DataError, "images: a tensor of float32, 3 x 8 x 8, could be encoded in several ways"),
        (
            [np.zeros((8, 8, 3), np.uint8), torch.zeros(3, 8, 8, dtype=torch.uint8)],
            DataError,
            r"images\[1\]: a tensor of uint8",
        ),
        ({}, TypeError, "images: a dict is no picture"),
        (None, TypeError, "images: a NoneType is no picture"),
        (b"\xff\xd8", TypeError, "a bytes is no picture"),
        ([], ValueError, "at least one picture"),
    ],
)
def test_what_is_not_known_for_sure_is_refused_by_its_place(gap_classifier, given, error, message):
    with pytest.raises(error, match=message):
        classlens.explain(gap_classifier, given)


def test_a_network_is_not_yet_a_classifier(photo):
    with pytest.raises(TypeError, match=r"takes a Classifier, not a Linear: classlens\.open_source"):
        classlens.explain(torch.nn.Linear(2, 2), photo)


def test_a_picture_of_pillow_that_is_cut_off_is_refused_by_its_place(gap_classifier, photo, tmp_path):
    Pillow.fromarray(photo.pixels).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:-60])

    with Pillow.open(tmp_path / "cut.png") as cut, pytest.raises(DataError, match=r"images\[1\]: Pillow cannot read"):
        classlens.explain(gap_classifier, [photo, cut])
