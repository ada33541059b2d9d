"""Datasets that do not lie in plain folders: archives and addresses."""

import functools
import http.server
import io
import shutil
import tarfile
import threading
import zipfile

import pytest

from classlens.adapters import open_source
from classlens.dataset.storage import join_path, read_bytes, reason_of, tar_index
from classlens.dataset.trace import trace
from classlens.errors import DataError, MissingDependency
from tests.dataset.listings import folder as folder
from tests.dataset.listings import listed, opened, pack
from tests.dataset.listings import picture as picture


@pytest.fixture
def address(tmp_path):
    """A web server of the temporary folder."""
    pytest.importorskip("fsspec")
    pytest.importorskip("aiohttp")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives_are_read_without_unpacking_and_mean_what_their_folder_means(kind, folder, tmp_path):
    shutil.make_archive(str(tmp_path / "all"), kind, folder)

    archive = open_source(f"folder:{tmp_path / 'all'}.{kind}").dataset("train")
    plain = open_source(f"folder:{folder}").dataset("train")

    assert archive.classes == plain.classes == ("a", "b", "c")
    assert listed(archive) == listed(plain)
    assert trace(archive, 0).original.image.size == (8, 10)


def test_a_config_may_name_an_archive_and_a_list_of_pictures_in_it(folder, tmp_path):
    shutil.make_archive(str(tmp_path / "all"), "zip", folder.parent, folder.name)
    (tmp_path / "list.txt").write_text("b/2.jpg 1\na/x.png 0\n")
    root = str(tmp_path / "all.zip")

    folders = opened(type="CustomDataset", data_root=root, data_prefix="data", metainfo={"classes": ["x", "y", "z"]})
    lines = opened(type="CustomDataset", data_root=str(tmp_path), data_prefix="all.zip/data", ann_file="list.txt")

    assert folders.class_names(4) == ("z",)
    assert opened(type="CustomDataset", data_root=root, with_label=False).classes is None
    assert listed(lines) == [("2.jpg", 1), ("x.png", 0)]
    assert trace(lines, 1).original.image.size == (8, 10)


def test_a_damaged_missing_or_compressed_archive_is_named(folder, tmp_path):
    (tmp_path / "broken.zip").write_bytes(b"PK nothing")
    packed = shutil.make_archive(str(tmp_path / "packed"), "gztar", folder)
    shutil.copy(packed, tmp_path / "packed.tar")

    for name, message in (
        ("broken.zip", "cannot be opened as a zip file"),
        ("packed.tar", "plain tar file"),
        ("packed.tar.gz", "plain tar file"),
    ):
        with pytest.raises(DataError, match=message):
            open_source(f"folder:{tmp_path / name}").dataset("train")
    with pytest.raises(DataError, match="no such folder, list or archive"):
        open_source(f"folder:{tmp_path / 'gone.zip'}")


def test_a_damaged_member_of_an_archive_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.jpg", bytes(range(256)) * 200)
    data = bytearray((tmp_path / "all.zip").read_bytes())
    data[60:90] = b"\xff" * 30
    (tmp_path / "all.zip").write_bytes(data)

    with pytest.raises(DataError, match=r"all\.zip::a/1\.jpg: cannot be read"):
        open_source(f"folder:{tmp_path / 'all.zip'}").dataset().load(0)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_of_a_tar_file_are_found_where_tarfile_finds_them(form, tmp_path):
    names = ["a/1.jpg", "b c/2.jpg", "é/3.jpg", f"{'long' * 20}/{'name' * 15}.jpg", "empty.jpg"]
    with tarfile.open(tmp_path / "x.tar", "w", format=form) as archive:
        archive.add(tmp_path, "folder", recursive=False)
        for number, name in enumerate(names):
            member = tarfile.TarInfo(name)
            member.size = 700 * (4 - number)
            archive.addfile(member, io.BytesIO(bytes([number]) * member.size))
    for path, kept in (
        (tmp_path / "x.tar", names),
        (pack(tmp_path / "y.tar", {"1.jpg": b"x" * 512, "2": b""}), ["1.jpg", "2"]),
    ):
        with tarfile.open(path) as archive:
            expected = {one.name: (one.offset_data, one.size) for one in archive if one.isfile()}

        assert tar_index(str(path)) == expected
        assert list(expected) == kept


