"""The schedule view in a real browser: every value of the run, to its last digit, and ways to each of them."""

import re

import pytest

import classlens
from tests.studio.running import enter, running_studio

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=30_000)
NAMES = ["Learning rate", "Momentum", "Weight decay"]


@pytest.fixture(scope="module")
def rates():
    """The learning rate of every step of the demo, from Python."""
    (run,) = classlens.plot_schedules(classlens.LrRequest(("demo",), parameter="all")).runs
    return run.named("lr")[0].values


@pytest.fixture
def schedule(page, studio):
    page.goto(f"{studio.address}/schedule")
    expect(panel(page, "Learning rate").locator(".course .muted")).to_have_text(re.compile("→"))
    yield page
    assert page.recorder.slips == []


def panel(page, name):
    return page.get_by_role("article", name=name)


def plot(page, name="Learning rate"):
    return panel(page, name).locator(".u-over")


def box_of(page, name="Learning rate"):
    """Where a plot is; it is made anew when its values arrive."""
    while (box := plot(page, name).bounding_box()) is None:
        page.wait_for_timeout(50)
    return box


def point_at(page, share, name="Learning rate"):
    """Move the pointer to a share of a plot's width."""
    box = box_of(page, name)
    page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)


def reading(page, name="Learning rate"):
    """The step under the cursor, and the value that is shown for it."""
    place = panel(page, name).locator("header output")
    expect(place).to_have_text(re.compile("step"))
    step = int(re.search(r"step ([\d,]+)", place.inner_text())[1].replace(",", ""))
    return step, float(panel(page, name).locator(".course output").first.inner_text())


def seen(page):
    """What part of the run the address says is shown."""
    found = re.search(r"from=([\d.]+)&to=([\d.]+)", page.url)
    return (float(found[1]), float(found[2])) if found else None


def test_each_hyper_parameter_has_a_panel_with_its_course(schedule, rates):
    assert schedule.locator(".curve-panel h2").all_inner_texts() == NAMES
    course = panel(schedule, "Learning rate").locator(".course .muted").first.inner_text().split(" → ")

    assert [float(one) for one in course] == pytest.approx([rates[0], rates.max(), rates[-1]], rel=5e-3)
    expect(panel(schedule, "Momentum").locator(".course .muted")).to_have_text("0.9")
    assert len(panel(schedule, "Weight decay").locator(".entry").all()) == 2
    for name in NAMES:
        expect(panel(schedule, name).get_by_text("Every value is drawn.")).to_be_visible()


def test_the_value_under_the_cursor_is_the_runs_own_to_the_last_digit(schedule, rates):
    for share in (0.02, 0.3, 0.77):
        point_at(schedule, share)
        step, value = reading(schedule)
        assert value == rates[step]
        assert abs(step - share * len(rates)) <= 2
        expect(panel(schedule, "Momentum").locator("header output")).to_contain_text(f"step {step}")
        expect(panel(schedule, "Momentum").locator(".u-cursor-x")).not_to_have_class(re.compile("u-off"))


def test_the_arrows_go_from_step_to_step(schedule, rates):
    schedule.keyboard.press("ArrowRight")
    assert reading(schedule) == (0, rates[0])
    schedule.keyboard.press("ArrowRight")
    schedule.keyboard.press("ArrowRight")
    assert reading(schedule) == (2, rates[2])
    schedule.keyboard.press("ArrowLeft")
    assert reading(schedule) == (1, rates[1])
    schedule.keyboard.press("Shift+ArrowRight")
    assert reading(schedule)[0] > 5


def test_a_stretch_is_zoomed_to_in_every_panel_and_all_is_shown_again(schedule):
    box = box_of(schedule)
    middle = box["y"] + box["height"] / 2
    schedule.mouse.move(box["x"] + 0.25 * box["width"], middle)
    schedule.mouse.down()
    schedule.mouse.move(box["x"] + 0.5 * box["width"], middle, steps=4)
    schedule.mouse.up()

    schedule.wait_for_url(re.compile("from="))
    assert seen(schedule) == pytest.approx((140, 280), abs=3)
    point_at(schedule, 0.99, "Momentum")
    assert reading(schedule, "Momentum")[0] == pytest.approx(279, abs=3)
    schedule.keyboard.press("+")
    low, high = seen(schedule)
    assert high - low == pytest.approx(70, abs=3)
    schedule.get_by_role("button", name="Later").click()
    assert seen(schedule)[0] > low
    schedule.get_by_role("button", name="Zoom out").click()
    schedule.keyboard.press("0")
    assert seen(schedule) is None
    expect(schedule.get_by_role("button", name="Whole run")).to_be_disabled()


