from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import classlens
from classlens.adapters import open_source
from classlens.errors import DataError, NotFound

transformers = pytest.importorskip("transformers")
from classlens.adapters import huggingface as adapter  # noqa: E402

PHOTO = Path(__file__).parents[2] / "demo" / "photos" / "chelsea.png"


def small_vit(**settings):
    config = transformers.ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=64,
        id2label={0: "cat", 1: "dog", 2: "cup"},
        **settings,
    )
    torch.manual_seed(0)
    return transformers.ViTForImageClassification(config).eval()


def save(folder, model, processor=None):
    model.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    return f"hf:{folder}"


@pytest.fixture
def picture():
    return classlens.read_image(PHOTO)


PROCESSORS = {
    "vit": lambda: transformers.ViTImageProcessor(size={"height": 64, "width": 64}),
    "clip": lambda: transformers.CLIPImageProcessor(size={"shortest_edge": 72}, crop_size={"height": 64, "width": 64}),
    "convnext": lambda: transformers.ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.875),
    "efficientnet": lambda: transformers.EfficientNetImageProcessor(size={"height": 64, "width": 64}),
    "mobilevit": lambda: transformers.MobileViTImageProcessor(
        size={"shortest_edge": 72}, crop_size={"height": 64, "width": 64}
    ),
}


@pytest.mark.parametrize("kind", PROCESSORS)
def test_a_picture_is_fed_as_the_processor_feeds_it(tmp_path, picture, kind):
    processor = PROCESSORS[kind]()
    classifier = open_source(save(tmp_path, small_vit(), processor)).classifier()

    expected = processor(images=Pillow.fromarray(picture.pixels), return_tensors="pt")["pixel_values"][0]

    encoded = classifier.encoding.encode(classifier.prepare(picture))
    assert classifier.size == tuple(expected.shape[1:])
    # The encoding goes through whole numbers, of which one is 2/255 of the range.
    np.testing.assert_allclose(encoded, np.asarray(expected), atol=0.012)


def test_logits_classes_and_maps_come_out(tmp_path, picture):
    network = small_vit()
    classifier = open_source(save(tmp_path, network, PROCESSORS["vit"]())).classifier()
    batch = torch.rand(2, 3, 64, 64)

    maps = classlens.explain(classifier, picture, targets="cup")

    torch.testing.assert_close(classifier.logits(batch), network(batch).logits)
    assert classifier.classes == ("cat", "dog", "cup")
    assert maps[0].layer == "vit.layers.1.layernorm_before"
    assert maps[0].values.shape == (4, 4)


LABELS = {3: {0: "cat", 1: "dog", 2: "cup"}, 1: {0: "cat"}}


@pytest.mark.parametrize(
    ("problem", "labels"),
    [("multi_label_classification", 3), ("single_label_classification", 3), (None, 3), (None, 1)],
)
def test_probabilities_are_those_of_the_pipeline_of_transformers(tmp_path, picture, problem, labels):
    network, processor = small_vit(problem_type=problem), PROCESSORS["vit"]()
    network.classifier = torch.nn.Linear(32, labels)
    network.config.id2label, network.config.label2id = LABELS[labels], {}
    network.classifier.weight.data *= 30
    peer = transformers.pipeline("image-classification", model=network, image_processor=processor)
    expected = {one["label"]: one["score"] for one in peer(Pillow.fromarray(picture.pixels))}
    classifier = open_source(save(tmp_path, network, processor)).classifier()

    maps = classlens.explain(classifier, picture, targets=list(LABELS[labels].values()))

    assert {one.class_name: one.probability for one in maps} == pytest.approx(expected, abs=0.02)


def test_a_regression_is_no_classifier(tmp_path):
    address = save(tmp_path, small_vit(problem_type="regression"))

    with pytest.raises(DataError, match="is a regression"):
        open_source(address).classifier()


def test_a_model_without_a_processor_is_fed_as_its_config_says(tmp_path, picture):
    classifier = open_source(save(tmp_path, small_vit())).classifier()

    assert classifier.size == (64, 64)
    assert classifier.prepare(picture).size == (64, 64)


def test_a_checkpoint_replaces_the_weights(tmp_path):
    address = save(tmp_path, small_vit())
    torch.manual_seed(1)
    other = transformers.ViTForImageClassification(small_vit().config)
    torch.save(other.state_dict(), tmp_path / "other.pth")

    classifier = open_source(address).classifier(str(tmp_path / "other.pth"))

    torch.testing.assert_close(classifier.module.classifier.weight, other.classifier.weight)


def test_folders_that_hold_no_model_are_told(tmp_path):
    with pytest.raises(DataError, match=r"holds no config\.json"):
        open_source(f"hf:{tmp_path}")
    with pytest.raises(DataError, match="no such folder"):
        open_source("hf:./nowhere")
    with pytest.raises(NotFound, match="no setting named 'nose'"):
        open_source(f"hf:{tmp_path}?nose=1")


def test_a_model_of_another_task_is_told(tmp_path):
    transformers.BertConfig().save_pretrained(tmp_path)

    with pytest.raises(DataError, match="cannot open it as an image classifier"):
        open_source(f"hf:{tmp_path}").classifier()


def test_a_model_on_the_hub_is_refused_at_once_without_a_network(monkeypatch):
    monkeypatch.setattr(adapter, "hub_answers", lambda: False)

    with pytest.raises(DataError, match="no network") as caught:
        open_source("hf:google/vit-base-patch16-224").classifier()

    assert "hf:FOLDER" in caught.value.hint


