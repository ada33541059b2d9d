"""The core of `classlens check`: rules are chosen, run once on shared parts, and their findings drawn."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import classlens
from classlens.check.examine import examine
from classlens.check.finding import Exhibit, Finding, Skip
from classlens.check.inspection import Inspection
from classlens.check.rule import Rule, all_rules, choose_rules
from classlens.cli.main import main
from classlens.dataset.dataset import Dataset
from classlens.demo_photos import find_photo
from classlens.errors import ConfigError, DataError, NotFound, NotOffered
from classlens.figures.findings import annotations_of, spans, text_of
from classlens.image import Image
from classlens.schedule.schedule import Clock, Group, Schedule
from classlens.source import Plan, Source

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "classlens-house-rules"


def finding_rule(*findings, code="X001", needs=()):
    return Rule(code, "a rule", "error", needs, lambda inspection: findings, "What.\n\nCure: mend it.")


def scheduled(**more):
    group = Group("all", {"lr": 0.1})
    return Source("made", open_schedule=lambda: Schedule((group,)), plan=Plan(lambda size, gpus: Clock(2, 5)), **more)


def test_a_finding_says_what_its_rule_says_for_all_of_them():
    (one,) = examine(Inspection(scheduled()), [finding_rule(Finding("bad", where="a.py:3"))]).findings

    assert (one.code, one.severity, one.cure) == ("X001", "error", "mend it.")
    assert one.command == "classlens check made --select X001"


def test_a_command_repeats_what_the_user_said():
    inspection = Inspection(scheduled(), samples=20, target="my config.py", dataset_size=7, gpus=8)

    command = "classlens check 'my config.py' --select X --dataset-size 7 --ngpus 8 --samples 20"
    assert inspection.command("check", "--select", "X") == command
    assert inspection.command("lr") == "classlens lr 'my config.py' --dataset-size 7 --ngpus 8"


def test_a_rule_that_lacks_something_is_skipped_in_one_line_with_the_reason():
    rules = [finding_rule(), *(finding_rule(code=f"X00{number}", needs=("labels",)) for number in (2, 3, 5))]

    result = examine(Inspection(scheduled()), rules)

    assert result.skipped[0] == Skip("X002", "made has no dataset")
    assert text_of(result) == "skipped X002-X003, X005: made has no dataset\nmade: nothing found by 1 rule, 3 skipped"


def test_nothing_that_can_be_run_is_an_error():
    with pytest.raises(NotOffered, match="no rule can be run on made: there is no dataset"):
        examine(Inspection(scheduled()), [finding_rule(needs=("dataset",))])


def test_parts_are_opened_once_for_all_rules_and_so_are_those_that_fail():
    opened = []

    def fail(split):
        opened.append(split)
        raise DataError("no such folder: data")

    rules = [finding_rule(code=f"X00{number}", needs=("labels",)) for number in range(4)] + [finding_rule(code="X009")]
    result = examine(Inspection(scheduled(open_dataset=fail)), rules)

    assert {skip.why for skip in result.skipped} == {"no such folder: data"}
    assert sorted(opened) == ["test", "train", "val"]


def test_splits_that_are_the_same_files_are_looked_at_once(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name / "a.png")

    assert list(Inspection(classlens.open_source(f"folder:{tmp_path}")).splits) == ["train"]


def test_rules_are_chosen_by_the_beginnings_of_their_codes():
    assert {rule.code[:-3] for rule in choose_rules(["s"])} == {"S"}
    assert [rule.code for rule in choose_rules(["S00", "S010"], ["S001", "S005"])][:3] == ["S002", "S003", "S004"]
    with pytest.raises(NotFound, match="no rule named 'S9'"):
        choose_rules(["S9"])
    with pytest.raises(NotFound, match="no rule named 'Q'"):
        choose_rules(["S"], ["Q"])


def test_every_rule_has_a_whole_page():
    parts = ["", "Why it matters", "Example", "Cure"]

    assert [rule.code for rule in all_rules() if list(rule.page) != parts or not all(rule.page.values())] == []


def test_the_pages_in_the_documentation_are_current():
    done = subprocess.run([sys.executable, ROOT / "scripts" / "write_rule_pages.py", "--check"], check=False)

    assert done.returncode == 0, "run scripts/write_rule_pages.py"


def test_a_wrong_code_of_a_rule_is_refused():
    with pytest.raises(ValueError, match="three digits, not 'x1'"):
        finding_rule(code="x1")


def test_check_takes_a_source_and_says_so():
    with pytest.raises(TypeError, match=r"classlens.check\(classlens.open_source\('demo'\)\)"):
        classlens.check("demo")


def test_the_name_is_the_verb_whatever_was_imported_first():
    code = (
        "import classlens.check.finding, classlens; print(callable(classlens.check)); from classlens.check import check"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout == "True\n"


def test_neighbouring_codes_are_named_as_a_span():
    assert spans(["S001", "S002", "S003", "D001", "M009", "M011"]) == "S001-S003, D001, M009, M011"


@pytest.fixture
def mistaken(tmp_path):
    """A config whose warm-up never gets back, and whose milestone never fires."""
    config = tmp_path / "mistaken.py"
    config.write_text(
        "optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))\n"
        "param_scheduler = [dict(type='LinearLR', start_factor=0.01, by_epoch=True, end=1),\n"
        "                   dict(type='MultiStepLR', by_epoch=True, milestones=[3, 9])]\n"
        "train_cfg = dict(by_epoch=True, max_epochs=9)\n"
        "train_dataloader = dict(batch_size=2, dataset=dict(type='CustomDataset', data_root='absent'))\n"
    )
    return config


SPLIT = "dict(batch_size=2, dataset=dict(type='CustomDataset', data_prefix='photos', pipeline={}))"
STAGES = "[dict(type='LoadImageFromFile'), dict(type={!r}), dict(type='PackInputs')]"


def test_a_line_that_stops_training_is_an_error_and_no_reason_to_pass(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        (tmp_path / "photos" / name).mkdir(parents=True)
        shutil.copy(find_photo("espresso"), tmp_path / "photos" / name)
    good, bad = SPLIT.format(STAGES.format("CenterCrop")), SPLIT.format(STAGES.format("CentreCrop"))
    schedule = "optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))\ntrain_cfg = dict(max_epochs=3)\n"
    schedule += "param_scheduler = dict(type='CosineAnealingLR')\n"
    good = good.replace("CenterCrop'", "CenterCrop', crop_size=8")
    Path("config.py").write_text(f"train_dataloader = {good}\nval_dataloader = {bad}\n{schedule}")

    assert main(["check", "config.py", "--select", "S,D009", "--output-format", "github"]) == 1

    data, rate = sorted(capsys.readouterr().out.splitlines())
    assert data.startswith(
        "::error file=config.py,line=2,title=classlens D009::val pipeline: stage 2: no transform named"
    )
    assert "did you mean CenterCrop" in data
    assert rate.startswith("::error file=config.py,line=5,title=classlens S017::no scheduler named 'CosineAnealingLR'")


@pytest.mark.parametrize("place", ["data_root='absent'", "pipeline=[]"])
def test_data_that_are_not_there_are_answered_by_the_option_that_does_without(mistaken, place, capsys):
    mistaken.write_text(mistaken.read_text().replace("data_root='absent'", place))

    assert main(["check", str(mistaken)]) == 2

    err = capsys.readouterr().err
    assert "error: no rule can be run" in err
    assert "--dataset-size N" in err.partition("hint:")[2]


def test_the_command_prints_findings_and_ends_with_status_1(mistaken, capsys):
    status = main(["check", str(mistaken), "--select", "S", "--dataset-size", "20"])

    out = capsys.readouterr().out
    assert status == 1
    assert "warning S003: param_scheduler[0] (LinearLR): lasts one epoch, so the value stays at 0.01" in out
    assert "  cure:     set convert_to_iter_based=True\n" in out
    assert f"  again:    classlens lr {mistaken} --dataset-size 20\n" in out.replace("\n            ", " ")
    assert out.endswith(f"{mistaken}: 2 warnings by 17 rules\n")


def test_json_has_the_documented_form(mistaken, capsys):
    assert main(["check", str(mistaken), "-d", "20", "--output-format", "json"]) == 1

    data = json.loads(capsys.readouterr().out)
    keys = ["code", "severity", "message", "where", "evidence", "cure", "command"]
    assert data.keys() == {"findings", "skipped"}
    assert [list(one) for one in data["findings"]] == [keys, keys]
    assert all(list(one) == ["code", "why"] for one in data["skipped"])
    assert {one["code"] for one in data["findings"]} == {"S002", "S003"}


def test_annotations_of_github_escape_what_ends_them():
    source = scheduled()
    finding = Finding("50 % of a,b: bad", where=f"{__file__}:12")
    text = annotations_of(examine(Inspection(source), [finding_rule(finding)]))

    assert text.startswith(f"::error file={__file__},line=12,title=classlens X001::50 %25 of a,b: bad%0A")
    assert "\n" not in text


def test_a_page_holds_its_pictures(tmp_path):
    exhibit = Exhibit(Image(np.full((9, 9, 3), 200, np.uint8)), "grey & small")
    result = examine(Inspection(scheduled()), [finding_rule(Finding("<bad>", pictures=(exhibit,)))])

    drawing = classlens.draw(result)
    drawing.save(tmp_path / "page.html")

    page = (tmp_path / "page.html").read_text()
    assert "&lt;bad&gt;" in page
    assert "grey &amp; small" in page
    assert "data:image/webp;base64," in page
    assert drawing.endings == (".htm", ".html", ".txt")
    assert "data:image/webp" in drawing._repr_mimebundle_()["text/html"]


def test_a_rule_is_explained_and_rules_are_listed(capsys):
    assert main(["check", "--explain", "s003"]) == 0
    assert "Why it matters: the whole run trains" in capsys.readouterr().out

    assert main(["check", "--list", "--select", "S00"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 9
    assert main(["check", "--explain", "S999"]) == 2
    assert main(["check"]) == 2
    assert "nothing to check" in capsys.readouterr().err


def test_rules_are_listed_as_data(capsys):
    assert main(["check", "--list", "--select", "S003", "--output-format", "json"]) == 0

    (rule,) = json.loads(capsys.readouterr().out)
    assert (rule["code"], rule["severity"], rule["needs"]) == ("S003", choose_rules(["S003"])[0].severity, ["schedule"])
    assert rule["name"] == choose_rules(["S003"])[0].name


def test_findings_are_annotations_of_github_on_request(tmp_path, capsys):
    for name in ("a", "b"):
        Image(np.full((8, 8, 3), 9, np.uint8)).save(tmp_path / "cat" / f"{name}.png")
    (tmp_path / "cat" / "bad.png").write_bytes(b"no picture")

    assert main(["check", f"folder:{tmp_path}", "--select", "D001", "--output-format", "github"]) == 1

    assert capsys.readouterr().out.startswith("::error ")


def test_python_checks_a_source_as_the_command_does():
    findings = classlens.check(scheduled(), select=["S"])

    assert findings.ran == tuple(rule.code for rule in choose_rules(["S"]))
    assert repr(findings) == f"<Findings about made: {findings.summary()}>"


def test_data_without_a_sample_are_an_error():
    nothing = Dataset("nothing", 0, None, (), None, sample=lambda index: None, classes=("a",))

    with pytest.raises(NotOffered, match="the dataset has no samples"):
        examine(Inspection(scheduled(open_dataset=lambda split: nothing)), choose_rules(["D001"]))


def test_what_is_not_there_is_refused_before_any_work(tmp_path, capsys):
    assert main(["check", "demo", str(tmp_path / "absent.pth")]) == 2
    assert "no such checkpoint" in capsys.readouterr().err
    assert main(["check", "demo", "--log", str(tmp_path / "absent.json")]) == 2
    assert "no such log" in capsys.readouterr().err
    assert main(["check", f"folder:{ROOT / 'demo'}", __file__]) == 2
    assert "has no classifier" in capsys.readouterr().err
    assert main(["check", "demo", "--html", str(tmp_path / "a.png")]) == 2


def test_listing_rules_imports_no_framework():
    code = "import sys; from classlens.cli.main import main; main(['check', '--list']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert not {"torch", "matplotlib", "timm"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("import no_such_package", "the rules broken_rules:RULES of the package broken cannot be loaded: No module"),
        ("", "the rules broken_rules:RULES of the package broken cannot be loaded: "),
        (
            "from classlens.check.rule import Rule\n"
            "RULES = (Rule('S003', 'taken', 'error', (), lambda inspection: (), 'What.\\n\\nCure: none.'),)",
            "two rules have the code S003: ",
        ),
    ],
)
def test_a_package_whose_rules_cannot_be_had_is_named(tmp_path, monkeypatch, module, said):
    folder = tmp_path / "broken-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[classlens.rules]\nbroken = broken_rules:RULES\n")
    (tmp_path / "broken_rules.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_rules", raising=False)

    with pytest.raises(ConfigError, match=said):
        all_rules()


def test_a_package_adds_rules_by_an_entry_point(tmp_path, monkeypatch, capsys):
    import tomllib

    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folder = tmp_path / "classlens_house_rules-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1.0\n")
    ((name, value),) = project["entry-points"]["classlens.rules"].items()
    (folder / "entry_points.txt").write_text(f"[classlens.rules]\n{name} = {value}\n")
    monkeypatch.syspath_prepend(EXAMPLE / "src")
    monkeypatch.syspath_prepend(tmp_path)
    for split, count in {"train": 3, "val": 2}.items():
        for number in range(count):
            Image(np.full((8, 8, 3), number, np.uint8)).save(tmp_path / "data" / split / "cat" / f"{number}.png")

    assert [rule.name for rule in choose_rules(["HOUSE001"])] == ["small validation split"]
    assert main(["check", f"folder:{tmp_path / 'data'}", "--select", "HOUSE"]) == 1
    assert "warning HOUSE001: 2 pictures are few" in capsys.readouterr().out
