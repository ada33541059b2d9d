"""The data view of the page, used as a reader uses it: by pointer, by keys and by address, on a real server."""

import re
import shlex
from pathlib import Path

import pytest
from playwright.sync_api import expect

from classlens.cli.main import main
from tests.studio.running import running_studio

GRID = "[role=listbox]"
LONG = 1_281_167


@pytest.fixture
def data(page, studio):
    """The data view of the demo, once its first pictures are there."""
    page.goto(f"{studio.address}/data")
    expect(page.locator(f"{GRID} img").nth(8)).to_be_visible()
    yield page
    assert page.recorder.slips == []


@pytest.fixture(scope="module")
def photos(studio):
    return Path(studio.get("/sample/0/train/0.json")["path"]).parents[1]


def mode(page, name):
    page.locator(".segments span", has_text=re.compile(f"^{name}$")).click()


def cell(page, position):
    return page.locator(f"#cell-{position}")


def status(page):
    return page.locator(".status > span[role=status]")


def sample(page):
    return page.locator(".panel.sample")


def test_the_first_pictures_come_with_class_number_and_name(data):
    expect(cell(data, 0)).to_contain_text("brick")
    expect(cell(data, 0)).to_contain_text("0 photo_00.jpg")
    expect(status(data)).to_have_text("224 pictures")
    assert data.locator(".class-row").count() == 7
    assert data.locator(".cell").count() < 60


def test_a_page_that_is_left_at_once_has_its_icon(studio):
    """Browsers ask for this one then, whichever the page names."""
    status, headers, _ = studio.ask("/favicon.ico")

    assert (status, headers["content-type"]) == (200, "image/svg+xml")


def test_four_modes_and_another_seed(data):
    original = cell(data, 3).locator("img").get_attribute("src")
    mode(data, "Side by side")
    expect(cell(data, 3).locator("img")).to_have_count(2)
    mode(data, "Pipeline")
    expect(cell(data, 0)).to_contain_text("RandomResizedCrop")
    drawn = cell(data, 0).locator("figcaption").nth(1)
    expect(drawn).to_contain_text("box")
    before = drawn.inner_text()

    data.get_by_role("button", name="Re-roll").click()

    expect(drawn).not_to_have_text(before)
    expect(data).to_have_url(re.compile("mode=pipeline.*seed=1|seed=1.*mode=pipeline"))
    data.keyboard.press("m")
    expect(cell(data, 3).locator("img")).to_have_attribute("src", original)


def test_a_class_a_search_and_neither(data):
    data.get_by_role("button", name="espresso").click()
    expect(status(data)).to_have_text("32 of 224 pictures")
    expect(cell(data, 0)).to_contain_text("espresso")

    data.keyboard.press("/")
    data.keyboard.type("photo_07")
    expect(status(data)).to_have_text("1 of 224 pictures")
    data.keyboard.type("no such name")
    expect(data.get_by_text("No picture is like that")).to_be_visible()
    data.get_by_role("button", name="Show all pictures").click()

    expect(status(data)).to_have_text("224 pictures")
    data.get_by_role("searchbox", name="Find a class").fill("ca")
    expect(data.locator(".class-row")).to_have_count(1)


def test_keys_move_open_close_and_jump(data):
    for key, position in [("ArrowRight", 0), ("j", 1), ("ArrowDown", 8), ("k", 7), ("End", 223), ("Home", 0)]:
        data.keyboard.press(key)
        expect(data.locator("[aria-selected=true]")).to_have_id(f"cell-{position}")
    data.keyboard.press("g")
    data.keyboard.type("150")
    data.keyboard.press("Enter")
    expect(cell(data, 150)).to_have_attribute("aria-selected", "true")
    expect(cell(data, 150).locator("img")).to_be_in_viewport()

    data.keyboard.press("Enter")
    expect(sample(data)).to_contain_text("#150")
    data.keyboard.press("ArrowRight")
    expect(sample(data)).to_contain_text("#151")
    data.keyboard.press("Escape")
    expect(sample(data)).to_have_count(0)
    data.keyboard.press("?")
    expect(data.get_by_role("dialog", name="Keyboard")).to_contain_text("go to a number")
    data.keyboard.press("Escape")
    expect(data.get_by_role("dialog")).to_have_count(0)


