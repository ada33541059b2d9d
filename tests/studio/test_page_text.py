"""Every word of the page is in one table, in both languages, and nothing in the table is left over."""

import json
import re
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "classlens"
STATIC = SOURCE / "studio" / "static"
TABLE = json.loads((STATIC / "text.json").read_text(encoding="utf-8"))
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in STATIC.glob("*.js") if path.name != "text.js"}
PYTHON = "".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
PAGES = "".join(path.read_text(encoding="utf-8") for path in (SOURCE / "figures").glob("page.*")) + (
    SOURCE / "figures" / "curves.js"
).read_text(encoding="utf-8")
"""What makes pages in one file."""
SPACES = "|".join(sorted({key.partition(".")[0] for key in TABLE}))
SAID = re.compile(rf'"((?:{SPACES})\.[a-z_]+(?:\.[a-z_0-9]+)*)"')
SAID_WITH_A_HOLE = re.compile(rf"[`\"]((?:{SPACES})\.(?:[a-z_]+\.)*)\$?\{{")
HOLES = re.compile(r"\{\w+\}")
HAN = re.compile(r"[\u4e00-\u9fff]")


def holes(text):
    """The values that a text needs; each of its forms for one and for many has to have no others."""
    return [set(HOLES.findall(form)) for form in text.split("|")]


def test_every_entry_is_a_line_with_a_pair_and_none_comes_twice():
    lines = (STATIC / "text.json").read_text(encoding="utf-8").splitlines()[1:-1]

    assert [re.match(r'  "([\w.]+)": \["[^"]', line)[1] for line in lines] == list(TABLE)
    assert {len(pair) for pair in TABLE.values()} == {2}
    assert len(TABLE) > 250


def test_both_languages_say_everything():
    for key, (english, chinese) in TABLE.items():
        assert english.strip(), key
        assert chinese.strip(), key
        assert not HAN.search(english) or key.endswith(".language"), key
        assert "|" not in chinese, f"{key}: Chinese has no plural"
        needed = holes(chinese)[0]
        assert all(form | {"{count}"} == needed | {"{count}"} for form in holes(english)), key


def test_every_text_that_is_said_is_in_the_table():
    missing = {f"{name}: {key}" for name, script in SCRIPTS.items() for key in SAID.findall(script) if key not in TABLE}
    prefixes = {prefix for script in SCRIPTS.values() for prefix in SAID_WITH_A_HOLE.findall(script)}

    assert missing == set()
    assert {one for one in prefixes if not any(key.startswith(one) for key in TABLE)} == set()


def test_every_text_of_a_page_in_one_file_is_in_the_table():
    said = set(re.findall(r'say\(\s*"([\w.]+)"', PYTHON)) | {
        f"script.{key}" for key in re.findall(r'(?:\bt\(|data-word=)"(\w+)"', PAGES)
    }

    assert len(said) > 40
    assert said - TABLE.keys() == set()


def test_no_text_in_the_table_is_left_over():
    said = {key for script in (*SCRIPTS.values(), PYTHON) for key in SAID.findall(script)}
    prefixes = tuple({prefix for script in (*SCRIPTS.values(), PYTHON) for prefix in SAID_WITH_A_HOLE.findall(script)})
    prefixes += ("work.", "engine.")  # texts that are made elsewhere: text.js and words.py look for them
    said |= {f"script.{key}" for key in re.findall(r'"(\w+)"', PAGES)}

    assert {key for key in TABLE if key not in said and not key.startswith(prefixes)} == set()


def test_no_words_stand_between_tags_outside_the_table():
    """A word in the templates of a view would stay English; names of units and products may."""
    between = re.compile(r">\s*([A-Za-z][A-Za-z ,.]{2,})\s*(?:</|\$\{)")

    words = {f"{name}: {word}" for name, script in SCRIPTS.items() for word in between.findall(script)}

    assert words - {"app.js: Classlens"} == set()
