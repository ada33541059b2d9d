import re

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from classlens.dataset.decode import damage_in, decode, read_header, read_image, salvage
from classlens.dataset.listing import LoadImageFromFile
from classlens.dataset.storage import read_bytes
from classlens.errors import DataError
from tests.dataset.bad_pictures import CASES, HEIGHT, JPEG, WIDTH, make, photo, saved, turned

GOOD = [case for case in CASES if case.size]
BAD = [case for case in CASES if not case.size and "OpenCV" not in case.reason]


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_a_readable_file_of_any_kind_becomes_an_upright_rgb_picture(case, tmp_path):
    image = read_image(make(case, tmp_path))

    assert image.size == case.size


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_an_unreadable_file_is_named_with_its_reason(case, tmp_path):
    path = make(case, tmp_path)

    with pytest.raises(DataError, match=case.reason) as caught:
        read_image(path)

    assert str(path) in str(caught.value)


@pytest.mark.parametrize("case", [case for case in GOOD if case.remark and not case.reason], ids=lambda case: case.name)
@pytest.mark.parametrize("backend", ["cv2", "pillow"])
def test_what_other_loaders_would_see_differently_is_said(case, backend, tmp_path):
    path = make(case, tmp_path)

    state = LoadImageFromFile(imdecode_backend=backend).state(read_bytes(str(path)), str(path))

    assert any(case.remark in remark for remark in state.remarks), state.remarks


@pytest.mark.parametrize("case", [case for case in GOOD if case.reason], ids=lambda case: case.name)
@pytest.mark.parametrize("backend", ["cv2", "pillow"])
def test_damage_that_decoders_repair_is_never_silent(case, backend, tmp_path):
    path = make(case, tmp_path)
    loader = LoadImageFromFile(imdecode_backend=backend)

    try:
        told = damage_in(loader.state(read_bytes(str(path)), str(path)).remarks)
    except DataError as error:
        told = str(error)

    assert re.search("checksum|CRC|Corrupt JPEG data|damaged JPEG", told)


@pytest.mark.parametrize("case", [case for case in GOOD if not case.remark], ids=lambda case: case.name)
def test_nothing_is_said_about_ordinary_files(case, tmp_path):
    path = make(case, tmp_path)

    assert LoadImageFromFile().state(read_bytes(str(path)), str(path)).remarks == ()


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(any program) print\n%%EOF\n"
IN_DOS = b"\xc5\xd0\xd3\xc6" + (30).to_bytes(4, "little") + len(POSTSCRIPT).to_bytes(4, "little") + bytes(18)


@pytest.mark.parametrize("kind", ["gs that answers", "gs that fails"])
@pytest.mark.parametrize("data", [POSTSCRIPT, IN_DOS + POSTSCRIPT], ids=["plain", "with a preview's header"])
def test_no_picture_starts_ghostscript(data, kind, tmp_path, monkeypatch):
    EpsImagePlugin = pytest.importorskip("PIL.EpsImagePlugin")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # looked for anew
    program, calls = tmp_path / "bin" / "gs", tmp_path / "calls"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho $@ >> {calls}\necho 10.02.1\nexit {int('fails' in kind)}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    path = tmp_path / "x.jpg"
    path.write_bytes(data)

    with pytest.raises(DataError, match=r"x\.jpg: PostScript, not a picture"):
        read_image(path)

    assert salvage(data) is None
    assert not calls.exists()


def test_the_red_corner_is_where_exif_says(tmp_path):
    (tmp_path / "turned.jpg").write_bytes(turned(6))

    image = read_image(tmp_path / "turned.jpg")

    red, green, blue = image.pixels[5, HEIGHT - 6].astype(int)
    assert red > 200
    assert green < 60
    assert blue < 60


def test_an_unreadable_file_is_reported_without_permission(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)

    with pytest.raises(DataError, match="no permission"):
        read_bytes(str(tmp_path / "a.jpg"))


def test_the_pixel_limit_can_be_set(tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG)

    with pytest.raises(DataError, match=f"claims {WIDTH} x {HEIGHT}"):
        read_image(tmp_path / "a.jpg", max_pixels=100)


def test_the_upper_half_of_a_truncated_picture_can_be_salvaged(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    Pillow.fromarray(noise).save(tmp_path / "a.jpg", quality=95)
    data = (tmp_path / "a.jpg").read_bytes()

    rescued = salvage(data[: len(data) // 2])

    assert rescued is not None
    np.testing.assert_array_equal(rescued.pixels[:100], np.array(Pillow.open(tmp_path / "a.jpg"))[:100])


def test_nothing_is_salvaged_from_what_is_no_picture():
    assert salvage(b"nothing") is None


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "rotated here, not by Pillow"),
        ({"imdecode_backend": "pillow"}, "rotated here, not by Pillow"),
        ({"color_type": "color_ignore_orientation"}, "not rotated here"),
        ({"color_type": "unchanged"}, "not rotated here"),
    ],
    ids=str,
)
def test_whether_a_picture_was_turned_is_said_as_its_pixels_show_it(settings, told):
    state = LoadImageFromFile(**settings).state(turned(6), "a.jpg")

    assert f"EXIF orientation 6: {told}" in state.remarks[0]
    assert (state.pixels.shape[:2] == (WIDTH, HEIGHT)) == (not told.startswith("not"))


def test_a_picture_that_only_pillow_refuses_as_too_large_is_said_to_be_so(monkeypatch):
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 1000)

    with pytest.raises(DataError, match=f"a.jpg: Pillow refuses this JPEG RGB {WIDTH} x {HEIGHT} as too large"):
        LoadImageFromFile(imdecode_backend="pillow").state(JPEG, "a.jpg")


def test_headers_are_read_where_pillow_keeps_its_tiles_as_plain_tuples(monkeypatch):
    """As Pillow 10 does, which is allowed."""
    open_now = Pillow.open

    def open_as_pillow_10(file, **options):
        picture = open_now(file, **options)
        picture.tile = [tuple(tile) for tile in picture.tile]
        return picture

    monkeypatch.setattr(Pillow, "open", open_as_pillow_10)

    header = read_header(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint16))[1].tobytes())

    assert header.oddities[0].startswith("more than 8 bits")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"color_type": "colour"}, "color_type is one of .*, not 'colour'"),
        ({"imdecode_backend": "turbojpeg"}, "imdecode_backend is cv2 or pillow here, not 'turbojpeg'"),
        ({"file_client_args": {}, "backend_args": {}}, "two names of one thing"),
    ],
)
def test_a_loader_is_refused_what_it_cannot_do(settings, message):
    with pytest.raises(ValueError, match=message):
        LoadImageFromFile(**settings)


def test_a_png_chunk_that_claims_more_than_a_picture_may_have_is_not_given_to_opencv():
    png = saved(photo(), "PNG")
    claiming = png[:33] + (2**31).to_bytes(4, "big") + png[37:]

    with pytest.raises(DataError, match="damaged PNG: a chunk of 2,147,483,648 bytes"):
        decode(claiming)
