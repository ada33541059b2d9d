"""Planted ways of feeding a network otherwise than in training, and healthy twins, which raise no alarm."""

from dataclasses import replace
from functools import partial
from itertools import chain

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import classlens
from classlens.check.examine import examine
from classlens.check.feed_rules import Trial, mismatch, show
from classlens.check.feed_variants import Fit, Served, Variant, contents, encodings, fits, variants_of
from classlens.check.inspection import Inspection
from classlens.check.rule import choose_rules
from classlens.dataset.dataset import Dataset, Outcome, Sample, Stage
from classlens.dataset.state import State, to_image
from classlens.image import Encoding, Image
from classlens.source import Source
from tests.check.planted_feeds import CAFFE, HALVES, IMAGENET, SIZE, Feed, Trained, digits, twice

NETWORKS = {
    "with batch norm, fed as ImageNet": Trained(steps=200),
    "without batch norm, fed as Caffe did": Trained(feed=Feed(CAFFE), norm=False),
    "pooled, fed from -1 to 1": Trained(feed=Feed(HALVES), pooled=True),
}


def encoded(feed, **changes):
    return replace(feed, encoding=replace(feed.encoding, **changes))


FAULTS = {
    "the other order of colours": lambda feed: encoded(feed, order="BGR" if feed.encoding.order == "RGB" else "RGB"),
    "numbers 255 times too large or small": lambda feed: encoded(feed, white=256.0 - feed.encoding.white),
    "divided by 255 once more": lambda feed: encoded(feed, white=feed.encoding.white / 255),
    "no mean and std": lambda feed: encoded(feed, white=1.0, mean=(0, 0, 0), std=(1, 1, 1)),
    "the mean and std of another framework": lambda feed: replace(
        feed, encoding=CAFFE if feed.encoding.order == "RGB" else IMAGENET
    ),
    "normalised twice": lambda feed: replace(feed, encoding=twice(feed.encoding)),
    "grey": lambda feed: replace(feed, grey=True),
    "height and width exchanged": lambda feed: replace(feed, transposed=True),
    "padded": lambda feed: replace(feed, fit=Fit("letterbox")),
    "cut too small": lambda feed: replace(feed, fit=Fit("crop", 0.7)),
    "too large": lambda feed: replace(feed, size=(40, 40)),
    "too small": lambda feed: replace(feed, size=(24, 24)),
}


def check_feed(source, code="F001"):
    return examine(Inspection(source, samples=300), choose_rules([code])).findings


def is_cure(name, trained, fed):
    """Whether the variant of that name makes the numbers that the network was trained on."""
    pictures = [Image(one) for one in digits()[0][1200:1224]]
    served = [Served(one, fed.prepare(one), fed.numbers(one)) for one in pictures]
    candidates = chain(encodings(fed.encoding, served), contents(fed.encoding, fed.prepare), fits(fed.encoding, served))
    variant = next(one for one in candidates if one.name == name)
    expected, made = trained.feed.numbers(pictures[0]), variant.numbers(served[0])
    return made.shape == expected.shape and float(np.abs(made - expected).mean()) < 0.02 * float(np.ptp(expected))


def is_ranked_first(network, fault):
    """Whether the first variant that is named cures the fault."""
    trained = NETWORKS[network]
    fed = FAULTS[fault](trained.feed)
    findings = check_feed(trained.source(fed))
    name = findings[0].evidence["fed so"] if findings else ""
    return bool(name) and is_cure(name, trained, fed)


@pytest.mark.parametrize("network", NETWORKS)
def test_of_twelve_faults_eleven_are_ranked_first(network):
    found = [fault for fault in FAULTS if is_ranked_first(network, fault)]

    assert len(found) >= 11, set(FAULTS) - set(found)


HEALTHY = [
    *NETWORKS.values(),
    *(Trained(seed=seed, steps=steps, batch=32) for seed in (1, 2, 3) for steps in (20, 60, 100)),
    *(Trained(feed=Feed(CAFFE), norm=False, seed=seed, steps=60, batch=32) for seed in (1, 2, 3)),
    *(Trained("pieces", Feed(HALVES), seed=seed, steps=60, batch=32) for seed in range(5)),
]


@pytest.mark.parametrize("trained", HEALTHY, ids=lambda one: f"{one.material}-{one.seed}-{one.steps}")
def test_a_healthy_feed_raises_no_alarm(trained):
    assert len(HEALTHY) == 20
    assert [one.message for one in check_feed(trained.source(trained.feed))] == []
    assert [one.message for one in check_feed(trained.source(trained.feed, labels=False), "F002")] == []


def test_a_finding_says_how_sure_it_is_and_which_line_to_change():
    trained = NETWORKS["with batch norm, fed as ImageNet"]

    (finding,) = check_feed(trained.source(encoded(trained.feed, order="BGR")))

    assert "otherwise: RGB instead of BGR" in finding.message
    assert finding.evidence["p"] < 1e-20
    assert finding.evidence["right as fed"] < 0.1 < 0.9 < finding.evidence["right so"]
    assert "transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))" in finding.cure
    assert len(finding.pictures) == 2
    assert finding.severity == "error"


