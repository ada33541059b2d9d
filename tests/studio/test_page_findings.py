"""The findings view in a real browser, on a folder of photos with faults, and on the demo, which has none."""

import re
import shutil

import pytest

from classlens.demo_photos import make_photos
from tests.studio.running import enter, running_studio

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory, browser):
    """A studio of photos of which one is in both splits, and one is no picture."""
    folder = tmp_path_factory.mktemp("faulty") / "photos"
    make_photos(folder)
    photos = sorted((folder / "train").rglob("*.jpg"))
    twin = folder / "val" / photos[0].parent.name / "twin.jpg"
    twin.parent.mkdir(exist_ok=True)
    shutil.copy(photos[0], twin)
    photos[1].write_bytes(b"no picture at all")
    with running_studio(f"folder:{folder}") as server:
        yield server


def cards(page):
    return page.locator("article.finding")


def test_a_finding_has_its_picture_number_cure_and_command(open_page, faulty):
    page = enter(open_page, faulty, "/findings")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    expect(cards(page).first).to_be_visible()
    expect(page.locator("[role=status] progress")).to_have_count(0)
    reported = faulty.get("/findings.json?target=0")["findings"]
    assert cards(page).count() == len(reported) >= 2

    for card, finding in zip(cards(page).all(), reported, strict=True):
        expect(card.locator("h2")).to_have_text(finding["message"])
        expect(card.locator(".severity")).to_contain_text(finding["severity"])
        assert card.locator(".evidence dt").all_inner_texts() == list(finding["evidence"])
        assert card.locator("figure").count() == len(finding["pictures"])
    shown = page.locator(".exhibits img").first
    shown.scroll_into_view_if_needed()
    page.wait_for_function("one => one.naturalWidth > 0", arg=shown.element_handle())
    cards(page).first.get_by_role("button", name="Copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == reported[0]["command"]
    assert page.recorder.slips == []


def test_findings_are_walked_through_and_filtered_by_severity_and_subject(open_page, faulty):
    page = enter(open_page, faulty, "/findings")
    expect(cards(page).first).to_be_visible()
    reported = faulty.get("/findings.json?target=0")["findings"]
    errors = [one for one in reported if one["severity"] == "error"]

    page.keyboard.press("j")
    expect(cards(page).nth(0)).to_be_focused()
    page.keyboard.press("j")
    expect(cards(page).nth(1)).to_be_focused()
    page.keyboard.press("k")
    expect(cards(page).nth(0)).to_be_focused()

    page.get_by_text(re.compile("^Errors")).click()
    expect(cards(page)).to_have_count(len(errors))
    expect(page).to_have_url(re.compile("severity=error"))
    page.get_by_text(re.compile("^All")).click()
    page.get_by_text(re.compile("^Data [0-9]")).click()
    expect(cards(page)).to_have_count(sum(one["code"].startswith("D") for one in reported))
    page.goto(f"{faulty.address}/findings?family=S")
    page.get_by_role("button", name="Show all findings").click()
    expect(cards(page)).to_have_count(len(reported))
    assert page.recorder.slips == []


def test_a_check_tells_how_far_it_is_and_can_be_stopped_and_begun_again(open_page, browser):
    with running_studio("demo") as server:
        page = enter(open_page, server, "/findings")
        expect(page.get_by_text("Looking for mismatches")).to_be_visible()
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("alert")).to_contain_text("Cancelled.")
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_text("Looking for mismatches")).to_be_visible()
        assert page.recorder.slips == []


@pytest.mark.parametrize(("scheme", "locale", "width"), [("light", "en-US", 1400), ("dark", "zh-CN", 390)])
def test_axe_finds_nothing(open_page, faulty, scheme, locale, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = enter(
        open_page, faulty, "/findings", color_scheme=scheme, locale=locale, viewport={"width": width, "height": 844}
    )
    expect(cards(page).first).to_be_visible()
    page.locator("summary").click()

    report = axe.run(page)

    assert report.violations_count == 0, report.generate_report()
    assert page.locator(".scroll").evaluate_all("all => all.every((one) => one.scrollWidth <= one.clientWidth)")
    assert page.recorder.slips == []


def test_where_nothing_is_found_the_page_says_what_could_not_be_looked_at(open_page, browser, tmp_path):
    make_photos(tmp_path / "photos")
    with running_studio(f"folder:{tmp_path / 'photos'}") as server:
        page = enter(open_page, server, "/findings")

        expect(page.get_by_text("Nothing wrong was found")).to_be_visible()
        expect(page.locator(".skipped summary")).to_have_text(re.compile(r"^\d\d rules did not run$"))
        expect(page.locator(".skipped dd").first).to_have_text("there is no schedule")
        assert page.recorder.slips == []


def test_no_tick_says_that_all_is_well_while_another_target_has_findings(open_page, faulty, browser, tmp_path):
    make_photos(tmp_path / "clean")
    flawed = faulty.get("/session.json")["targets"][0]["name"]
    with running_studio(f"folder:{tmp_path / 'clean'}", flawed) as server:
        page = enter(open_page, server, "/findings")

        expect(page.get_by_text("Nothing wrong was found in this target")).to_be_visible()
        count = len(server.get("/findings.json?target=1")["findings"])
        expect(page.get_by_text(f"{count} findings in other targets")).to_be_visible()
        expect(page.locator(".tick")).to_have_count(0)
        expect(page.get_by_role("link", name="Findings")).to_have_text(f"Findings {count}")
        expect(page.get_by_label("Target").locator("option").nth(1)).to_contain_text(f"({count})")
        page.goto(f"{server.address}/look?target=1")
        expect(page.get_by_text("This target has no network to look into")).to_be_visible()
        page.goto(f"{server.address}/schedule")
        expect(page.get_by_text("There is no schedule to show")).to_be_visible()
        assert page.get_by_role("button", name="Try again").count() == 0
        assert page.recorder.slips == []
