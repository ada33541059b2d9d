"""The Chinese pages translate what the English ones say now."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.zh-CN.md", *sorted((ROOT / "docs" / "zh").glob("*.md"))]


def test_no_translated_section_has_drifted():
    result = subprocess.run([sys.executable, ROOT / "scripts" / "mark_translations.py"], capture_output=True, text=True)

    assert result.stdout == ""
    assert result.returncode == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_translation_has_every_section_and_every_block_of_code(page):
    text = page.read_text(encoding="utf-8")
    marks = re.findall(r"<!-- (\S+\.md) (\d+) \w+ -->", text)
    if not marks:  # a page of its own
        return
    english = (ROOT / marks[0][0]).read_text(encoding="utf-8")

    assert [int(number) for _, number in marks] == list(range(english.count("\n## ") + 1))
    assert commands(text) == commands(english)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "src/classlens/studio/static/text.json"], ids=lambda page: page.name)
def test_one_thing_has_one_word(page):
    """A map is 类激活图, and its drawing 热力图; a schedule is 学习率调度, an epoch epoch, a landmark 关键点."""
    others = "热图|注意力图|训练计划|学习率计划|[0-9}] ?轮|载入|喂|数一遍|损坏文件"

    assert re.findall(f".*(?:{others}).*", page.read_text(encoding="utf-8")) == []


def test_links_to_pages_in_english_say_so():
    links = re.findall(r"\]\((docs/[a-z-]+\.md|SECURITY\.md)[^)]*\)(.{4})", PAGES[0].read_text(encoding="utf-8"))

    assert len(links) > 5
    assert {link for link, behind in links if behind != "（英文）"} == set()


def commands(text: str) -> list[str]:
    """The commands of a page, without the comments beside them."""
    return [line.partition(" #")[0].rstrip() for line in text.splitlines() if line.startswith("classlens ")]