def test_one_picture_stage_by_stage(data):
    cell(data, 2).click()
    panel = sample(data)
    expect(panel.locator(".stage-row")).to_have_count(4)
    expect(panel.locator(".large figcaption")).to_contain_text("LoadImageFromFile")

    panel.get_by_role("button", name="ColorJitter").click()
    expect(panel.locator(".large figcaption")).to_contain_text("ColorJitter")
    words = panel.locator(".words").last.inner_text()
    panel.get_by_role("button", name="Re-roll").click()
    expect(panel.locator(".words").last).not_to_have_text(words)
    panel.get_by_role("button", name="next").click()

    expect(panel).to_contain_text("#3")
    assert panel.get_by_role("link", name="Look at this").get_attribute("href") == "/look?target=0&split=train&index=3"
    data.go_back()
    expect(panel).to_have_count(0)


def test_a_batch_and_the_next_one(data):
    data.get_by_role("button", name="Batches").click()
    expect(data.locator(".card img").nth(15)).to_be_visible()
    first = data.locator(".card").first.inner_text()

    data.get_by_role("button", name="Next batch").click()

    expect(data.get_by_role("heading", name="Batch 1")).to_be_visible()
    expect(data.locator(".card").first).not_to_have_text(first)
    expect(data.locator(".card .share").first).to_contain_text("1.00")


def test_commands_are_copied(data):
    data.context.grant_permissions(["clipboard-read", "clipboard-write"])
    data.get_by_role("button", name="espresso").click()
    expect(status(data)).to_have_text("32 of 224 pictures")
    data.get_by_role("button", name="Share").click()
    assert (
        data.get_by_role("menuitem", name="Save as report").get_attribute("href").startswith("/report.html?view=data")
    )

    data.get_by_role("menuitem", name="Copy as command").click()

    expect(data.locator(".message")).to_contain_text("classlens browse demo --class espresso --mode original")
    expected = "classlens browse demo --class espresso --mode original --output-dir out/browse"
    assert data.evaluate("() => navigator.clipboard.readText()") == expected


def test_a_report_says_at_once_that_it_is_being_made_and_then_that_it_is_there(data):
    """It takes as long as a check and some maps; here it comes when the reader has seen the message."""
    made = []
    data.route("**/report.html*", lambda route: made.append(route))
    data.get_by_role("button", name="Share").click()
    data.get_by_role("menuitem", name="Save as report").click()
    message = data.locator(".message")
    expect(message).to_contain_text("The report is being made")

    with data.expect_download() as download:
        made[0].fulfill(body="<!doctype html><title>a report</title>", content_type="text/html")

    assert download.value.suggested_filename == "classlens-report.html"
    assert "a report" in Path(download.value.path()).read_text()
    expect(message).to_have_text("The report is there: classlens-report.html")
    data.get_by_role("button", name="Share").click()
    data.get_by_role("menuitem", name="Save as report").click()
    expect(message.last).to_contain_text("The report is being made")
    made[1].fulfill(status=422, json={"error": "the report was cancelled", "hint": ""})
    expect(message.last).to_have_text("the report was cancelled")
    data.recorder.console.clear()
    data.recorder.failed.clear()


def copied(page, item):
    """What a reader gets from the only Share button on the screen."""
    expect(page.get_by_role("button", name="Share")).to_have_count(1)
    page.get_by_role("button", name="Share").click()
    page.get_by_role("menuitem", name=item).click()
    expect(page.locator(".message").last).to_contain_text("Copied")
    return page.evaluate("() => navigator.clipboard.readText()")


