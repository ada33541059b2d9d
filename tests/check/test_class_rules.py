"""Faults of class order planted between digits and a trained network, and healthy twins of all kinds."""

import unicodedata
from time import monotonic

import numpy as np
import pytest

from classlens.adapters import open_source
from classlens.check.class_order import judge_order, natural
from classlens.check.examine import examine
from classlens.check.inspection import Inspection
from classlens.check.rule import choose_rules
from classlens.cli.main import main
from classlens.errors import NotOffered
from classlens.files import PHOTOS
from classlens.image import Image
from tests.check.planted import DIGITS, Setup, digits, sorted_names, trained_network

NUMBERED = tuple(f"class{number}" for number in (3, 10, 1, 7, 2, 9, 4, 8, 5, 6))
FRUIT = ("Zwetschge", "apple", "Banana", "cherry", "Date", "elder", "Fig", "grape", "Haw", "iris")
ACCENTS = ("Äpfel", "Zucchini", "Ähre", "Birne", "Öl", "Mais", "Über", "Reis", "Salz", "Tee")


def decompose(name):
    return unicodedata.normalize("NFD", name)


def listed(names, key):
    """Data whose classes are sorted so."""
    return {"names": tuple(sorted(names, key=key)), "of_data": sorted_names(names, key)}


def codes(setup, select="C", **more):
    return examine(Inspection(setup.source(), **more), choose_rules(select.split(","))).findings


