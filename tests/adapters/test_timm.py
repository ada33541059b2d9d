import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import classlens
from classlens.adapters import open_source
from classlens.errors import ConfigError, DataError, NotFound, NotOffered

timm = pytest.importorskip("timm")

from classlens.adapters import timm as adapter  # noqa: E402

PHOTO = Path(__file__).parents[2] / "demo" / "photos" / "chelsea.png"
SMALL = "timm:test_resnet?pretrained=false"


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """A machine without a network and without cached weights."""
    monkeypatch.setattr(adapter, "reachable", lambda url: False)
    monkeypatch.setattr(adapter, "hub_answers", lambda: False)
    monkeypatch.setattr(adapter, "is_cached", lambda *names, **more: False)


def test_a_name_becomes_a_classifier_with_its_own_encoding_size_and_classes():
    classifier = open_source(SMALL).classifier()
    config = timm.get_pretrained_cfg("test_resnet")

    assert classifier.encoding.mean == pytest.approx(config.mean)
    assert classifier.encoding.std == pytest.approx(config.std)
    assert classifier.size == config.input_size[1:]
    assert classifier.classes[281].startswith("tabby")


def test_a_picture_is_fed_as_timm_itself_would_feed_it():
    classifier = open_source(SMALL).classifier()
    picture = classlens.read_image(PHOTO)
    config = timm.data.resolve_model_data_config(classifier.module)
    from PIL import Image as Pillow

    expected = timm.data.create_transform(**config, is_training=False)(Pillow.fromarray(picture.pixels))

    encoded = classifier.encoding.encode(classifier.prepare(picture))
    np.testing.assert_allclose(encoded, expected.numpy(), atol=1e-5)


def test_settings_go_to_the_function_that_builds_the_model():
    classifier = open_source("timm:test_vit?pretrained=false&num_classes=7&img_size=96").classifier()

    assert classifier.logits(torch.zeros(1, 3, 96, 96)).shape == (1, 7)
    assert classifier.classes is None


@pytest.mark.parametrize(("said", "size"), [("96", (96, 96)), ("(64, 96)", (64, 96))])
def test_pictures_have_the_size_that_the_network_was_built_for(said, size):
    classifier = open_source(f"timm:test_vit?pretrained=false&img_size={said}").classifier()

    assert classifier.size == classifier.prepare(classlens.read_image(PHOTO)).size == size
    assert classlens.explain(classifier, classlens.read_image(PHOTO))[0].values.shape == (size[0] // 16, size[1] // 16)


def test_a_model_in_a_folder_brings_its_weights_size_and_names(tmp_path):
    from safetensors.torch import save_file

    network = timm.create_model("test_resnet", num_classes=2)
    pretrained = {"input_size": [3, 64, 64], "mean": [0.1, 0.2, 0.3], "std": [0.5] * 3, "label_names": ["cat", "dog"]}
    told = {"architecture": "test_resnet", "num_classes": 2, "pretrained_cfg": {**pretrained, "num_classes": 2}}
    (tmp_path / "config.json").write_text(json.dumps(told))
    save_file(network.state_dict(), tmp_path / "model.safetensors")

    classifier = open_source(f"timm:local-dir:{tmp_path}").classifier()

    torch.testing.assert_close(classifier.module.fc.weight, network.fc.weight)
    assert (classifier.size, classifier.classes) == ((64, 64), ("cat", "dog"))
    with pytest.raises(DataError, match=r"holds no config\.json of timm"):
        open_source("timm:local-dir:nowhere")


def test_default_layer_and_tokens_are_found_for_convolutions_and_transformers():
    picture = classlens.read_image(PHOTO)

    for name, grid in (("test_resnet", (5, 5)), ("test_vit", (10, 10))):
        maps = classlens.explain(open_source(f"timm:{name}?pretrained=false").classifier(), picture, methods="LayerCAM")
        assert maps[0].values.shape == grid


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_checkpoints_of_usual_trainers_are_read(tmp_path, prefix):
    network = timm.create_model("test_resnet")
    path = tmp_path / "last.pth.tar"
    state = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    torch.save({"epoch": 3, "arch": "test_resnet", "state_dict": state, "args": argparse.Namespace(lr=0.1)}, path)

    classifier = open_source("timm:test_resnet").classifier(str(path))

    for name, tensor in classifier.module.state_dict().items():
        torch.testing.assert_close(tensor, network.state_dict()[name])


def test_averaged_weights_come_first_and_safetensors_are_read(tmp_path):
    from safetensors.torch import save_file

    plain, averaged = timm.create_model("test_resnet"), timm.create_model("test_resnet")
    torch.save({"state_dict": plain.state_dict(), "state_dict_ema": averaged.state_dict()}, tmp_path / "a.pth")
    save_file(averaged.state_dict(), tmp_path / "b.safetensors")

    for name in ("a.pth", "b.safetensors"):
        loaded = open_source("timm:test_resnet").classifier(str(tmp_path / name)).module
        torch.testing.assert_close(loaded.fc.weight, averaged.fc.weight)


def test_a_checkpoint_with_another_number_of_classes_is_refused_and_says_what_to_write(tmp_path):
    torch.save(timm.create_model("test_resnet", num_classes=10).state_dict(), tmp_path / "ten.pth")

    with pytest.raises(DataError, match=r"fc\.weight \(10, \d+\) instead of \(1000") as caught:
        open_source("timm:test_resnet").classifier(str(tmp_path / "ten.pth"))

    assert "?num_classes=10" in caught.value.hint


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "vit.pth")

    with pytest.raises(DataError, match=r"does not fit the model: .* missing"):
        open_source("timm:test_resnet").classifier(str(tmp_path / "vit.pth"))


