"""Two audits side by side: the counts are those that one gets by hand, and other pictures are refused."""

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import classlens
from classlens.audit.comparison import AuditComparison, ClassChange, Flip, map_changes, pair_rows
from classlens.audit.wishes import AuditOptions
from classlens.cli.main import main
from classlens.errors import DataError
from tests.audit.planted import digits, encode, source_of, train
from tests.audit.tiny_setup import row, write_rows


@pytest.fixture(scope="module")
def networks():
    """Two networks that have learnt a little, each something else."""
    pictures, labels = digits()
    return [train(pictures[300:1100], labels[300:1100], 2, "pooled", seed=seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def audits(tmp_path_factory, networks):
    folder, (pictures, labels) = tmp_path_factory.mktemp("audits"), digits()
    for name, network in zip("ab", networks, strict=True):
        source = source_of(network, pictures[:300], labels[:300])
        classlens.audit(source, folder / name, options=AuditOptions(batch_size=16 if name == "a" else 32))
    return folder / "a", folder / "b"


def test_counts_are_those_of_the_networks(audits, networks):
    pictures, labels = digits()
    with torch.no_grad():
        one, other = (network(encode(pictures[:300])).argmax(1).numpy() for network in networks)
    right = one == labels[:300], other == labels[:300]

    comparison = classlens.compare(*audits)

    assert comparison.pictures == comparison.labelled == 300
    assert comparison.right == (right[0].sum(), right[1].sum())
    assert (comparison.lost, comparison.won) == ((right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum())
    assert comparison.changed == (one != other).sum()
    assert {flip.index for flip in comparison.flips} <= set(np.flatnonzero(right[0] & ~right[1]))
    assert sum(one.pictures for one in comparison.classes) == 300
    assert comparison.maps["same"].pictures + comparison.maps["changed"].pictures == comparison.maps["all"].pictures


def test_an_audit_is_like_itself(audits):
    comparison = classlens.compare(audits[0], audits[0])

    assert (comparison.lost, comparison.won, comparison.changed, comparison.p_value) == (0, 0, 0, 1)
    assert comparison.maps["all"].correlation == pytest.approx(1)
    assert comparison.maps["all"].elsewhere == 0


def test_other_pictures_are_refused(tmp_path, audits, networks):
    pictures, labels = digits()
    classlens.audit(source_of(networks[0], pictures[1:301], labels[1:301]), tmp_path)

    with pytest.raises(DataError, match="audits of different lists of pictures"):
        classlens.compare(audits[0], tmp_path)


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (("blue", "red", "green"), "3 classes, 'green' at 1; 3 classes, 'red' at 1"),
        (("blue", "green"), "3 classes, 'red' at 2; 2 classes"),
    ],
)
def test_networks_of_other_classes_are_refused_with_the_first_that_differs(tmp_path, classes, said):
    write_rows(tmp_path / "a", [row(0, 0, 0)])
    write_rows(tmp_path / "b", [row(0, 0, 0)], classes=classes)

    with pytest.raises(DataError, match=f"do not know the same classes: {said}$"):
        classlens.compare(tmp_path / "a", tmp_path / "b")


def test_pictures_that_only_one_network_could_read_are_left_out_and_counted(tmp_path):
    write_rows(tmp_path / "a", [row(0, 0, 0), {"index": 1, "path": "1.png", "error": "no picture"}])
    write_rows(tmp_path / "b", [row(0, 0, 1), row(1, 0, 0)])

    comparison = classlens.compare(tmp_path / "a", tmp_path / "b")

    assert (comparison.pictures, comparison.lost) == (1, 1)
    assert comparison.notes == ("1 picture could not be read in one of the audits, and are left out",)


def test_maps_of_two_layers_are_compared_in_the_fewer_of_their_places():
    """A map of four times the places, each with a quarter of the evidence, is the same map."""
    small = np.array([[[1.0, 3.0], [0.0, 4.0]]])
    large = small.repeat(2, axis=1).repeat(2, axis=2)

    _, correlation, elsewhere, *_ = map_changes(small, large)[0]

    assert (correlation, elsewhere) == pytest.approx((1, 0))


def test_a_page_has_the_pictures_of_flips_that_can_be_read_and_classes_from_both_ends(tmp_path):
    Pillow.new("RGB", (30, 20), "red").save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    names = ("good.png", "bad.png", "gone.png")
    flips = tuple(Flip(at, str(tmp_path / name), "cat", "dog", 0.9) for at, name in enumerate(names))
    classes = tuple(ClassChange(f"class{at:02}", 40, (20, 20), 20 - at, at) for at in range(20))
    comparison = AuditComparison("a", "b", 800, 800, (400, 400), 3, 3, 6, classes, flips)

    drawing = classlens.draw(comparison)

    page = drawing.encode(".html").decode()
    assert page.count("<img") == 1
    assert "labelled cat" in page
    rows = [line.split()[0] for line in drawing.text.splitlines() if line.startswith("class") and "40" in line]
    assert rows == [f"class{at:02}" for at in (*range(8), *range(13, 20))]


def test_the_command_prints_a_table_and_writes_a_page(tmp_path, audits, capsys):
    status = main(["compare", *map(str, audits), "--html", str(tmp_path / "page.html")])

    printed = capsys.readouterr().out
    assert status == 0
    assert "McNemar" in printed
    assert "negative flips" in printed
    assert "Classes that changed most" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_rows_are_paired_however_they_are_divided():
    def shards(*parts):
        return iter([{"index": np.array(part), "value": 10 * np.array(part)} for part in parts])

    pairs = list(pair_rows(shards([0, 1, 2], [4, 5, 9]), shards([0, 2], [3, 4], [5, 6, 7, 9])))

    joined = [np.concatenate([pair[side]["index"] for pair in pairs]).tolist() for side in (0, 1)]
    assert joined[0] == joined[1] == [0, 2, 4, 5, 9]


def test_evidence_that_moves_to_the_right_is_said_to():
    before, after = np.zeros((2, 1, 4, 4))
    before[0, 1, 0] = after[0, 1, 3] = 5

    _, correlation, elsewhere, right, down, outward = map_changes(before, after)[0]

    assert correlation < 0
    assert (elsewhere, right, down, outward) == pytest.approx((1, 0.75, 0, 0))
