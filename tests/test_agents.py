"""What SKILL.md and llms.txt tell agents: every line runs as printed, says what the table says, and every page is there."""

import json
import re
import shlex
import shutil

import pytest

from classlens.cli.main import COMMANDS, main
from classlens.files import CONFIGS, SHIPPED

SKILL = (SHIPPED / "SKILL.md").read_text(encoding="utf-8")
TASKS = {
    int(number): [line.strip() for line in lines.strip().splitlines()]
    for number, lines in re.findall(r"^(\d+)\. .*?```bash\n(.*?)```", SKILL, re.MULTILINE | re.DOTALL)
}
KEYS = dict(re.findall(r"^\| `([a-z -]+)` \| `(.+)` \|$", SKILL, re.MULTILINE))


def outer_keys(text):
    """The keys outside all brackets."""
    while "[" in text:
        text = re.sub(r"\[[^\[\]]*\]", "", text)
    return set(text.split())


def test_there_are_ten_tasks_and_every_command_is_named():
    assert list(TASKS) == list(range(1, 11))
    assert {name for name in COMMANDS if f"`{name}" in SKILL or f"classlens {name}" in SKILL} >= COMMANDS.keys() - {
        "completion",
        "demo",
    }


@pytest.mark.parametrize("number", TASKS)
def test_a_task_is_done_by_its_lines_as_they_stand(number, tmp_path, monkeypatch, capsys):
    (tmp_path / "configs").symlink_to(CONFIGS)
    shutil.copytree(SHIPPED / "demo" / "small", tmp_path / "photos")
    monkeypatch.chdir(tmp_path)

    for line in TASKS[number]:
        program, command, *rest = shlex.split(line)
        status = main([command, *rest])
        out, err = capsys.readouterr()

        assert (program, status) == ("classlens", 0), err
        data = json.loads(out)
        options = [option for option in ("--stats", "--preview-model") if option in rest]
        keys = outer_keys(KEYS.get(" ".join([command, *options]), ""))
        assert keys <= set(data[0] if isinstance(data, list) else data), keys
        for place in re.findall(r"out/\S+", line):
            assert (tmp_path / place).exists(), place


def test_every_page_is_in_the_list_and_every_link_leads_to_one():
    listed = re.findall(r"\]\(([^)]+)\)", (SHIPPED / "llms.txt").read_text(encoding="utf-8"))
    linked = re.findall(r"\]\(([^)]+)\)", SKILL)
    guides = {f"docs/{page.name}" for page in (SHIPPED / "docs").glob("*.md")} - {"docs/index.md"}

    assert [link for link in (*listed, *linked) if not (SHIPPED / link).exists()] == []
    assert guides - set(listed) == set()
