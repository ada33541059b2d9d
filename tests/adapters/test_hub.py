"""What was downloaded before is opened without a network, at once and in silence; anything else is refused in one line.

Every case runs in a process of its own, on a cache as the Hub's client lays it out, with a Hub that has no address.
"""

import json
import os
import subprocess
import sys

import pytest
import torch

from classlens.adapters import hub, open_source
from classlens.adapters.hub import reachable, split_settings
from classlens.errors import ConfigError, DataError

timm = pytest.importorskip("timm")
transformers = pytest.importorskip("transformers")
datasets = pytest.importorskip("datasets")
torchvision = pytest.importorskip("torchvision")

COMMIT = "a" * 40


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache with one model of each kind and one dataset."""
    folder = tmp_path_factory.mktemp("cache")
    own = timm.create_model("test_resnet", num_classes=2)
    pretrained = {"input_size": [3, 64, 64], "mean": [0.1, 0.2, 0.3], "std": [0.5] * 3, "num_classes": 2}
    told = {
        "architecture": "test_resnet",
        "num_classes": 2,
        "pretrained_cfg": {**pretrained, "label_names": ["a", "b"]},
    }
    snapshot(folder, "models--user--mine", own.state_dict()).joinpath("config.json").write_text(json.dumps(told))
    published = timm.get_pretrained_cfg("test_resnet").hf_hub_id
    snapshot(folder, f"models--{published.replace('/', '--')}", timm.create_model("test_resnet").state_dict())
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32
    )
    vit = snapshot(folder, "models--user--vit", {})
    transformers.ViTForImageClassification(config).save_pretrained(vit)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(vit)
    weights = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.url.rpartition("/")[2]
    (folder / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(torchvision.models.squeezenet1_1().state_dict(), folder / "torch" / "hub" / "checkpoints" / weights)
    return folder


def snapshot(folder, repository, tensors):
    """An empty snapshot in the cache, with weights if there are any."""
    place = folder / repository / "snapshots" / COMMIT
    place.mkdir(parents=True)
    (folder / repository / "refs").mkdir()
    (folder / repository / "refs" / "main").write_text(COMMIT)
    if tensors:
        from safetensors.torch import save_file

        save_file(tensors, place / "model.safetensors")
    return place


OPENED = """
import json, sys, warnings
warnings.simplefilter("ignore")
import classlens
for address in sys.argv[1:]:
    source = classlens.open_source(address)
    try:
        print(json.dumps([source.dataset().name if address.startswith("hfds") else source.classifier().name]))
    except classlens.ClasslensError as error:
        print(json.dumps([str(error), error.hint]))
"""


def offline(cache, *addresses):
    """What opening each address gives in a process without a network: a name, or an error and its hint."""
    nowhere = {"HF_ENDPOINT": "https://hub.invalid", "HF_HUB_CACHE": str(cache), "TORCH_HOME": str(cache / "torch")}
    done = subprocess.run(
        [sys.executable, "-c", OPENED, *addresses],
        env={**os.environ, **nowhere},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


CACHED = ("timm:test_resnet", "timm:hf-hub:user/mine", "hf:user/vit", "torchvision:squeezenet1_1")
HINTS = {
    "timm:test_vit": "timm:test_vit?pretrained=false",
    "timm:hf-hub:user/other": "give a checkpoint",
    "hf:user/other": "hf:FOLDER",
    "hfds:user/other": "hfds:FOLDER",
    "torchvision:alexnet": "torchvision:alexnet:none",
}


@pytest.fixture(scope="module")
def opened(cache):
    """What opening each of these gives, in one process: to import the frameworks takes most of its time."""
    addresses = [*CACHED, *HINTS]
    return dict(zip(addresses, offline(cache, *addresses), strict=True))


def test_models_in_the_cache_open_without_a_network_and_without_a_word(opened):
    assert [opened[address] for address in CACHED] == [[address] for address in CACHED]


@pytest.mark.parametrize(("address", "hint"), HINTS.items())
def test_what_is_not_in_the_cache_is_refused_in_one_line(address, hint, opened):
    said, hinted = opened[address]

    assert said.endswith(f"{address} are not on this machine, and there is no network to get them")
    assert hint in hinted


@pytest.mark.parametrize(
    ("variables", "answer"),
    [
        ({}, False),
        ({"HTTPS_PROXY": "http://127.0.0.1:9"}, True),
        ({"https_proxy": "http://127.0.0.1:9"}, True),
        ({"ALL_PROXY": "socks5://127.0.0.1:9"}, True),
        ({"HTTP_PROXY": "http://127.0.0.1:9"}, False),
        ({"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "hub.invalid"}, False),
    ],
    ids=str,
)
def test_behind_a_proxy_the_name_of_a_server_is_not_asked_for(variables, answer, monkeypatch):
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert reachable("https://hub.invalid/model") is answer


def test_without_a_proxy_the_name_of_a_server_is_asked_for(monkeypatch):
    for name in ("HTTPS_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)

    assert reachable("https://localhost/model")


@pytest.mark.parametrize(
    ("text", "name", "settings"),
    [
        ("resnet50", "resnet50", {}),
        ("resnet50?pretrained=false&num_classes=10", "resnet50", {"pretrained": False, "num_classes": 10}),
        ("a.b_c?drop_rate=0.1&img_size=(96, 96)", "a.b_c", {"drop_rate": 0.1, "img_size": (96, 96)}),
        ("x?act=relu&weights=None&path=a%26b", "x", {"act": "relu", "weights": None, "path": "a&b"}),
    ],
)
def test_settings_are_python_values(text, name, settings):
    assert split_settings(text) == (name, settings)


@pytest.mark.parametrize("text", ["a?b", "a?=3", "a?b=1&c"])
def test_a_setting_without_a_name_or_value_is_refused(text):
    with pytest.raises(ConfigError, match="has no value"):
        split_settings(text)


@pytest.mark.parametrize("address", ["hf:foo bar", "timm:hf-hub:foo bar"])
def test_a_name_that_the_hub_does_not_allow_is_refused_without_a_network(address, monkeypatch):
    monkeypatch.setattr(hub, "reachable", lambda url: False)

    with pytest.raises(DataError, match="no model on the Hub can be called 'foo bar'"):
        open_source(address).classifier()