@pytest.mark.parametrize("kind", ["ViTModel", "ViTForMaskedImageModeling"])
def test_a_model_whose_head_would_stay_random_is_refused(tmp_path, kind):
    address = save(tmp_path, getattr(transformers, kind)(small_vit().config), PROCESSORS["vit"]())

    with pytest.raises(DataError, match=r"no weights for classifier\.bias, classifier\.weight, so they are random"):
        open_source(address).classifier()


def test_a_model_without_a_processor_says_how_its_pictures_are_fed_and_a_broken_one_is_refused(tmp_path):
    address = save(tmp_path, small_vit())

    (note,) = open_source(address).classifier().notes
    assert "has no preprocessor_config.json: pictures are fed as ImageNet models get them, 64 x 64" in note
    assert "the weights are random" in open_source(f"{address}?pretrained=false").notes[0]

    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "NoSuchProcessor"}')
    with pytest.raises(DataError, match=r"the image processor of hf:.* cannot be read"):
        open_source(address).classifier()


@pytest.mark.parametrize("kind", PROCESSORS)
def test_the_scores_are_those_of_the_processor_and_the_model(tmp_path, picture, kind):
    network, processor = small_vit(), PROCESSORS[kind]()
    expected = network(**processor(images=Pillow.fromarray(picture.pixels), return_tensors="pt")).logits[0].tolist()

    maps = classlens.explain(open_source(save(tmp_path, network, processor)).classifier(), picture, targets=[0, 1, 2])
    beside = classlens.explain(open_source((network, processor)).classifier(), picture, targets=[0, 1, 2])

    assert [one.logit for one in maps] == pytest.approx(expected, abs=1e-5)
    assert [one.logit for one in beside] == pytest.approx(expected, abs=1e-5)


def test_a_network_for_grey_pictures_gets_them_from_its_processor(tmp_path, picture):
    network = small_vit(num_channels=1)
    processor = transformers.ViTImageProcessor(size={"height": 64, "width": 64}, image_mean=[0.4], image_std=[0.2])
    grey = Pillow.fromarray(picture.pixels).convert("L")
    expected = network(**processor(images=grey, return_tensors="pt")).logits[0].tolist()

    maps = classlens.explain(open_source(save(tmp_path, network, processor)).classifier(), picture, targets=[0, 1, 2])

    assert [one.logit for one in maps] == pytest.approx(expected, abs=1e-5)


def test_a_network_for_more_channels_than_pictures_have_is_refused(tmp_path):
    with pytest.raises(DataError, match="takes 4 channels"):
        open_source(save(tmp_path, small_vit(num_channels=4))).classifier()


def test_a_whole_picture_is_encoded_by_the_processor_without_its_resizing(tmp_path, picture):
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic", num_labels=3)
    torch.manual_seed(0)
    network, processor = transformers.ResNetForImageClassification(config).eval(), PROCESSORS["clip"]()
    height, width = (round(side * 64 / min(picture.size)) for side in picture.size)
    small = Pillow.fromarray(picture.pixels).resize((width, height), Pillow.Resampling.BICUBIC)
    expected = network(
        **processor(images=small, return_tensors="pt", do_resize=False, do_center_crop=False)
    ).logits[0]  # fmt: skip

    maps = classlens.explain(
        open_source(save(tmp_path, network, processor)).classifier(),
        picture,
        targets=[0, 1, 2],
        options=classlens.ExplainOptions(whole=True),
    )

    assert [one.logit for one in maps] == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_network_of_timm_on_the_hub_is_fed_by_timms_own_transform(tmp_path, picture):
    timm = pytest.importorskip("timm")
    facts = timm.get_pretrained_cfg("test_resnet").to_dict() | {"num_classes": 3}
    told = {"architecture": "test_resnet", "num_classes": 3, "pretrained_cfg": facts}
    network = transformers.TimmWrapperForImageClassification(transformers.TimmWrapperConfig.from_dict(told)).eval()
    address = save(tmp_path, network)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    expected = network(**processor(images=Pillow.fromarray(picture.pixels), return_tensors="pt")).logits[0].tolist()

    maps = classlens.explain(open_source(address).classifier(), picture, targets=[0, 1, 2])

    assert [one.logit for one in maps] == pytest.approx(expected, abs=1e-5)


def test_a_network_that_takes_no_pictures_is_refused(tmp_path):
    config = transformers.PerceiverConfig(
        num_latents=4, d_latents=16, d_model=16, num_blocks=1, num_self_attends_per_block=1, num_cross_attention_heads=1
    )
    network = transformers.PerceiverForImageClassificationFourier(config)

    with pytest.raises(DataError, match="takes inputs, not pictures"):
        open_source(save(tmp_path, network)).classifier()


def test_a_processor_that_cuts_a_picture_into_rows_of_numbers_is_refused():
    processor = transformers.Siglip2ImageProcessor(patch_size=16, max_num_patches=4)

    with pytest.raises(DataError, match=r"Siglip2ImageProcessor.* makes no picture of one, but rows of numbers"):
        adapter.run_processor(processor, Pillow.new("RGB", (32, 32)), {})


def test_a_trainer_that_is_given_no_samples_has_a_network_and_no_schedule(tmp_path):
    arguments = transformers.TrainingArguments(str(tmp_path), report_to=[], use_cpu=True)

    source = open_source(transformers.Trainer(small_vit(), arguments))

    assert source.parts == ("classifier",)
