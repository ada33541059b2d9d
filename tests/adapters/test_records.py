"""Records say in one line what they are: in a notebook and at a prompt they are looked at more than anything else."""

from classlens.adapters import open_source


def test_every_record_of_the_demo_says_in_a_line_what_it_is():
    source = open_source("demo")
    lines = [repr(part) for part in (source, source.dataset("train"), source.schedule(), source.classifier())]

    assert lines[0].endswith("efficientnet-lite0_photos.py: dataset, schedule, classifier>")
    assert lines[1:] == [
        "<Dataset train: 224 samples, 7 classes: LoadImageFromFile > RandomResizedCrop > RandomFlip > ColorJitter>",
        "<Schedule of all other parameters, biases, norm layers: lr moves>",
        "<Classifier efficientnet-lite0_photos: ImageClassifier, 224 x 224 pictures, 1000 named classes>",
    ]


def test_what_offers_nothing_and_does_not_move_says_so():
    import torch

    from classlens.source import Source

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)

    assert repr(Source("x")) == "<Source x: offers nothing>"
    assert repr(open_source(optimizer).schedule()) == "<Schedule of all parameters: nothing moves>"
