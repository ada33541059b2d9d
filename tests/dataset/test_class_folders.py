"""Folders, archives and shards as listings."""

import os
import zipfile
from pathlib import Path

import pytest

from classlens.adapters import open_source
from classlens.adapters.folder import entries_of
from classlens.dataset.class_folders import scan_folder
from classlens.dataset.listing import listed_first
from classlens.dataset.trace import trace
from classlens.errors import ConfigError, DataError
from tests.dataset.listings import counted, listed, opened, pack, write
from tests.dataset.listings import folder as folder
from tests.dataset.listings import picture as picture


def test_classes_and_files_come_in_the_order_of_training(folder):
    dataset = opened(type="CustomDataset", data_root=str(folder))

    assert dataset.classes == ("a", "b", "c")
    assert listed(dataset) == [("er.png", 0), ("x.png", 0), ("1.JPG", 1), ("2.jpg", 1), ("z.bmp", 2)]
    assert dataset.warnings == ()
    assert counted({"type": "CustomDataset", "data_root": str(folder)}) == 5


def test_prefix_and_root_are_joined(folder):
    for settings in (
        {"data_root": str(folder.parent), "data_prefix": "data"},
        {"data_root": str(folder.parent), "data_prefix": {"img_path": "data"}},
        {"data_prefix": str(folder)},
        {"data_root": "elsewhere", "data_prefix": str(folder)},
    ):
        assert opened(type="CustomDataset", **settings).length == 5


def test_hidden_folders_never_become_classes_and_nothing_is_left_out_in_silence(folder):
    write(folder / ".ipynb_checkpoints" / "x.jpg")
    write(folder / "a" / "._m.jpg")
    (folder / "a" / "notes.txt").write_text("x")
    (folder / "a" / "new.webp").write_text("x")
    (folder / "a" / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "a" / "loop").symlink_to(folder / "a")
    (folder / "b" / "self").symlink_to(folder / "b" / "self")
    (folder / "empty").mkdir()

    dataset = opened(type="CustomDataset", data_root=str(folder))

    assert dataset.classes == ("a", "b", "c", "empty")
    assert dataset.length == 5
    told = "\n".join(dataset.warnings)
    for part in (".ipynb_checkpoints", "hidden files", "*.txt", "*.webp", "broken link", "circular", "empty"):
        assert part in told


def test_an_unreadable_class_folder_does_not_end_the_listing(folder, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)

    dataset = opened(type="CustomDataset", data_root=str(folder))

    assert dataset.length == 3
    assert any("no permission to read it" in warning for warning in dataset.warnings)


def test_a_missing_or_empty_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no such folder: .*nowhere"):
        opened(type="CustomDataset", data_root=str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="no picture in the folders of"):
        opened(type="CustomDataset", data_root=str(tmp_path))
    with pytest.raises(ConfigError, match="one of data_root"):
        opened(type="CustomDataset")


def test_class_names_of_the_config_win_and_a_wrong_number_is_said(folder, tmp_path):
    (tmp_path / "names.txt").write_text("ant\nbee\ncat\n")

    by_list = opened(type="CustomDataset", data_root=str(folder), metainfo={"classes": ["ant", "bee"]})
    by_file = opened(
        type="CustomDataset", data_root=str(folder), classes=None, metainfo={"classes": str(tmp_path / "names.txt")}
    )

    assert by_list.class_names(4) == ("2 (no such class)",)
    assert by_list.warnings == ("training stops here: 3 class folders, but 2 class names in the config",)
    assert by_file.class_names(4) == ("cat",)


def renamed(folder, *names):
    for before, after in zip("abc", names, strict=True):
        (folder / before).rename(folder / after)
    return folder


ORDER = "class names in another order than the folders: class 0 is the folder 'ant', but it is called 'bee' and 1 more"

SLIPS = {
    "another order": (["bee", "ant", "zebra"], ORDER),
    "another order and other capitals": (["Bee", "Ant", "Zebra"], ORDER.replace("bee", "Bee")),
    "misspelt": (["ant", "bee", "zbra"], "class names that differ from their folders: 'zbra' for 'zebra'"),
    "translated": (["Ameise", "Biene", "Zebra"], ""),
    "other words": (["x", "y", "z"], ""),
    "the same but for capitals": (["Ant", "BEE", "zebra"], ""),
}


@pytest.mark.parametrize(("names", "word"), SLIPS.values(), ids=SLIPS.keys())
def test_names_that_do_not_fit_their_folders_get_a_word(names, word, folder, tmp_path):
    renamed(folder, "ant", "bee", "zebra")
    (tmp_path / "list.txt").write_text("ant/1.png 0\nbee/1.png 1\nzebra/1.png 2\nant/2.png 0\n")
    settings = {"type": "CustomDataset", "data_root": str(tmp_path), "data_prefix": "data"}

    by_folder = opened(**settings, metainfo={"classes": names})
    by_list = opened(**settings, metainfo={"classes": names}, ann_file="list.txt")

    assert by_folder.warnings == by_list.warnings == ((word,) if word else ())
    assert by_folder.classes == by_list.classes == tuple(names)