def test_published_weights_out_of_reach_are_refused_at_once_with_what_to_do(offline):
    source = open_source("timm:resnet18")

    with pytest.raises(DataError, match="no network to get them") as caught:
        source.classifier()

    assert "--checkpoint FILE" in caught.value.hint or "checkpoint" in caught.value.hint
    assert "timm:resnet18?pretrained=false" in caught.value.hint


def test_unknown_names_settings_and_parts_are_told(offline):
    with pytest.raises(NotFound, match="no timm model named 'resnte18'") as caught:
        open_source("timm:resnte18")
    assert "resnet18" in caught.value.hint

    with pytest.raises(ConfigError, match="nose"):
        open_source("timm:test_resnet?pretrained=false&nose=3").classifier()

    with pytest.raises(ConfigError, match="has no value"):
        open_source("timm:test_resnet?pretrained")

    with pytest.raises(NotOffered, match="has no schedule") as refused:
        open_source(SMALL).schedule()
    assert refused.value.hint == "it offers: classifier"


@pytest.mark.parametrize("name", timm.list_models("test_*"))
def test_every_small_architecture_has_a_layer_to_look_at(name):
    torch.manual_seed(0)
    classifier = open_source(f"timm:{name}?pretrained=false").classifier()

    saliency = classlens.explain(classifier, classlens.read_image(PHOTO), methods="LayerCAM")[0]

    assert saliency.values.size > 1
    assert np.isfinite(saliency.values).all()


def test_weights_that_are_tested_with_larger_pictures_say_which_are_fed_and_feed_the_others(offline):
    from PIL import Image as Pillow

    picture = classlens.read_image(PHOTO)
    plain, larger = (
        open_source(f"timm:resnet18.a1_in1k?pretrained=false{more}").classifier() for more in ("", "&size=test")
    )
    config = timm.data.resolve_model_data_config(larger.module, use_test_size=True)
    expected = timm.data.create_transform(**config, is_training=False)(Pillow.fromarray(picture.pixels))

    assert plain.size == (224, 224)
    assert "fed as in training, 224 x 224, crop 0.95; its weights are tested with 288 x 288, crop 1" in plain.notes[0]
    assert larger.notes == open_source("timm:resnet18.a1_in1k?pretrained=false&size=train").classifier().notes == ()
    np.testing.assert_allclose(larger.prepare(picture).encoded, expected.numpy(), atol=1e-6)
    with pytest.raises(NotFound, match="no size named 'huge'"):
        open_source("timm:resnet18.a1_in1k?size=huge")


def test_a_network_of_timm_in_python_is_fed_as_timm_itself_would_feed_it():
    from PIL import Image as Pillow

    network, picture = timm.create_model("test_resnet").eval(), classlens.read_image(PHOTO)
    config = timm.data.resolve_model_data_config(network)
    expected = timm.data.create_transform(**config, is_training=False)(Pillow.fromarray(picture.pixels))

    for given in (network, torch.nn.DataParallel(torch.compile(network))):
        classifier = open_source(given).classifier()
        np.testing.assert_allclose(classifier.prepare(picture).encoded, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("count", [0, 3])
def test_a_head_that_would_stay_random_is_refused(tmp_path, count):
    from safetensors.torch import save_file

    network = timm.create_model("test_resnet", num_classes=2)
    told = {"architecture": "test_resnet", "num_classes": 2, "pretrained_cfg": {**network.pretrained_cfg}}
    (tmp_path / "config.json").write_text(json.dumps(told))
    save_file(network.state_dict(), tmp_path / "model.safetensors")

    assert open_source(f"timm:local-dir:{tmp_path}").classifier().module.num_classes == 2
    with pytest.raises(DataError, match="has no head" if count == 0 else "the head of timm:.* is random"):
        open_source(f"timm:local-dir:{tmp_path}?num_classes={count}").classifier()
    with pytest.raises(DataError, match="has no head"):
        open_source(timm.create_model("test_resnet", num_classes=0)).classifier()


def test_a_grey_network_gets_grey_pictures_and_other_channels_are_refused():
    from PIL import Image as Pillow

    classifier = open_source(f"{SMALL}&in_chans=1").classifier()
    picture = classlens.read_image(PHOTO)
    grey = Pillow.fromarray(picture.pixels).convert("L")
    config = timm.data.resolve_model_data_config(classifier.module) | {"mean": (0.5,), "std": (0.5,)}
    with torch.no_grad():
        batch = timm.data.create_transform(**config, is_training=False)(grey)[None]
        expected = classifier.module(batch)[0]

    assert batch.shape == (1, 1, 160, 160)
    maps = classlens.explain(classifier, picture, targets=[0, 7])
    assert [one.logit for one in maps] == pytest.approx(expected[[0, 7]].tolist(), abs=1e-4)
    with pytest.raises(DataError, match="takes 4 channels"):
        open_source(f"{SMALL}&in_chans=4").classifier()


def test_a_checkpoint_of_ones_own_says_how_it_is_fed_and_what_its_classes_are(tmp_path):
    state = timm.create_model("test_resnet", num_classes=2).state_dict()
    torch.save({"model": state, "classes": ["cat", "dog"]}, tmp_path / "own.pth")

    classifier = open_source("timm:test_resnet?num_classes=2").classifier(str(tmp_path / "own.pth"))

    assert classifier.classes == ("cat", "dog")
    assert "fed as those of timm/test_resnet.r160_in1k" in classifier.notes[0]


def test_a_network_without_published_weights_says_so():
    with pytest.raises(DataError, match="timm:coatnet_0_224 has no published weights") as caught:
        open_source("timm:coatnet_0_224").classifier()

    assert "timm:coatnet_0_224?pretrained=false" in caught.value.hint
