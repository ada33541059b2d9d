"""The audit view in a real browser: what an audit has written, with the pictures of the target beside it."""

import json
import re
import shutil
from contextlib import closing
from pathlib import Path
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

import classlens
from classlens.audit.answers import Answer, Answers
from classlens.errors import DataError
from classlens.printed import json_text
from classlens.studio.serve import StudioRequest
from tests.audit.tiny_setup import write_network, write_pictures
from tests.studio.running import enter, running_studio

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=60_000)

TABLE = (
    {"class": "red", "place": "its top left corner", "turned": 0.5625},
    {"class": "blue", "place": "", "turned": 0.0},
)
GIVEN = (
    Answer("shortcuts", "1 class hangs on a place", True, TABLE, (2, 5), ("the middle is not looked at",)),
    Answer("leaks", "no picture is also in the other split", False),
)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A network, pictures of which one is bad, and an audit of them with two answers."""
    place = tmp_path_factory.mktemp("audited")
    network, pictures = (
        write_network(place),
        write_pictures(place / "photos", 30, bad=(3,)),
    )  # the second of the first class
    out = place / "audit"
    classlens.run_audit(classlens.AuditRequest(network, str(out), data=pictures, workers=0))
    (out / "answers.json").write_text(json_text(Answers(str(out), GIVEN, {}).as_data()))
    return network, pictures, "--audit", str(out)


@pytest.fixture(scope="module")
def audited(words):
    with running_studio(*words) as server:
        yield server


def test_a_studio_in_a_program_shows_an_audit_too(words):
    network, pictures, _, out = words

    opener = build_opener(HTTPCookieProcessor())

    with closing(classlens.studio(network, pictures, audit=out)) as running:
        opener.open(running.link).close()
        said = json.load(opener.open(running.link.partition("?")[0] + "audit.json"))

    assert said["accuracy"] == json.loads(Path(out, "summary.json").read_text())["accuracy"]


def test_the_page_says_what_the_audit_has_written(open_page, audited, words):
    page = enter(open_page, audited, "/audit")
    said, summary = audited.get("/audit.json"), json.loads(Path(words[-1], "summary.json").read_text())

    expect(page.get_by_role("link", name="Audit")).to_have_attribute("aria-current", "page")
    assert said["accuracy"] == summary["accuracy"]
    assert page.locator("dd").all_inner_texts()[:3] == [
        "30",
        "29",
        f"{100 * summary['accuracy']:.1f} %".replace(".0 ", " "),
    ]
    expect(page.get_by_text("1: damaged PNG: its header cannot be read")).to_be_visible()
    for title in (
        "The most confident mistakes",
        "Classes",
        "What is taken for what",
        "Share of right answers over probability",
    ):
        expect(page.locator("article h2", has_text=title).first).to_be_visible()
    mistakes = page.locator("article", has=page.get_by_text("The most confident mistakes")).locator("figure")
    assert mistakes.count() == len(summary["mistakes"]) > 0
    expect(mistakes.first.locator("a[href*='/look']")).to_have_count(0)  # the network is another target
    circles = page.locator(".reliability circle")
    assert circles.count() == sum(one["count"] > 0 for one in summary["bins"])
    assert page.recorder.slips == []


def test_an_answer_has_its_verdict_its_table_and_pictures_that_lead_to_the_data(open_page, audited):
    page = enter(open_page, audited, "/audit")
    expect(page.locator("article.finding")).to_have_count(len(GIVEN))
    trouble, calm = page.locator("article.finding").all()

    assert trouble.locator(".severity").count() == 1 > calm.locator(".severity").count()
    expect(trouble.get_by_text("1 class hangs on a place")).to_be_visible()
    assert trouble.locator("th").all_inner_texts() == ["class", "place", "turned"]
    assert trouble.locator("td").all_inner_texts() == ["red", "its top left corner", "0.5625", "blue", "", "0"]
    for shown in trouble.locator("figure img").all():
        shown.scroll_into_view_if_needed()
        page.wait_for_function("one => one.naturalWidth > 0", arg=shown.element_handle())
    assert trouble.locator("figure img").count() == 4  # two pictures, each with its map
    trouble.get_by_role("link", name="#5").click()
    expect(page).to_have_url(re.compile(r"/data\?target=1&split=val&at=5"))
    expect(page.locator("[aria-selected=true]")).to_have_attribute("id", "cell-5")
    assert page.recorder.slips == []


def test_the_parts_are_walked_through_by_keys(open_page, audited):
    page = enter(open_page, audited, "/data?target=1")
    expect(page.get_by_role("link", name="Audit")).to_be_visible()  # the views are known
    page.keyboard.press("5")
    parts = page.locator("article")
    expect(parts.first).to_be_visible()

    for key, place in (("j", 0), ("j", 1), ("j", 2), ("k", 1)):
        page.keyboard.press(key)
        expect(parts.nth(place)).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_text("next, previous part")).to_be_visible()
    assert page.recorder.slips == []


@pytest.mark.parametrize(("scheme", "locale", "width"), [("light", "en-US", 1400), ("dark", "zh-CN", 390)])
def test_axe_finds_nothing(open_page, audited, scheme, locale, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = enter(
        open_page, audited, "/audit", color_scheme=scheme, locale=locale, viewport={"width": width, "height": 844}
    )
    expect(page.locator("article").nth(5)).to_be_visible()

    report = axe.run(page)

    assert report.violations_count == 0, report.generate_report()
    assert page.locator(".view > .scroll").evaluate_all("all => all.every((one) => one.scrollWidth <= one.clientWidth)")
    assert page.recorder.slips == []


def test_without_its_pictures_the_page_says_what_to_open(open_page, words):
    network, _, *audit = words
    with running_studio(network, *audit) as server:
        page = enter(open_page, server, "/audit")

        expect(page.get_by_text("To see its pictures, open")).to_be_visible()
        assert page.locator("figure a[href]").count() == 0
        assert page.locator("figure img[src^='/audit/picture/']").count() > 0
        assert page.recorder.slips == []


def test_maps_go_by_numbers_alone_and_no_folder_leaves_the_machine(audited, words):
    for path in ("picture/2", "class/0", "cluster/0"):
        status, headers, body = audited.ask(f"/audit/{path}.webp")
        assert (status, headers["content-type"], body[8:12]) == (200, "image/webp", b"WEBP"), path
    for path in ("picture/1", "picture/30", "class/3", "cluster/99", "rows/0", "picture/-1", "picture/..", "picture/a"):
        assert audited.ask(f"/audit/{path}.webp")[0] == 404, path
    folder = words[-1].rpartition("/")[0]
    said = audited.get("/audit.json")

    assert said.pop("command") == f"classlens verify {words[-1]}"  # what the user has named is named so
    assert said.pop("python") == f"rows = next(classlens.read_rows({words[-1]!r}))\nprint(rows)"
    assert folder not in json.dumps(said)


def test_a_studio_without_an_audit_has_no_such_view(studio, page):
    assert "audit" not in studio.get("/session.json")["views"]
    assert studio.ask("/audit.json")[0] == 404
    assert json.loads(studio.ask("/audit.json")[2])["offered"] is False


def test_an_audit_that_cannot_be_read_is_one_error(words, tmp_path):
    network, _, *_ = words
    with pytest.raises(DataError, match="no audit in"):
        StudioRequest(("demo",), audit=str(tmp_path))
    shutil.copytree(words[-1], tmp_path / "audit")
    summary = tmp_path / "audit" / "summary.json"
    with running_studio(network, "--audit", str(tmp_path / "audit")) as server:
        for content in ("no JSON", "[]", '{"pictures": 3}'):
            summary.write_text(content)
            status, _, body = server.ask("/audit.json")
            assert (status, json.loads(body)["error"][:21]) == (422, "cannot read the audit"), content
        summary.unlink()
        assert "has not come to its end" in json.loads(server.ask("/audit.json")[2])["error"]