def test_an_unlabelled_folder_has_no_classes(folder):
    dataset = opened(type="CustomDataset", data_root=str(folder), with_label=False)

    assert dataset.length == 5
    assert dataset.classes is None
    assert dataset.class_names(0) == ()


def test_a_folder_needs_no_config(folder):
    source = open_source(f"folder:{folder}")

    dataset = source.dataset("train")

    assert source.parts == ("dataset",)
    assert dataset.length == 5
    assert dataset.class_names(0) == ("a",)
    assert trace(dataset, 0).original.image.size == (8, 10)


def test_a_folder_with_splits_and_a_flat_one_are_understood(tmp_path):
    write(tmp_path / "split" / "train" / "a" / "1.png")
    write(tmp_path / "split" / "val" / "a" / "2.png")
    write(tmp_path / "flat" / "3.webp")

    assert Path(open_source(f"folder:{tmp_path / 'split'}").dataset("val").sample(0).path).name == "2.png"
    assert open_source(f"folder:{tmp_path / 'flat'}").dataset("train").classes is None
    with pytest.raises(DataError, match="no such folder, list or archive"):
        open_source(f"folder:{tmp_path / 'none'}")


def test_shards_carry_their_labels_beside_the_pictures(picture, tmp_path):
    for shard in range(2):
        members = {"0.jpg": picture, "0.cls": b"7", "1.v.jpg": picture, "1.json": b'{"label": 3}'}
        pack(tmp_path / f"shard-{shard}.tar", {f"{shard}{name}": content for name, content in members.items()})

    dataset = open_source(f"folder:{tmp_path / 'shard-*.tar'}").dataset("train")

    assert [dataset.sample(index).labels for index in range(4)] == [(7,), (3,), (7,), (3,)]
    assert trace(dataset, 3).original.image.size == (8, 10)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("1.cls", b"cat", "no label: 1.cls holds 'cat'"),
        ("1.json", b'{"caption": "x"}', "no label: 1.json holds"),
        ("2.cls", b"5", "no label: the shard has no 1.cls or 1.json"),
    ],
)
def test_a_label_that_a_shard_lacks_is_told_with_its_picture(name, content, told, picture, tmp_path):
    pack(tmp_path / "shard.tar", {"0.jpg": picture, "0.cls": b"1", "1.jpg": picture, name: content})
    dataset = open_source(f"wds:{tmp_path / 'shard.tar'}").dataset("train")

    good, bad = trace(dataset, 0), trace(dataset, 1)

    assert good.remarks == ()
    assert bad.class_names == ()
    assert bad.remarks[0].startswith(told)


def test_folders_that_hold_everything_are_no_classes_and_splits_are_understood(picture, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in ("train/a/1.jpg", "train/b/c/2.jpg", "val/a/3.jpg", "train/.ipynb_checkpoints/4.jpg", "notes.md"):
            archive.writestr(f"photos/{name}", picture)
        archive.writestr("__MACOSX/photos/train/a/._1.jpg", b"nothing")

    train = open_source(f"folder:{tmp_path / 'all.zip'}").dataset("train")
    val = open_source(f"folder:{tmp_path / 'all.zip'}").dataset("val")
    inner = open_source(f"folder:{tmp_path / 'all.zip'}/photos/train").dataset("train")

    assert listed(train) == listed(inner) == [("1.jpg", 0), ("2.jpg", 1)]
    assert train.classes == inner.classes == ("a", "b")
    assert listed(val) == [("3.jpg", 0)]
    assert train.warnings == ("left out: 1 files named *.md", "left out: 2 hidden files")


def test_a_picture_is_no_dataset(folder):
    with pytest.raises(DataError, match=r"2\.jpg: neither a folder nor a list") as caught:
        open_source(f"folder:{folder / 'b' / '2.jpg'}").dataset("train")

    assert caught.value.hint == "give the folder it lies in"


def test_a_first_look_is_the_beginning_of_the_whole(tmp_path):
    """A folder of a million pictures is shown before it is listed: with the same numbers, labels and names."""
    for number in range(30):
        place = tmp_path / f"class{number % 3}" / f"{number:02}.jpg"
        place.parent.mkdir(exist_ok=True)
        place.touch()
    whole = scan_folder(str(tmp_path)).listing()

    with listed_first(15) as looked:
        first = scan_folder(str(tmp_path)).listing()
    with listed_first(1000) as all_of_it:
        every = scan_folder(str(tmp_path)).listing()

    assert (looked.is_cut, first.length, first.classes) == (True, 20, whole.classes)
    assert [first.sample(index) for index in range(20)] == [whole.sample(index) for index in range(20)]
    assert (all_of_it.is_cut, every.length) == (False, 30)


def test_a_folder_that_is_gone_is_one_error(tmp_path):
    for read in (scan_folder, entries_of):
        with pytest.raises(DataError, match="gone: no such file or folder"):
            read(str(tmp_path / "gone"))


def test_a_label_in_a_shard_that_cannot_be_read_is_told(picture, tmp_path):
    shard = pack(tmp_path / "shard.tar", {"0.jpg": picture, "0.cls": b"1"})
    dataset = open_source(f"wds:{shard}").dataset("train")
    shard.unlink()

    assert dataset.sample(0).labels == ()
    assert dataset.sample(0).trouble.startswith("no label: ")