SHUFFLED = tuple(np.random.default_rng(3).permutation(10).tolist())
FAULTS = {
    "network natural, data by letters": (
        Setup(sorted_names(NUMBERED, natural), **listed(NUMBERED, str)), "sorted naturally (class2 before class10)"),
    "network by letters, data natural": (
        Setup(sorted_names(NUMBERED, str), **listed(NUMBERED, natural)), "sorted letter by letter (class10 before"),
    "case": (Setup(sorted_names(FRUIT, str.casefold), **listed(FRUIT, str)), "sorted whatever their case"),
    "Unicode": (
        Setup(sorted_names(ACCENTS, decompose), **listed(ACCENTS, str)), "sorted with decomposed letters (Unicode NFD)"),
    "background in front": (Setup(tuple(range(1, 11)), outputs=11), "a class in front that the data lack"),
    "labels count from 1": (Setup(of_data=tuple(range(1, 11))), "the labels count from 1"),
    "0 is 10, as in SVHN": (
        Setup(of_data=(9, *range(9)), names=(*DIGITS[1:], DIGITS[0])), "the last of the data is the network's first"),
    "a folder is missing": (
        Setup(of_data=(0, 1, 2, 3, 4, 4, 5, 6, 7, 8), without=4), "the data lack a class that the network knows"),
    "a folder was missing in training": (
        Setup(tuple(range(9)), outputs=9, network=trained_network(without=4)), "class 4; all labels from there on"),
    "two lines exchanged": (Setup(of_data=(0, 1, 7, 3, 4, 5, 6, 2, 8, 9)), "the classes 2 and 7 are exchanged"),
    "opposite order": (Setup(tuple(range(9, -1, -1))), "the opposite order"),
    "os.listdir": (Setup(SHUFFLED), "another order that has no name"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_order_is_found_and_its_cause_is_named(name):
    setup, cause = FAULTS[name]

    (finding,) = codes(setup, "C003")

    assert cause in finding.message
    assert finding.evidence["p"] < 1e-6
    assert finding.evidence["right in that order"] > 0.8 > finding.evidence["right as labelled"]
    assert finding.pictures


@pytest.mark.parametrize("steps", [0, 3, 10, 30, 120])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("samples", [60, 300])
def test_a_network_that_knows_the_order_raises_no_alarm_however_little_it_learnt(seed, steps, samples):
    setup = Setup(names=DIGITS, network=trained_network(seed, steps))

    assert codes(setup, samples=samples) == ()


def test_answers_at_random_in_few_and_skewed_classes_raise_no_alarm():
    alarms = 0
    for seed in range(300):
        random = np.random.default_rng(seed)
        classes = int(random.choice([2, 3, 10, 50]))
        labels = random.choice(classes, 300, p=random.dirichlet(np.full(classes, 1.0)))
        knows = random.random(300) < random.uniform(0, 1)
        answers = np.where(knows, labels, random.integers(0, classes, 300))
        alarms += judge_order(labels, answers, classes, [f"c{number}" for number in range(classes)]) is not None

    assert alarms == 0


def test_one_answer_to_everything_is_no_other_order():
    labels = np.repeat([0, 1], [20, 180])

    assert judge_order(labels, np.zeros(200, np.int64), 2, None) is None


def test_a_thousand_classes_take_less_than_two_seconds():
    random = np.random.default_rng(0)
    labels = np.arange(500) * 2
    answers = np.where(random.random(500) < 0.7, labels + 1, random.integers(0, 1001, 500))

    began = monotonic()
    verdict = judge_order(labels, answers, 1001, [f"n{number}" for number in range(1000)])

    assert monotonic() - began < 2
    assert "a class in front" in verdict.order.cause


def test_a_head_of_another_size_is_an_error():
    (finding,) = codes(Setup(names=DIGITS, outputs=1000), "C001")

    assert finding.message == "the network tells 1000 classes apart, the data have 10"
    assert finding.severity == "error"


CONFIG = """
model = dict(type="ImageClassifier", backbone=dict(type="ResNet", depth=18), head=dict(type="LinearClsHead", num_classes={}))
loading = dict(dataset=dict(type="CustomDataset", data_prefix="photos", pipeline=[dict(type="LoadImageFromFile")]), batch_size=2)
train_dataloader = val_dataloader = loading
train_cfg, optim_wrapper = dict(max_epochs=1), dict(optimizer=dict(type="SGD", lr=0.1))
"""


@pytest.mark.parametrize("start", ["", "load_from = 'nowhere.pth'"])
@pytest.mark.parametrize("outputs", [1000, 3])
def test_a_head_is_compared_with_the_data_before_there_are_weights(tmp_path, outputs, start):
    for name in ("apple", "pear", "plum"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.png").write_bytes((PHOTOS / "coffee.png").read_bytes())
    (tmp_path / "own.py").write_text(CONFIG.format(outputs).replace('"photos"', repr(f"{tmp_path}/photos")) + start)

    found = examine(Inspection(open_source(str(tmp_path / "own.py"))), choose_rules(["C001"]))

    expected = ["the network tells 1000 classes apart, the data have 3"] if outputs == 1000 else []
    assert ([one.message for one in found.findings], found.skipped) == (expected, ())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((*DIGITS[:3], "tree", *DIGITS[4:]), "class 3 is 'tree' there, and 'three' in the data"),
        (tuple(sorted(DIGITS)), "it has them in another order, sorted letter by letter"),
        (tuple(name.title() + " " for name in DIGITS), None),
        (tuple(f"{name}, numeral" for name in DIGITS), None),
        (tuple(f"n{number:05}" for number in range(10)), None),
    ],
)
def test_names_of_classes_are_compared_as_people_write_them(names, message):
    findings = codes(Setup(names=DIGITS, network_names=names), "C001,C002", checkpoint=__file__)

    assert [message in finding.message for finding in findings] == [True] * (message is not None)


def test_weights_for_other_classes_are_a_start_of_training_and_no_mistake():
    setup = Setup(names=DIGITS, network_names=tuple(f"animal {number}" for number in range(20)), outputs=20)

    result = examine(Inspection(setup.source()), choose_rules(["C"]))

    assert result.findings == ()
    assert {skip.code for skip in result.skipped} == {"C001", "C002", "C003"}
    assert "give the trained checkpoint" in result.skipped[0].why


def write_folder(place, counts):
    for (split, name), count in counts.items():
        (place / split / name).mkdir(parents=True)
        for number in range(count):
            Image(digits()[0][number]).save(place / split / name / f"{number}.png")


def test_splits_that_number_their_folders_otherwise_are_found(tmp_path, capsys):
    write_folder(
        tmp_path, {(split, name): 6 for split in ("train", "val") for name in "abc" if (split, name) != ("val", "b")}
    )

    assert main(["check", f"folder:{tmp_path}", "--select", "C"]) == 1

    assert "train and val list other classes: val lacks 'b'; 1 classes have other numbers" in capsys.readouterr().out


def test_empty_and_tiny_classes_are_found_and_a_long_tail_is_not(tmp_path, capsys):
    write_folder(
        tmp_path / "bad", {("train", "cat"): 60, ("train", "dog"): 50, ("train", "dgo"): 2, ("train", "eel"): 0}
    )
    write_folder(
        tmp_path / "tail", {("train", name): count for name, count in zip("abcdef", (60, 40, 20, 9, 6, 4), strict=True)}
    )

    assert main(["check", f"folder:{tmp_path / 'bad'}", "--select", "C"]) == 1
    out = capsys.readouterr().out
    assert "1 of 4 classes have no picture in train: 'eel'" in out
    assert "fewer than 5 pictures in train, half of the others at least 50: 'dgo'" in out
    assert main(["check", f"folder:{tmp_path / 'tail'}", "--select", "C"]) == 0


def test_labels_that_are_no_classes_are_found():
    train, val = codes(Setup(of_data=tuple(range(1, 11)), names=DIGITS), "C004")

    assert train.message == "122 pictures of train are labelled 10, and classes go from 0 to 9"
    assert "of val are labelled 10" in val.message


def test_labels_below_nought_have_no_order():
    with pytest.raises(NotOffered, match="labels below 0 are no classes"):
        codes(Setup(of_data=tuple(range(-1, 9)), names=DIGITS), "C003")