def test_what_is_copied_shows_the_same_again(page, studio, tmp_path, monkeypatch):
    """A search is said by the numbers of its pictures, and what is copied runs as it is."""
    monkeypatch.chdir(tmp_path)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    found = [row["index"] for row in studio.get("/data.json?target=0&split=val&q=photo_03")["rows"]]
    page.goto(f"{studio.address}/data?q=photo_03&split=val&mode=transformed&seed=2")
    expect(status(page)).to_contain_text(f"{len(found)} of")

    command = copied(page, f"Copy as command (the {len(found)} pictures shown)")
    assert f" --index {' '.join(map(str, found))} --mode transformed --seed 2 --output-dir out/browse" in command
    assert main(shlex.split(command)[1:]) == 0
    assert len(list((tmp_path / "out" / "browse").rglob("*.jpg"))) == len(found)
    script = copied(page, "Copy as Python")
    assert script.startswith("import classlens\n")
    (tmp_path / "python").mkdir()
    monkeypatch.chdir(tmp_path / "python")
    exec(script, {})
    assert len(list((tmp_path / "python" / "out" / "browse").rglob("*.jpg"))) == len(found)
    assert page.recorder.slips == []


def test_a_batch_is_copied_as_a_batch_and_no_mode_is_chosen(page, studio):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{studio.address}/data?batch=1")
    expect(page.locator(".card img").first).to_be_visible()

    assert page.locator(".segments input:checked").count() == 0
    command = copied(page, "Copy as command")
    assert command == "classlens browse demo --batch 16 --number 2 --seed 0 --output-dir out/browse"
    assert "batch=16, number=2" in copied(page, "Copy as Python")
    page.goto(f"{studio.address}/data?at=3&open=1")
    expect(sample(page)).to_contain_text("#3")
    assert "--index 3 --seed 0 --output-dir out/browse" in copied(page, "Copy as command")


def test_language_and_theme_are_chosen_and_remembered(data):
    data.get_by_role("button", name="中文").click()
    expect(status(data)).to_have_text("224 张图片")
    data.get_by_role("button", name="主题").click()
    data.get_by_role("button", name="主题").click()
    data.reload()

    expect(data.get_by_role("link", name="数据")).to_have_attribute("aria-current", "page")
    expect(data.get_by_role("button", name="深色")).to_be_visible()
    assert data.evaluate("() => getComputedStyle(document.documentElement).colorScheme") == "dark"
    assert data.evaluate("() => document.documentElement.lang") == "zh-Hans"


def test_an_address_shows_the_same_again(open_page, studio):
    page = open_page()
    page.goto(f"{studio.address}/data?class=4&mode=transformed&seed=5&at=20&open=1")

    expect(sample(page)).to_contain_text("seed 5")
    expect(sample(page)).to_contain_text("#148")
    expect(cell(page, 20)).to_have_attribute("aria-selected", "true")
    expect(status(page)).to_have_text("32 of 224 pictures")
    expect(page.locator(".status .muted").first).to_have_text(re.compile("^in sight: 1[2-5][0-9] to 1[2-5][0-9]$"))
    assert page.recorder.slips == []


def test_on_a_telephone_everything_can_be_reached(open_page, studio):
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True)
    page.goto(f"{studio.address}/data")
    expect(cell(page, 0).locator("img")).to_be_visible()
    page.get_by_role("button", name="Classes").tap()
    page.get_by_role("button", name="gravel").tap()
    page.get_by_role("button", name="Close").tap()
    expect(status(page)).to_have_text("32 of 224 pictures")

    cell(page, 1).tap()

    expect(sample(page).locator(".large img")).to_be_in_viewport()
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
    assert page.recorder.slips == []


def test_a_view_that_breaks_says_so_and_the_others_go_on(open_page, studio):
    page = open_page()
    page.route("**/classes.json*", lambda route: route.fulfill(json={"state": "ready", "names": None, "counts": []}))
    page.goto(f"{studio.address}/data")
    expect(page.get_by_role("alert")).to_contain_text("This did not work")

    page.unroute("**/classes.json*")
    page.get_by_role("button", name="Try again").click()

    expect(cell(page, 0).locator("img")).to_be_visible()
    expect(page.locator(".class-row")).to_have_count(7)


def test_what_the_server_refuses_is_shown_with_its_hint(open_page, studio):
    page = open_page()
    page.route(
        "**/data.json*", lambda route: route.fulfill(status=500, json={"error": "disk gone", "hint": "mount it"})
    )
    page.goto(f"{studio.address}/data")

    expect(page.get_by_role("alert")).to_contain_text("disk gone")
    expect(page.get_by_role("alert")).to_contain_text("mount it")