def test_too_few_pictures_are_no_evidence():
    trained = NETWORKS["with batch norm, fed as ImageNet"]
    inspection = Inspection(trained.source(encoded(trained.feed, order="BGR")), samples=23)

    with pytest.raises(classlens.errors.NotOffered, match="23 labelled pictures are too few"):
        examine(inspection, choose_rules(["F001"]))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("no mean and std", "otherwise: mean and std of ImageNet"),
        ("divided by 255 once more", "otherwise: numbers from 0 to 1, then the same mean and std"),
        ("numbers 255 times too large or small", "otherwise: numbers from 0 to 1, then the same mean and std"),
    ],
)
def test_without_labels_batch_norms_tell(fault, words):
    trained = NETWORKS["with batch norm, fed as ImageNet"]

    (finding,) = check_feed(trained.source(FAULTS[fault](trained.feed), labels=False), "F002")

    assert words in finding.message
    assert finding.severity == "warning"


def test_where_labels_fit_batch_norms_are_not_asked():
    trained = NETWORKS["with batch norm, fed as ImageNet"]

    assert check_feed(trained.source(FAULTS["no mean and std"](trained.feed)), "F002") == ()


def test_photos_that_lie_on_their_side_are_found(tmp_path):
    """A phone stores them so, and says in EXIF how to turn them; Pillow leaves that to its user."""
    trained = NETWORKS["with batch norm, fed as ImageNet"]
    pictures, labels = digits()
    sideways = Pillow.Exif()
    sideways[0x0112] = 6
    for place in range(1200, 1400):
        stored = Pillow.fromarray(pictures[place]).transpose(Pillow.Transpose.ROTATE_90)
        stored.save(tmp_path / f"{place}.jpg", quality=95, exif=sideways)
    names = [str(tmp_path / f"{place}.jpg") for place in range(1200, 1400)]
    dataset = Dataset(
        "photos",
        200,
        load=lambda index: np.array(Pillow.open(names[index])),
        stages=(),
        to_image=Image,
        sample=lambda index: Sample(names[index], (int(labels[1200 + index]),)),
    )
    source = replace(trained.source(trained.feed), open_dataset=lambda split: dataset)

    (finding,) = check_feed(source)

    assert "otherwise: pictures turned the other way that EXIF allows" in finding.message
    assert "exif_transpose" in finding.cure


def pipeline(encoding, whole=False):
    def to_tensor(state, chance):
        array = encoding.encode(to_image(state))
        value = torch.from_numpy(array.astype(np.uint8) if whole else array)
        return Outcome(State(value, encoding))

    return (Stage("Normalize", to_tensor),)


def splits(**stages):
    def dataset(split):
        return Dataset(
            split,
            4 if split in stages else 0,
            load=lambda index: State(digits()[0][index]),
            stages=stages.get(split, ()),
            to_image=to_image,
            sample=lambda index: Sample(f"{split}/{index}"),
        )

    return Source("planted", dataset)


@pytest.mark.parametrize(
    ("val", "words"),
    [
        (pipeline(replace(IMAGENET, order="BGR")), "train and val end in other numbers: order RGB and BGR"),
        (pipeline(HALVES), "mean (0.485, 0.456, 0.406) and (0.5, 0.5, 0.5); std"),
        (pipeline(replace(IMAGENET, white=255.0)), "white 1.0 and 255.0"),
        (pipeline(Encoding("RGB", "CHW"), whole=True), "white 1.0 and 255.0; mean"),
    ],
)
def test_splits_that_are_encoded_otherwise_are_found(val, words):
    (finding,) = check_feed(splits(train=pipeline(IMAGENET), val=val), "F003")

    assert words in finding.message


@pytest.mark.parametrize("val", [pipeline(IMAGENET), pipeline(replace(IMAGENET, mean=(0.4851, 0.456, 0.406))), ()])
def test_splits_that_agree_are_healthy(val):
    assert check_feed(splits(train=pipeline(IMAGENET), val=val), "F003") == ()


def test_pictures_of_the_right_size_have_fewer_variants():
    """What changes nothing is not tried, and not counted against the rest."""
    pictures = [Image(np.random.default_rng(place).integers(0, 256, (*SIZE, 3), np.uint8)) for place in range(3)]
    served = [Served(one, one, IMAGENET.encode(one)) for one in pictures]

    names = [one.name for one in variants_of(IMAGENET, partial(lambda image: image), served)]

    assert "mean and std of ImageNet" not in names
    assert "the whole picture squashed" not in names
    assert len(names) == len(set(names))


def test_a_variant_that_the_network_refuses_is_none():
    def refuse(served):
        raise ValueError("not of that size")

    assert show(Trial(Variant("refused", refuse)), None, [None], np.zeros(1, int)) is None


def test_norms_of_vectors_say_nothing_about_colours():
    norm = torch.nn.BatchNorm1d(4)
    norm.running_mean += 1
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 4), norm).eval()
    classifier = classlens.Classifier("flat", network, network, Encoding("RGB", "CHW", 1.0), (4, 4))

    assert mismatch(classifier, [np.zeros((3, 4, 4), np.float32)] * 2) == float("inf")
