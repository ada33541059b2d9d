"""Other people's code in the page: unchanged, and with its licences, in the folder and in the wheel."""

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VENDOR = ROOT / "src" / "classlens" / "studio" / "static" / "vendor"
ROW = re.compile(r"^\| (\S+) \| npm (\S+) ([\d.]+)[^|]* \| (\S+) \| ([0-9a-f]{64}) \| (.+) \|$", re.MULTILINE)
ROWS = ROW.findall((VENDOR / "ATTRIBUTION.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "digest"), [(row[0], row[4]) for row in ROWS])
def test_what_is_vendored_is_what_was_published(name, digest):
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest


def test_every_vendored_file_has_a_row_and_a_licence_text():
    licences = {name for row in ROWS for name in re.findall(r"\w+\.LICENSE", row[5])}

    assert {path.name for path in VENDOR.iterdir()} == {row[0] for row in ROWS} | licences | {"ATTRIBUTION.md"}
    assert len(ROWS) >= 3


def test_the_wheel_carries_the_licence_texts():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    carried = {path for pattern in project["license-files"] for path in ROOT.glob(pattern)}

    assert set(VENDOR.glob("*.LICENSE")) < carried