def test_folders_behind_any_address_are_read_through_fsspec(picture):
    system = pytest.importorskip("fsspec").filesystem("memory")
    for name in ("a/1.jpg", "b/2.jpg", ".hidden/3.jpg", "notes.txt"):
        system.pipe(f"/bucket/{name}", picture)

    dataset = open_source("folder:memory://bucket").dataset("train")

    assert dataset.classes == ("a", "b")
    assert dataset.warnings == ("left out: 1 files named *.txt", "left out: 1 hidden files")
    assert trace(dataset, 1).original.image.size == (8, 10)
    with pytest.raises(DataError, match="no such file or folder"):
        open_source("folder:memory://nothing").dataset("train")
    with pytest.raises(DataError, match="protocol not known: gopher"):
        open_source("folder:gopher://x").dataset("train")


def test_lists_and_the_pictures_they_name_may_lie_behind_an_address(picture, tmp_path):
    system = pytest.importorskip("fsspec").filesystem("memory")
    system.pipe("/lists/train/1.jpg", picture)
    system.pipe("/lists/meta/train.txt", b"1.jpg 0\ngone.jpg 1\n")

    by_config = opened(type="ImageNet21k", data_root="memory://lists", split="train")
    system.pipe("/lists/train/list.csv", b"path,label\n1.jpg,0\n")
    alone = open_source("folder:memory://lists/train/list.csv").dataset("train")

    assert listed(by_config) == [("1.jpg", 0), ("gone.jpg", 1)]
    assert trace(by_config, 0).original.image.size == (8, 10)
    with pytest.raises(DataError, match=r"memory://lists/train/gone\.jpg: no such file"):
        by_config.load(1)
    assert trace(alone, 0).original.image.size == (8, 10)


def test_archives_may_lie_behind_an_address(picture, tmp_path):
    system = pytest.importorskip("fsspec").filesystem("memory")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a/1.jpg", picture)
    system.pipe("/packed/all.zip", (tmp_path / "all.zip").read_bytes())
    shard = pack(tmp_path / "shard.tar", {"0.jpg": picture, "0.cls": b"7"})
    system.pipe("/packed/shard.tar", shard.read_bytes())

    for name in ("all.zip", "shard.tar"):
        dataset = open_source(f"folder:memory://packed/{name}").dataset("train")

        assert trace(dataset, 0).original.image.size == (8, 10)


def test_a_web_server_is_read_like_a_folder(folder, address, tmp_path):
    dataset = open_source(f"folder:{address}/data").dataset("train")

    assert listed(dataset) == listed(open_source(f"folder:{folder}").dataset("train"))
    assert trace(dataset, 4).original.image.size == (8, 10)
    with pytest.raises(DataError, match="no such file or folder"):
        open_source(f"folder:{address}/nothing").dataset("train")


def test_a_server_that_does_not_answer_is_named():
    pytest.importorskip("aiohttp")

    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:9/x: Cannot connect"):
        open_source("folder:http://127.0.0.1:9/x").dataset("train")


def test_addresses_without_fsspec_say_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)

    with pytest.raises(MissingDependency, match="fsspec is not installed"):
        open_source("folder:s3://bucket/x").dataset("train")


def test_a_name_that_an_archive_does_not_hold_is_an_error(folder, tmp_path):
    for kind, message in (("tar", "no such file in the archive"), ("zip", "there is no item named 'a/none.jpg'")):
        shutil.make_archive(str(tmp_path / "all"), kind, folder)

        with pytest.raises(DataError, match=message):
            read_bytes(f"{tmp_path / 'all'}.{kind}::a/none.jpg")


def test_an_address_stands_alone_whatever_it_is_joined_to():
    assert join_path("s3://bucket", "memory://lists/a.txt") == "memory://lists/a.txt"
    assert join_path("s3://bucket", "a.txt") == "s3://bucket/a.txt"


def test_what_python_has_no_words_for_is_said_in_those_of_a_user():
    assert reason_of(MemoryError()) == "there is not enough memory for it"
