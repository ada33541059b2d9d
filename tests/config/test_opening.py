from classlens.config import load_config
from classlens.config.open_file import find_config
from classlens.files import CONFIGS


def test_a_trusted_config_is_run_once_also_with_overrides(tmp_path):
    mark = tmp_path / "was here"
    config = tmp_path / "config.py"
    config.write_text(f"from pathlib import Path\nPath({str(mark)!r}).touch(exist_ok=False)\nlr = 0.1\n")

    settings = load_config(config, {"lr": 0.2}, trust=True)

    assert settings["lr"] == 0.2
    assert mark.exists()


def test_overrides_leave_the_places_of_keys_known(tmp_path):
    config = tmp_path / "config.py"
    config.write_text("a = 1\nb = dict(c=2)\n")

    settings = load_config(config, {"b.c": 3, "b.cc": 4}, trust=False)

    assert settings["b"] == {"c": 3, "cc": 4}
    assert settings.where("b").endswith("config.py:2")
    assert len(settings.slips) <= 1


def test_a_documented_name_is_found_among_the_shipped_configs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    name = "resnet/resnet50_8xb32_in1k.py"
    assert find_config(f"./configs/{name}") == CONFIGS / name