def let_in(open_page, server, **settings):
    """A page of another server than the one that the tests share."""
    page = open_page(**settings)
    page.recorder.address = server.address
    page.goto(server.next_link())
    expect(page.locator(f"{GRID} img").first).to_be_visible(timeout=20_000)
    return page


@pytest.fixture(scope="module")
def long_list(photos, tmp_path_factory, browser):
    """A studio of as many pictures as ImageNet has: a list that names the demo's photos again and again."""
    folder = tmp_path_factory.mktemp("long")
    (folder / "photos").symlink_to(photos)
    names = [str(path.relative_to(photos)) for path in sorted(photos.rglob("*.jpg"))]
    lines = [f"photos/{name} {place % 7}" for place, name in enumerate(names)]
    (folder / "train.txt").write_text("\n".join((lines * (LONG // len(lines) + 1))[:LONG]), encoding="utf-8")
    with running_studio(f"folder:{folder}/train.txt") as server:
        yield server


@pytest.mark.parametrize("width", [1400, 390])
def test_a_million_pictures_are_scrolled_from_end_to_end(open_page, long_list, width):
    page = let_in(open_page, long_list, viewport={"width": width, "height": 844})
    expect(status(page)).to_have_text("1,281,167 pictures", timeout=30_000)

    page.keyboard.press("End")
    expect(cell(page, LONG - 1).locator("img")).to_be_in_viewport()
    page.locator(GRID).evaluate("(grid) => { grid.scrollTop = grid.scrollHeight / 2; }")
    expect(cell(page, 640_588)).to_be_attached()
    page.locator(GRID).evaluate("(grid) => { grid.scrollTop = 0; }")
    expect(cell(page, 0)).to_be_in_viewport()

    assert page.locator(".cell").count() < 80
    assert page.recorder.slips == []


def test_a_reader_who_scrolls_on_as_the_scrollbar_is_put_right_is_followed(open_page, long_list):
    """The scrollbar is put where it belongs some time after the last event; here the next is still to come."""
    page = let_in(open_page, long_list)
    expect(status(page)).to_have_text("1,281,167 pictures", timeout=30_000)
    page.locator(GRID).evaluate("(grid) => { grid.scrollTop = grid.scrollHeight / 2; }")
    expect(cell(page, 640_588)).to_be_attached()
    page.wait_for_timeout(300)

    page.locator(GRID).evaluate(
        """async (grid) => {
          const started = [], { setTimeout } = window;
          window.setTimeout = (run, ...rest) => { started.push(run); return setTimeout(run, ...rest); };
          grid.scrollTop = grid.scrollHeight / 3;
          await new Promise((done) => grid.addEventListener("scroll", () => setTimeout(done, 0), { once: true }));
          window.setTimeout = setTimeout;
          grid.scrollTop = 0;
          started.forEach((run) => run());
        }"""
    )

    expect(cell(page, 0)).to_be_in_viewport()
    assert page.recorder.slips == []


def test_a_wheel_moves_a_million_pictures_by_the_pixels_that_it_asks_for(open_page, long_list):
    """The scrollbar is put where it belongs when the wheel rests, and nothing on the screen moves with it."""
    page = let_in(open_page, long_list)
    expect(status(page)).to_have_text("1,281,167 pictures", timeout=30_000)
    page.locator(GRID).evaluate("(grid) => { grid.scrollTop = grid.scrollHeight / 2; }")
    first = page.locator(".cell").nth(14)
    expect(first).to_be_in_viewport()
    page.wait_for_timeout(300)
    marked = page.locator(f"#{first.get_attribute('id')}")
    before = marked.bounding_box()["y"]

    page.mouse.move(700, 500)
    page.mouse.wheel(0, 150)
    page.wait_for_timeout(400)

    assert abs(marked.bounding_box()["y"] - (before - 150)) <= 1


def test_pictures_that_have_gone_out_of_sight_are_cancelled(open_page, long_list):
    """The first pictures never come; those at the end are loaded all the same, and nobody waits for the others."""
    page = open_page()
    page.recorder.address = long_list.address
    cancelled, held = [], []
    page.on("requestfailed", lambda request: cancelled.append(request.url))
    page.route(re.compile(r"/picture/0/train/\d{1,3}\.webp"), lambda route: held.append(route))
    page.goto(long_list.next_link())
    expect(status(page)).to_have_text("1,281,167 pictures", timeout=30_000)
    page.wait_for_timeout(200)

    page.keyboard.press("End")

    expect(cell(page, LONG - 1).locator("img")).to_be_visible()
    assert 1 <= len(held) <= 6
    assert sorted(cancelled) == sorted(route.request.url for route in held)


def test_places_of_the_scrollbar_and_of_the_list_belong_to_each_other(data):
    """The mapping of scrolling.js and back, at the ends, in the zones and between them; it never turns back."""
    errors = data.evaluate("""async () => {
        const { CAP, toScroll, toTop } = await import("/static/scrolling.js");
        return [1000, CAP, CAP + 1, 30e6, 6e9].map((whole) => {
            let worst = 0, last = -1;
            for (let step = 0; step <= 1000; step++) {
                const top = (whole * step) / 1000, scroll = toScroll(top, whole);
                if (scroll <= last) return Infinity;
                worst = Math.max(worst, Math.abs(toTop(scroll, whole) - top), toScroll(whole, whole) - CAP);
                last = scroll;
            }
            return worst;
        });
    }""")

    assert max(errors) < 1e-3


def test_a_bad_file_is_marked_named_and_found_again(open_page, photos, tmp_path):
    for name in ("cat", "rocket"):
        (tmp_path / name).mkdir()
        for place in range(3):
            (tmp_path / name / f"{place}.jpg").write_bytes((photos / name / f"photo_0{place}.jpg").read_bytes())
    (tmp_path / "cat" / "1<b>.jpg").write_bytes(b"no picture at all")

    with running_studio(f"folder:{tmp_path}") as server:
        page = let_in(open_page, server)
        expect(page.locator(".picture.bad")).to_have_count(1)
        page.get_by_role("button", name="Bad files").click()
        expect(status(page)).to_have_text("1 of 7 pictures")
        expect(cell(page, 0)).to_contain_text("1<b>.jpg")
        page.keyboard.press("j")
        page.keyboard.press("Enter")

        expect(sample(page).get_by_role("alert")).to_contain_text("Bad file:")
        assert page.recorder.slips == []


@pytest.mark.parametrize(("scheme", "locale"), [("light", "en-US"), ("dark", "zh-CN")])
def test_axe_finds_nothing(open_page, studio, scheme, locale):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page(color_scheme=scheme, locale=locale, reduced_motion="reduce")
    reports = {}
    for state in ("?mode=transformed&at=3&open=1", "?mode=pipeline", "?batch=0", "?q=nothing"):
        page.goto(f"{studio.address}/data{state}")
        expect(page.locator(".state .button" if "nothing" in state else ".middle img").first).to_be_visible()
        reports[state] = axe.run(page)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    reports["help"] = axe.run(page)

    assert {state: report.generate_report() for state, report in reports.items() if report.violations_count} == {}
    assert page.recorder.slips == []


def test_in_chinese_nothing_is_left_in_english(open_page, studio):
    page = open_page(locale="zh-CN")
    page.goto(f"{studio.address}/data?at=3&open=1")
    expect(sample(page).locator(".stage-row").last).to_be_visible()

    for part in (
        ".bar",
        ".status",
        ".views",
        ".classes header",
        ".balance",
        ".sample header",
        ".sample-actions",
        ".sample h3",
    ):
        words = set(re.findall(r"[A-Za-z]{2,}", page.locator(part).inner_text())) - {"photo", "jpg"}
        assert words == set(), part


def test_what_the_server_refuses_is_said_in_the_reader_s_language(studio, open_page):
    asked = """async (path) => {
        const { getJson } = await import("/static/api.js");
        return getJson(path).then(String, (error) => error.message);
    }"""
    page = open_page(locale="zh-CN")
    page.goto(f"{studio.address}/data")

    assert page.evaluate(asked, "/sample/0/val/9999.json") == "没有样本 9999"
    assert page.evaluate(asked, "/data.json?q=" + 500 * "a").startswith("搜索词最多")
    page.get_by_role("button", name="English").click()
    assert page.evaluate(asked, "/sample/0/val/9999.json") == "there is no sample 9999"