def test_landmarks_lead_to_their_place(schedule, rates):
    table = schedule.locator(".landmarks tbody tr")
    texts = [row.locator("td").all_inner_texts() for row in table.all()]
    assert {one[1] for one in texts} == {"start", "peak, warm-up ends", "end"}
    (end,) = [one for one in texts if one[1] == "end"]
    assert int(end[3]) == len(rates) - 1
    assert float(end[5]) == pytest.approx(rates[-1], rel=1e-4)

    schedule.get_by_role("button", name="peak").first.click()

    peak = int(rates.argmax())
    low, high = seen(schedule)
    assert low <= peak <= high
    assert high - low < 60
    assert reading(schedule) == (peak, rates[peak])
    schedule.keyboard.press("j")
    assert reading(schedule)[0] > peak


def test_epochs_logarithms_and_single_curves_are_chosen(schedule):
    schedule.get_by_text("Epochs", exact=True).first.click()
    expect(schedule).to_have_url(re.compile("axis=epoch"))
    point_at(schedule, 0.5)
    expect(panel(schedule, "Learning rate").locator("header output")).to_have_text(re.compile(r"^epoch (19|20)"))

    log = panel(schedule, "Learning rate").get_by_label("Logarithmic")
    before = panel(schedule, "Learning rate").locator("canvas").evaluate("one => one.toDataURL()")
    log.check()
    expect(schedule).to_have_url(re.compile(r"log\.lr=1"))
    assert panel(schedule, "Learning rate").locator("canvas").evaluate("one => one.toDataURL()") != before

    entry = panel(schedule, "Weight decay").locator(".entry").first
    entry.click()
    expect(entry).to_have_attribute("aria-pressed", "false")
    schedule.reload()
    expect(panel(schedule, "Weight decay").locator(".entry").first).to_have_attribute("aria-pressed", "false")
    expect(panel(schedule, "Learning rate").get_by_label("Logarithmic")).to_be_checked()


SPIKE = """
def spike(step):
    return 0.9 if step == 45_678 else 0.1

schedule = {"lr": spike, "interval": "step"}
"""
CONFIG = """
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4))
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=True, T_max=60, end=100)
train_cfg = dict(by_epoch=True, max_epochs=100)
train_dataloader = dict(batch_size=32, dataset=dict(type='ImageNet', data_root='nowhere'))
"""


@pytest.fixture(scope="module")
def several(tmp_path_factory, browser):
    """A studio of a run with one odd step among 100,000, and of a config with a mistake and without its data."""
    folder = tmp_path_factory.mktemp("several")
    (folder / "odd.py").write_text(SPIKE)
    (folder / "short_cosine.py").write_text(CONFIG)
    with running_studio(f"py:{folder / 'odd.py'}:schedule", str(folder / "short_cosine.py")) as server:
        yield server


def highest(page):
    """The highest curve pixel of the first plot, in shares of its height: 0 is the top of the panel."""
    return page.locator(".curve-panel canvas").first.evaluate(
        """canvas => {
          const { width, height } = canvas, data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
          const is = (k) => Math.abs(data[k] - 0) + Math.abs(data[k + 1] - 114) + Math.abs(data[k + 2] - 178) < 40 && data[k + 3] > 200;
          for (let y = 0; y < height; y++) for (let x = 70; x < width; x++) if (is(4 * (y * width + x))) return y / height;
          return 1;
        }"""
    )


def test_one_odd_step_of_a_long_run_is_seen_and_reached(open_page, several):
    page = enter(open_page, several, "/schedule?steps=100000&run=0")
    odd = page.locator(".curve-panel").first
    expect(odd.locator(".course .muted")).to_have_text("0.1 → 0.9 → 0.1")
    expect(odd.locator(".density")).to_contain_text("values fall on one pixel: their whole range is drawn")

    assert highest(page) < 0.2
    page.goto(f"{several.address}/schedule?steps=100000&run=0&from=45672&to=45692")
    expect(odd.locator(".density")).to_have_text("Every value is drawn.")
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    expect(odd.locator("header output")).to_contain_text("step 45,678")
    expect(odd.locator(".course output")).to_have_text("0.9")


