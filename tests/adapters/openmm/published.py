"""Small copies of published datasets: their lists as published, pictures left out."""

from pathlib import Path

import numpy as np


def fill(root: Path, files: dict[str, str]) -> Path:
    """Write text files."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def save_matlab(path: Path, **variables: object) -> None:
    """A MATLAB file."""
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, variables)


def structs(**columns: list[object]) -> np.ndarray:
    """A MATLAB array of structs."""
    rows = list(zip(*columns.values(), strict=True))
    found = np.empty((1, len(rows)), dtype=[(name, object) for name in columns])
    for number, row in enumerate(rows):
        found[0, number] = tuple(row)
    return found


def cub(root: Path) -> Path:
    return fill(
        root,
        {
            "images.txt": "1 001.Crow/a.jpg\n2 002.Owl/b.jpg\n3 002.Owl/c.jpg\n",
            "image_class_labels.txt": "1 1\n2 2\n3 2\n",
            "train_test_split.txt": "1 1\n2 0\n3 1\n",
        },
    )


def caltech101(root: Path) -> Path:
    lists = {
        "meta/train.txt": "Faces/image_1.jpg 1\naccordion/image_2.jpg 5\n",
        "meta/test.txt": "Faces/image_3.jpg 1\n",
    }
    return fill(root, lists)


def food101(root: Path, names: list[str]) -> Path:
    lists = {"train": f"{names[0]}/10\n{names[-1]}/11\n", "test": f"{names[1]}/12\n"}
    return fill(root, {"meta/classes.txt": "\n".join(names)} | {f"meta/{key}.txt": text for key, text in lists.items()})


def aircraft(root: Path, names: list[str]) -> Path:
    lists = {"train": (3, 0), "val": (5, 1), "trainval": (3, 0, 5, -1), "test": (9, 2)}
    files = {"data/variants.txt": "\n".join(names)}
    for key, pairs in lists.items():
        rows = zip(pairs[::2], pairs[1::2], strict=True)
        files[f"data/images_variant_{key}.txt"] = "".join(f"{number:07d} {names[place]}\n" for number, place in rows)
    return fill(root, files)


def pets(root: Path) -> Path:
    lists = {"trainval": "Abyssinian_100 1 1 1\namerican_bulldog_7 2 2 1\n", "test": "american_bulldog_8 2 2 1\n"}
    return fill(root, {f"annotations/{key}.txt": text for key, text in lists.items()})


def sun397(root: Path) -> Path:
    """The published names lie under their first letter, some in a folder of their own."""
    lists = {"Training": "/a/abbey/sun_1.jpg\n/a/alley/sun_2.jpg\n", "Testing": "/a/airplane_cabin/sun_3.jpg\n"}
    names = (
        "/a/abbey\n/a/airplane_cabin\n/a/airport_terminal\n/a/alley\n/a/amphitheater\n/a/apartment_building/outdoor\n"
    )
    files = {f"Partitions/{key}_01.txt": text for key, text in lists.items()}
    return fill(root, {"Partitions/ClassName.txt": names, **files})


def inshop(root: Path) -> Path:
    rows = [("a/1", "id_7", "train"), ("b/2", "id_3", "train"), ("b/3", "id_7", "train"), ("c/4", "id_9", "gallery")]
    rows += [("c/5", "id_9", "query"), ("c/6", "id_9", "gallery")]
    lines = [f"img/{name}.jpg {item} {split}" for name, item, split in rows]
    heading = f"{len(rows)}\nimage_name item_id evaluation_status\n"
    return fill(root, {"Eval/list_eval_partition.txt": heading + "\n".join(lines) + "\n"})


def dtd(root: Path) -> Path:
    names = np.array(["banded/b1.jpg", "blotchy/b2.jpg", "braided/b3.jpg", "banded/b4.jpg"], dtype=object)
    images = {"name": names, "class": [1, 2, 3, 1], "set": [1, 2, 3, 1]}
    save_matlab(root / "imdb" / "imdb.mat", images=images)
    return root


def flowers102(root: Path) -> Path:
    save_matlab(root / "imagelabels.mat", labels=[3, 1, 2, 2, 1])
    save_matlab(root / "setid.mat", trnid=[5, 1], valid=[2, 3], tstid=[4, 2])
    return root


NAMES = np.array(["AM General Hummer SUV 2000", "Acura RL Sedan 2012"], dtype=object)


def cars(root: Path) -> Path:
    """The layout with one file for both splits."""
    rows = {
        "relative_im_path": ["car_ims/1.jpg", "car_ims/2.jpg", "car_ims/3.jpg"],
        "class": [2, 1, 2],
        "test": [0, 1, 0],
    }
    save_matlab(root / "cars_annos.mat", annotations=structs(**rows), class_names=NAMES)
    return root


def cars_devkit(root: Path) -> Path:
    """The layout of the devkit."""
    for name, rows in (("cars_train_annos", [2, 1, 2]), ("cars_test_annos_withlabels", [1, 2])):
        files = [f"{number:05d}.jpg" for number, _ in enumerate(rows, start=1)]
        save_matlab(root / "devkit" / f"{name}.mat", annotations=structs(**{"class": rows, "fname": files}))
    save_matlab(root / "devkit" / "cars_meta.mat", class_names=NAMES)
    return root
