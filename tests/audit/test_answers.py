"""Planted faults are found and named, and clean data stay clean; networks are really trained, each once."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

import classlens
from classlens.audit import audit, label_errors
from classlens.audit.answers import Answer, Answers, Inquiry, answers
from classlens.audit.label_errors import believe, margins, neighbour_votes
from classlens.audit.lost_evidence import place_grid, places_of
from classlens.audit.shortcuts import name_place
from classlens.audit.subject import open_subject
from classlens.audit.wishes import AuditOptions
from classlens.dataset.near_duplicates import stand_out
from classlens.errors import DataError, NotFound, NotOffered
from classlens.image import Image
from tests.audit.planted import (
    copies_of,
    crop_stage,
    digits,
    probabilities,
    source_of,
    train,
    with_shortcut,
    wrong_labels,
)
from tests.audit.tiny_setup import write_network, write_pictures


def ask(source, folder, name, **parts):
    audit(source, folder)
    subject = open_subject(source.dataset("val"), source.classifier())
    return answers(Inquiry(str(folder), subject, source.dataset("train"), **parts), [name]).given[0]


@pytest.fixture(scope="module")
def clean_network():
    pictures, labels = digits()
    return train(pictures[:2000], labels[:2000])


@pytest.fixture(scope="module")
def noisy():
    """Labels of which a tenth is the next class, and a network that has learnt them by heart."""
    pictures, labels = digits()
    wrong = wrong_labels(labels[:2000], "pairs")
    return pictures[:2000], wrong, wrong != labels[:2000], train(pictures[:2000], wrong, 20, "deep")


@pytest.mark.parametrize(("kind", "place"), [("stamp", "its top left corner"), ("border", "its"), ("tint", "its tint")])
def test_a_planted_shortcut_is_named_with_its_class_and_place(tmp_path, kind, place):
    pictures, labels = digits()
    shown = with_shortcut(pictures, labels, kind)
    network = train(shown[:2000], labels[:2000])

    answer = ask(source_of(network, shown[2000:2800], labels[2000:2800]), tmp_path, "shortcuts")

    causes = [row for row in answer.table if row["verdict"] == "shortcut"]
    assert answer.is_trouble
    assert [row["class"] for row in causes] == ["three"]
    assert causes[0]["place"].startswith(place)
    assert causes[0]["turned low"] > causes[0]["random"] + 0.1
    assert all(labels[2000 + index] == 3 for index in answer.examples)


def test_a_clean_network_has_no_shortcut(tmp_path, clean_network):
    pictures, labels = digits()

    answer = ask(source_of(clean_network, pictures[2000:2800], labels[2000:2800]), tmp_path, "shortcuts")

    assert not answer.is_trouble
    assert all(row["verdict"] == "no shortcut" for row in answer.table)


def test_wrong_labels_are_found_among_pictures_whose_labels_were_learnt_by_heart(tmp_path, noisy):
    pictures, labels, wrong, network = noisy
    by_itself = probabilities(network, pictures)[np.arange(len(labels)), labels]

    answer = ask(source_of(network, pictures, labels), tmp_path, "labels")

    named = [row["index"] for row in answer.table]
    doubt = np.zeros(len(labels))
    doubt[named] = [row["doubt"] for row in answer.table]
    assert answer.is_trouble
    assert wrong[named].mean() > 0.85
    assert average_precision_score(wrong, doubt) > average_precision_score(wrong, -by_itself) + 0.15


def test_right_labels_are_left_alone(tmp_path, clean_network):
    pictures, labels = digits()

    answer = ask(source_of(clean_network, pictures[:800], labels[:800]), tmp_path, "labels")

    assert not answer.is_trouble
    assert len(answer.table) <= 0.02 * 800


def test_a_view_that_the_network_is_not_used_to_says_nothing():
    labels = np.arange(40) % 2
    features = np.eye(2)[labels] + 0.01 * np.random.default_rng(0).random((40, 2))
    plain = np.eye(2)[labels]

    belief = believe(features, np.stack([plain, plain[:, ::-1]], axis=1), labels)

    assert (margins(belief, labels) > 0.9).all()


def test_of_very_many_pictures_some_vote_for_all(monkeypatch):
    monkeypatch.setattr(label_errors, "BANK", 24)
    labels = np.arange(40) % 2
    features = np.eye(2)[labels] + 0.01 * np.random.default_rng(0).random((40, 2))

    votes = neighbour_votes(features, labels, 2)

    assert (votes.argmax(axis=1) == labels).all()


@pytest.mark.parametrize(("count", "gone", "said"), [(20, 0, "20"), (30, 12, "18"), (30, 30, "0")])
def test_few_labels_are_too_few_to_doubt_any(tmp_path, clean_network, count, gone, said):
    """Also where pictures are gone since the audit."""
    pictures, labels = digits()
    source = source_of(clean_network, pictures[:count], labels[:count])
    audit(source, tmp_path, options=AuditOptions(methods=[]))
    dataset = source.dataset("val")
    left = replace(dataset, load=lambda index: fail(index) if index < gone else dataset.load(index))

    answer = answers(Inquiry(str(tmp_path), open_subject(left, source.classifier())), ["labels"]).given[0]

    assert (answer.verdict, answer.is_trouble) == (f"{said} labelled pictures: too few to say", False)


def ask_for_leaks(folder, network, val, train):
    source = source_of(network, *val, train)
    audit(source, folder / "train", options=AuditOptions(phase="train", methods=[]))
    return ask(source, folder / "val", "leaks", other=str(folder / "train"))


@pytest.mark.parametrize("kind", ["exact", "brighter"])
def test_copies_in_the_other_split_are_leaks(tmp_path, clean_network, kind):
    pictures, labels = digits()
    shown, given = pictures[2000:2600].copy(), labels[2000:2600].copy()
    shown[:20], given[:20] = copies_of(pictures[:20], kind), labels[:20]

    answer = ask_for_leaks(tmp_path, clean_network, (shown, given), (pictures[:600], labels[:600]))

    assert {row["index"] for row in answer.table} == set(range(20))
    assert {(row["index"], row["other"]) for row in answer.table} == {(at, at) for at in range(20)}
    assert "20 pictures of 600 of val are also in train: accuracy" in answer.verdict


@pytest.fixture(scope="module", params=[True, False], ids=["noisy ground", "black ground"])
def on_ground(request, clean_network):
    """Digits with noise of their own, and without, where strokes are all that there is; and a network for them."""
    pictures, labels = digits(ground=request.param)
    return pictures, labels, clean_network if request.param else train(pictures[:2000], labels[:2000])


@pytest.mark.parametrize("kind", ["recompressed", "noisy"])
def test_tiny_copies_that_were_changed_a_little_are_leaks(tmp_path, on_ground, kind):
    pictures, labels, network = on_ground
    shown, given = pictures[2000:2600].copy(), labels[2000:2600].copy()
    shown[:100], given[:100] = copies_of(pictures[:100], kind), labels[:100]

    answer = ask_for_leaks(tmp_path, network, (shown, given), (pictures[:1000], labels[:1000]))

    found = {(row["index"], row["other"]) for row in answer.table}
    assert len(found & {(at, at) for at in range(100)}) >= 95
    assert {index for index, _ in found} <= set(range(100))


@pytest.mark.parametrize(("can_read", "found"), [(None, {0, 1, 2}), (True, {0, 1, 2}), (False, set())])
def test_without_the_other_pictures_only_exact_copies_are_leaks(tmp_path, clean_network, can_read, found):
    """Where there are such pictures, but they cannot be read, none is called a copy."""
    pictures, labels = digits()
    shown = pictures[2000:2100].copy()
    shown[:3] = pictures[:3]
    source = source_of(clean_network, shown, labels[2000:2100], (pictures[:100], labels[:100]))
    audit(source, tmp_path / "train", options=AuditOptions(phase="train", methods=[]))
    audit(source, tmp_path / "val", options=AuditOptions(methods=[]))
    subject, training = open_subject(source.dataset("val"), source.classifier()), source.dataset("train")
    training = {None: None, True: training, False: replace(training, load=fail)}[can_read]

    answer = answers(Inquiry(str(tmp_path / "val"), subject, training, str(tmp_path / "train")), ["leaks"]).given[0]

    assert {row["index"] for row in answer.table} == found
    assert bool(answer.notes) is (can_read is None)


def fail(index):
    raise DataError(f"picture {index} is gone")


def test_splits_without_copies_do_not_leak(tmp_path, on_ground):
    pictures, labels, network = on_ground

    answer = ask_for_leaks(
        tmp_path, network, (pictures[2000:3000], labels[2000:3000]), (pictures[:2000], labels[:2000])
    )

    assert not answer.is_trouble
    assert answer.verdict == "no picture of val is also in train"


def test_all_copies_of_a_picture_stand_out_and_of_strangers_none():
    random = np.random.default_rng(0)
    one, *strangers = random.integers(0, 255, (5, 64, 64), np.uint8)
    copies = [(one * share).astype(np.uint8) for share in (1, 0.9)]

    assert stand_out(one, dict(enumerate([*strangers, *copies]))) == [4, 5]
    assert stand_out(one, dict(enumerate(strangers))) == []
    assert stand_out(one, {7: copies[0]}) == []


@pytest.mark.parametrize("name", ["leaks", "shortcuts"])
def test_pictures_that_cannot_be_read_leak_nothing_and_hang_on_nothing(tmp_path, name):
    pictures = classlens.open_source(write_pictures(tmp_path / "photos", 3, bad=(0, 1, 2)))
    network = classlens.open_source(write_network(tmp_path))
    audit(network, tmp_path / "out", pictures=pictures)

    subject = open_subject(pictures.dataset("val"), network.classifier())
    answer = answers(Inquiry(str(tmp_path / "out"), subject, other=str(tmp_path / "out")), [name]).given[0]

    assert (answer.verdict, answer.is_trouble) == ("no picture could be read", False)


def test_leaks_are_looked_for_by_one_network(tmp_path, clean_network, noisy):
    pictures, labels = digits()
    other = source_of(noisy[3], pictures[:100], labels[:100])
    audit(other, tmp_path / "train", options=AuditOptions(methods=[]))

    with pytest.raises(DataError, match="audits by different networks"):
        ask(
            source_of(clean_network, pictures[:100], labels[:100]),
            tmp_path / "val",
            "leaks",
            other=str(tmp_path / "train"),
        )


@pytest.mark.parametrize(
    ("stages", "is_trouble"),
    [
        ([crop_stage(0.02, 0.06, "TinyCrop")], True),
        ([crop_stage(0.5, 1.0)], False),
        ([], False),
    ],
)
def test_a_crop_that_leaves_nothing_of_the_digit_is_named(tmp_path, clean_network, stages, is_trouble):
    pictures, labels = digits()
    source = source_of(clean_network, pictures[2000:2100], labels[2000:2100], stages=stages)

    answer = ask(source, tmp_path, "cuts")

    assert answer.is_trouble is is_trouble
    assert ("TinyCrop cuts it away" in answer.verdict) is is_trouble
    assert is_trouble or answer.table[0]["share"] <= 0.02


def test_maps_are_needed_to_say_what_is_cut_and_pictures_that_are_gone_are_left_out(tmp_path, clean_network):
    pictures, labels = digits()
    source = source_of(clean_network, pictures[2000:2010], labels[2000:2010])
    audit(source, tmp_path / "bare", options=AuditOptions(methods=[]))
    audit(source, tmp_path / "out")
    gone = open_subject(replace(source.dataset("val"), load=fail), source.classifier())

    bare, empty = (
        answers(Inquiry(str(tmp_path / name), gone, source.dataset("train")), ["cuts"]).given[0]
        for name in ("bare", "out")
    )

    assert (bare.verdict, bare.is_trouble) == ("nothing to say without maps", False)
    assert (empty.verdict, empty.is_trouble) == ("no picture is right and has a map", False)


def test_colours_cut_nothing_and_erasing_does(tmp_path, clean_network):
    transforms = pytest.importorskip("torchvision.transforms")
    from classlens.pipelines.lay_open import lay_open

    pictures, labels = digits()
    chain = transforms.Compose([
        transforms.ToPILImage(), transforms.ColorJitter(0.6, 0.6, 0.6, 0.2), transforms.RandomHorizontalFlip(),
        transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3),
        transforms.RandomErasing(p=1, scale=(0.7, 0.9), value=0),
    ])  # fmt: skip
    source = source_of(clean_network, pictures[2000:2040], labels[2000:2040], stages=lay_open(chain))

    answer = ask(source, tmp_path, "cuts")

    cut = {row["stage"]: row["share"] for row in answer.table if row["class"] == "all"}
    assert cut["RandomErasing"] > 0.3
    assert cut["ColorJitter"] == cut["RandomHorizontalFlip"] == cut["Normalize"] == 0


@pytest.mark.parametrize(
    ("change", "places"),
    [
        (lambda pixels: pixels, lambda grid: grid),
        (lambda pixels: pixels[:, ::-1], lambda grid: grid[:, ::-1]),
        (lambda pixels: pixels[10:30, 20:60], lambda grid: grid[10:30, 20:60]),
        (lambda pixels: 255 - pixels // 2, lambda grid: grid),
        (lambda pixels: np.rot90(pixels), lambda grid: np.rot90(grid)),
    ],
    ids=["nothing", "mirrored", "cropped", "negative", "turned"],
)
def test_a_stage_says_itself_where_pixels_come_from(change, places):
    found = places_of(lambda pixels: change(pixels).mean(axis=2), (48, 80))

    np.testing.assert_allclose(found, places(place_grid(48, 80)), atol=0.01)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (np.s_[:2, :2], "its top left corner"), (np.s_[5:, 5:], "its bottom right corner"), (np.s_[:2, :], "its top edge"),
        (np.s_[:, 5:], "its right edge"), (np.s_[:, ::6], "its border"),
    ],
)  # fmt: skip
def test_places_have_names(cells, words):
    region = np.zeros((7, 7), bool)
    region[cells] = True

    assert name_place(region) == words


def test_questions_are_named_and_lack_nothing(tmp_path, clean_network):
    pictures, labels = digits()
    audit(source_of(clean_network, pictures[:64], labels[:64]), tmp_path)

    with pytest.raises(NotFound, match="no question named 'leak'"):
        answers(Inquiry(str(tmp_path)), ["leak"])
    with pytest.raises(NotOffered, match="leaks: there is no other"):
        answers(Inquiry(str(tmp_path)), ["leaks"])
    assert answers(Inquiry(str(tmp_path))).given == ()
    with pytest.raises(NotOffered, match="this question is put to the network, which is not there"):
        label_errors.answer_labels(Inquiry(str(tmp_path)))


def test_answers_are_printed_and_made_a_page_with_the_pictures_that_show_them(tmp_path):
    rows = [{"index": at, "path": f"p{at:02}.png", "label": "cat", "doubt": 0.5} for at in range(14)]
    given = (
        Answer("labels", "14 of 90 labels are doubtful", True, tuple(rows), (0, 3)),
        Answer("cuts", "nothing", False, examples=(3, 7)),
    )
    grey = Image(np.full((30, 40, 3), 128, np.uint8))

    drawing = classlens.draw(Answers(str(tmp_path), given, {3: grey, 7: grey}))

    lines = drawing.text.splitlines()
    assert lines[:4] == [
        "Which labels are wrong?", "  14 of 90 labels are doubtful", "  index  path     label  doubt",
        "      0  p00.png  cat      0.5",
    ]  # fmt: skip
    assert lines[15] == "  and 2 more"
    page = drawing.encode(".html").decode()
    assert page.count("<img") == 3
    assert all(text in page for text in ("index 3", "doubt 0.5", "#7"))