def test_a_run_that_is_too_long_for_every_step_says_so(page, studio):
    page.goto(f"{studio.address}/schedule?epochs=1000000")
    rates = panel(page, "Learning rate")
    expect(rates.locator(".density")).to_contain_text("too long to send every step")
    point_at(page, 0.5)
    expect(rates.locator(".course output")).to_have_text(re.compile("^≈ 0"))
    assert page.recorder.slips == []


def test_a_run_without_its_data_says_what_it_needs_and_mistakes_are_shown(open_page, several):
    page = enter(open_page, several, "/schedule?steps=")
    expect(page.locator(".lint", has_text="short_cosine")).to_contain_text("error")
    page.get_by_text("Length", exact=True).click()
    page.get_by_label("Samples").fill("3200")
    page.get_by_label("Samples").press("Enter")

    expect(page.locator(".lint", has_text="it rises again")).to_contain_text("warning")
    page.get_by_role("button", name="Show").first.click()
    expect(page).to_have_url(re.compile("from="))
    assert page.recorder.slips == []


def test_lengths_open_with_what_is_in_force_and_a_wrong_one_leaves_the_plots(schedule):
    schedule.get_by_text("Length", exact=True).click()
    fields = {name: schedule.get_by_label(name, exact=True) for name in ("Samples", "GPUs", "Epochs")}
    fields["Epochs"] = schedule.locator(".lengths").get_by_label("Epochs")
    assert {name: one.input_value() for name, one in fields.items()} == {"Samples": "224", "GPUs": "1", "Epochs": "40"}

    for wrong in ("0", "1.5"):
        fields["Epochs"].fill(wrong)
        fields["Epochs"].press("Enter")
        expect(schedule.locator(".lengths [role=alert]")).to_contain_text("a whole number from 1 to 1,000,000,000")
        expect(schedule.locator(".curve-panel")).to_have_count(3)
    assert "epochs=" not in schedule.url
    fields["Epochs"].fill("50")
    fields["Epochs"].press("Enter")

    expect(schedule.get_by_text("700 steps = 50 epochs x 14 steps")).to_be_visible()
    fields["Epochs"].fill("100000000000000")
    fields["Epochs"].press("Enter")
    expect(schedule.locator(".scroll .lint, .scroll [role=alert]").first).to_be_visible()
    expect(schedule.locator(".curve-panel")).to_have_count(3)
    expect(schedule.get_by_role("button", name="Zoom in")).to_be_visible()


def test_several_runs_share_one_axis(open_page, several):
    page = enter(open_page, several, "/schedule?dataset_size=3200&steps=20000")
    rates = page.locator(".curve-panel").first
    expect(rates.locator(".entry")).to_have_text(["odd.py:schedule", "short_cosine"])
    dashes = rates.locator(".swatch path").evaluate_all("all => all.map((one) => one.getAttribute('stroke-dasharray'))")
    assert len(set(dashes)) == 2

    page.get_by_label("Runs").select_option("short_cosine")
    expect(rates.locator(".entry")).to_have_count(1)
    assert page.recorder.slips == []


def test_in_chinese_groups_landmarks_and_the_length_of_the_run_are_chinese(open_page, studio):
    page = open_page(locale="zh-CN")
    page.goto(f"{studio.address}/schedule")
    expect(page.locator(".views a")).to_have_text(["数据", "学习率调度", "类激活图", re.compile("检查结果")])

    expect(page.get_by_role("button", name="峰值、预热结束")).to_be_visible()
    expect(page.get_by_text("560 步 = 40 个 epoch × 14 步")).to_be_visible()
    expect(page.get_by_text("224 个样本 /（1 块 GPU × 16），保留最后一个批次：每个 epoch 14 步")).to_be_visible()
    expect(page.locator(".legend").last).to_contain_text("偏置")
    assert not re.search("[a-z]{3,} (layers|parameters|epochs|steps)", page.locator("main").inner_text())
    assert page.recorder.slips == []


@pytest.mark.parametrize(("scheme", "locale", "width"), [("light", "en-US", 1400), ("dark", "zh-CN", 390)])
def test_axe_finds_nothing(open_page, studio, scheme, locale, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page(color_scheme=scheme, locale=locale, viewport={"width": width, "height": 844})
    page.goto(f"{studio.address}/schedule")
    expect(page.locator(".course").first).to_be_visible()

    report = axe.run(page)

    assert report.violations_count == 0, report.generate_report()
    assert page.locator(".scroll").evaluate_all("all => all.every((one) => one.scrollWidth <= one.clientWidth)")
    assert page.recorder.slips == []
