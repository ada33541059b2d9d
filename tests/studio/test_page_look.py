"""The look view in a real browser, with the shipped network: what it paints is what `classlens cam` draws."""

import base64
import io
import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import classlens
from classlens.cli.main import main
from classlens.figures.overlay import OverlayStyle, color_table
from tests.studio.running import enter, running_studio

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=30_000)  # a network waits for its turn on a busy machine
SAMPLE = 30  # of val: a rocket, whose best classes are others than those of its neighbours


@pytest.fixture(scope="module")
def rocket():
    """The picture's own file."""
    return classlens.open_source("demo").dataset("val").sample(SAMPLE).path


@pytest.fixture(scope="module")
def drawn(rocket, tmp_path_factory):
    """The overlay as `classlens cam` writes it, and the heat map below it in steps of a colour scale."""
    folder = tmp_path_factory.mktemp("drawn")
    assert main(["cam", rocket, "demo", "--save-path", str(folder / "map.png")]) == 0
    (saliency,) = classlens.explain(classlens.open_source("demo").classifier(), rocket)
    return np.asarray(Pillow.open(folder / "map.png").convert("RGB")), np.uint8(255 * saliency.heatmap().values)


@pytest.fixture
def look(page, studio):
    """The view, once the first map is there."""

    def open_at(query="", count=1):
        page.goto(f"{studio.address}/look?split=val&index={SAMPLE}{query}")
        expect(maps(page)).to_have_count(count, timeout=60_000)
        return page

    yield open_at
    assert page.recorder.slips == []


def maps(page):
    return page.locator("figure.map canvas")


def painted(canvas):
    """What is on a canvas: height x width x 3."""
    _, _, data = canvas.evaluate("canvas => canvas.toDataURL('image/png')").partition(",")
    return np.asarray(Pillow.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def expect_painted(page, wanted):
    """The map is these pixels exactly, sooner or later: painting follows a change by a frame."""
    for _ in range(50):
        if np.array_equal(painted(maps(page)), wanted):
            return
        page.wait_for_timeout(100)
    # Two processes may add in another order: a value between two colours is then one step of the scale off.
    np.testing.assert_allclose(painted(maps(page)).astype(int), wanted, atol=8)
    assert (painted(maps(page)) != wanted).mean() < 1e-4


def slide(page, name, value):
    page.get_by_label(name).evaluate(
        """(input, value) => {
          input.value = value;
          for (const name of ["input", "change"]) input.dispatchEvent(new Event(name, { bubbles: true }));
        }""",
        str(value),
    )


def test_a_map_is_painted_pixel_by_pixel_as_the_command_draws_it(look, drawn):
    plain, heat = drawn
    page = look()

    expect_painted(page, plain)

    slide(page, "Opacity", 0)
    expect(page.locator(".slider output").first).to_have_text("0 %")
    picture = painted(maps(page))
    assert np.abs(picture.astype(int) - plain).max() > 50
    slide(page, "Opacity", 1)
    expect_painted(page, color_table()[heat])
    page.get_by_label("Colours").select_option("viridis")
    expect_painted(page, color_table(OverlayStyle("viridis"))[heat])
    slide(page, "Threshold", 0.5)
    hot = color_table(OverlayStyle("viridis"))[heat]
    expect_painted(page, np.where((heat >= 127.5)[..., None], hot, picture).astype(np.uint8))
    assert "opacity=1" in page.url
    assert "map=viridis" in page.url
    assert "threshold=0.5" in page.url


def test_the_best_classes_stand_beside_the_picture_and_each_has_a_map(look):
    page = look()
    names = page.locator(".guess .clip").all_inner_texts()
    shares = [float(one.rstrip(" %")) for one in page.locator(".guess span:last-child").all_inner_texts()]
    assert len(names) == 5
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 100
    expect(page.locator(".subject h2")).to_contain_text(names[0])
    expect(page.locator(".chosen")).to_contain_text("rocket")

    page.locator(".guess").nth(1).click()
    page.locator(".guess").nth(2).click()

    expect(page.locator(".subject h2")).to_have_count(2)
    assert [one.split()[0] for one in page.locator(".subject h2").all_inner_texts()] == [
        name.split()[0] for name in names[1:3]
    ]
    expect(page.locator(".guess[aria-pressed=true]")).to_have_count(2)
    page.get_by_label("Add a class").fill("tabby, tabby cat")
    expect(page.locator(".subject h2")).to_have_count(3)
    page.get_by_role("button", name="tabby", exact=True).click()
    expect(page.locator(".subject h2")).to_have_count(2)


def test_methods_and_layers_make_a_grid_and_layers_are_filtered(look):
    page = look()
    page.get_by_role("button", name="LayerCAM", exact=False).click()
    expect(maps(page)).to_have_count(2)
    usual = page.locator(".layer", has_text="usual")
    expect(usual.get_by_role("checkbox")).to_be_checked()

    page.get_by_label("Filter layers").fill("layers.5 depthwise")
    expect(page.locator(".layers [role=status]")).to_contain_text("layer")
    before = page.locator(".layers .layer").count()
    page.get_by_label("Filter layers").fill("backbone.layers.5")
    assert page.locator(".layers .layer").count() > before
    page.locator(".layer", has=page.get_by_text("backbone.layers.5", exact=True)).get_by_role("checkbox").check()

    expect(maps(page)).to_have_count(4)
    layers = page.locator("figure.map .mono").all_inner_texts()
    assert sorted(set(layers)) == ["backbone.layers.5", "backbone.layers.6.bn"]
    assert "layer=" in page.url


def test_a_map_says_where_it_is_hottest_and_what_is_under_the_pointer(look, drawn):
    page, heat = look(), drawn[1]
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    words = ["top", "", "bottom"][3 * row // len(heat)], ["left", "", "right"][3 * column // heat.shape[1]]
    label = page.locator(".map-open").get_attribute("aria-label")
    assert label.startswith("GradCAM at backbone.layers.6.bn for ")
    assert label.endswith(" ".join(filter(None, words)) or "in the middle")

    box = maps(page).bounding_box()
    x, y = 0.25, 0.75
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])

    expect(page.locator(".cross")).to_be_visible()
    share = float(page.locator("figure.map output").inner_text().rstrip(" %"))
    near = heat[int(y * len(heat)) - 2 : int(y * len(heat)) + 3, int(x * len(heat)) - 2 : int(x * len(heat)) + 3]
    assert near.min() / 2.55 - 1 <= share <= near.max() / 2.55 + 1


def test_other_pictures_are_reached_by_keys_buttons_numbers_and_links(look):
    page = look()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label(re.compile("^Sample, 0 to"))).to_have_value(str(SAMPLE + 1))
    page.keyboard.press("k")
    expect(page).to_have_url(re.compile(f"index={SAMPLE}&|index={SAMPLE}$"))
    page.get_by_role("button", name="next picture").click()
    number = page.get_by_label(re.compile("^Sample, 0 to"))
    number.fill("2")
    number.press("Enter")
    expect(page).to_have_url(re.compile("index=2"))
    page.go_back()
    expect(page).to_have_url(re.compile(f"index={SAMPLE + 1}"))
    page.get_by_label("Split").select_option("train")
    expect(page).to_have_url(re.compile("split=train&index=0"))
    page.get_by_role("link", name="in the data").click()
    expect(page).to_have_url(re.compile("/data[?].*split=train.*at=0|/data[?].*at=0.*split=train"))


def test_a_map_is_enlarged_and_its_heat_hidden_by_keys(look):
    page = look()
    page.locator(".map-open").press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("canvas")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)

    before = painted(maps(page))
    page.locator("h2", has_text="Methods").click()
    page.keyboard.press("o")
    expect(page.locator(".slider output").first).to_have_text("0 %")
    page.keyboard.press("o")
    expect_painted(page, before)


def png_of(pixels):
    content = io.BytesIO()
    Pillow.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def test_a_picture_is_uploaded_dropped_or_pasted(look, rocket):
    page, other = look(), classlens.open_source("demo").dataset("val").sample(0).path
    pixels = np.asarray(Pillow.open(rocket).convert("RGB"))
    first = page.locator(".guess .clip").all_inner_texts()

    page.locator("input[type=file]").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": png_of(pixels)}
    )
    expect(page).to_have_url(re.compile("upload=[0-9]+"))
    expect(page.get_by_alt_text("the uploaded picture")).to_be_visible()
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    assert page.locator(".guess .clip").all_inner_texts() == first

    for kind, name in (("DragEvent", "drop"), ("ClipboardEvent", "paste")):
        before = page.url
        page.evaluate(
            """([bytes, kind, name]) => {
              const data = new DataTransfer();
              data.items.add(new File([new Uint8Array(bytes)], "b.png", { type: "image/png" }));
              const made = kind === "DragEvent" ? new DragEvent(name, { dataTransfer: data, bubbles: true, cancelable: true })
                : new ClipboardEvent(name, { clipboardData: data, bubbles: true });
              document.querySelector(".look").dispatchEvent(made);
            }""",
            [list(png_of(np.asarray(Pillow.open(other).convert("RGB"))[:300, :300])), kind, name],
        )
        page.wait_for_url(lambda url, before=before: url != before and "upload=" in url)
    expect(page.locator(".guess .clip").first).not_to_have_text(first[0])
    page.get_by_role("button", name="Back to the data").click()
    expect(page.locator(".guess .clip").first).to_have_text(first[0])


def test_slow_maps_can_be_cancelled_and_asked_for_again(look):
    page = look()
    page.get_by_text("Slow ones").click()
    page.get_by_role("button", name="RISE", exact=False).click()
    page.locator(".maps").get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled.")).to_be_visible()
    page.locator(".maps").get_by_role("button", name="Try again").click()
    page.locator(".maps").get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled.")).to_be_visible()
    page.get_by_role("button", name="RISE", exact=False).click()
    expect(page.get_by_text("Cancelled.")).to_have_count(0)
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    expect(maps(page)).to_have_count(1)


def wait_for_end(studio, job, within):
    """A job that is wanted no more is cancelled within so many seconds; asking for it here would make it wanted."""
    time.sleep(within)
    assert studio.get(f"/jobs/{job}.json")["state"] == "cancelled"


def test_the_view_begins_with_a_picture_whose_label_the_network_knows(page, studio):
    page.goto(f"{studio.address}/look?split=val")
    expect(maps(page)).to_have_count(1, timeout=60_000)

    begin = studio.get("/look.json?split=val")["begin"]
    expect(page.get_by_label(re.compile("^Sample, 0 to"))).to_have_value(str(begin))
    assert page.recorder.slips == []


def test_a_page_that_is_left_ends_its_slow_map_and_another_page_says_what_it_waits_for(look, open_page, studio):
    page, slow = look(), f"{studio.address}/look?split=val&index={SAMPLE}&method=RISE"
    with page.expect_response("**/explain") as begun:
        page.goto(slow)
    job = begun.value.json()["job"]
    expect(page.locator(".maps .progress-text")).to_contain_text(re.compile("RISE · [1-9]"))
    other = open_page()
    other.goto(f"{studio.address}/look?split=val&index=35")
    expect(other.locator(".maps .progress-text")).to_contain_text("waiting for another job: RISE")

    page.goto(f"{studio.address}/look?split=val&index=31")
    wait_for_end(studio, job, within=4)  # the page has said that it goes: nobody waits until it is missed

    expect(maps(other)).to_have_count(1)
    expect(maps(page)).to_have_count(1)
    assert other.recorder.slips == []


def test_methods_that_this_network_cannot_have_are_greyed_out_with_the_reason(look):
    page = look()
    page.get_by_text("Slow ones").click()
    for name in ("AttentionRollout", "LeGrad"):
        button = page.get_by_role("button", name=name)
        expect(button).to_have_attribute("aria-disabled", "true")
        expect(button).to_have_attribute("title", re.compile("need a plain transformer"))
        expect(button).to_have_accessible_name(re.compile(f"{name} attention methods need a plain transformer"))
        button.click(force=True)
    expect(page.locator(".chips button[aria-disabled]")).to_have_count(2)
    assert "method" not in page.url


def test_a_class_that_there_is_not_is_answered_with_those_like_it(look):
    page = look()
    field = page.get_by_label("Add a class")

    field.fill("zzzz")
    field.press("Enter")
    expect(page.locator(".message").last).to_have_text("There is no class “zzzz”")
    field.fill("tabbi")
    field.press("Enter")
    expect(page.locator(".message").last).to_contain_text("Did you mean: tabby")
    field.fill("Tabby")
    field.press("Enter")

    expect(page.get_by_role("button", name="tabby", exact=True)).to_be_visible()
    expect(field).to_have_value("")


SETUP = """
import torch
from torch import nn
from torchvision import transforms

def network():
    return nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6))

def setup():
    return network(), transforms.Compose([transforms.Resize(32), transforms.CenterCrop(32), transforms.ToTensor()])
"""


def test_two_checkpoints_stand_side_by_side_and_maps_are_scored(open_page, rocket, tmp_path):
    torch = pytest.importorskip("torch")
    (tmp_path / "tiny.py").write_text(SETUP)
    names = {}
    exec(SETUP, names)
    for name in ("first", "second"):
        torch.manual_seed(len(name))
        weights = {
            key: torch.randn(one.shape) if one.dim() > 1 else one
            for key, one in names["network"]().state_dict().items()
        }
        torch.save(weights, tmp_path / f"{name}.pth")
    checkpoints = [str(tmp_path / f"{name}.pth") for name in ("first", "second")]
    with running_studio(f"py:{tmp_path / 'tiny.py'}:setup", "--checkpoint", *checkpoints) as server:
        page = enter(open_page, server, "/look?checkpoint=0,1&class=3")
        expect(page.get_by_text("Which picture?")).to_be_visible()
        page.locator("input[type=file]").set_input_files(rocket)

        expect(page.locator("figure.map figcaption > b")).to_have_text(["first", "second"])
        left, right = (painted(one) for one in maps(page).all())
        assert left.shape == right.shape == (32, 32, 3)
        assert (left != right).any()
        expect(page.locator(".guesses h3")).to_have_text(["first", "second"])
        page.get_by_role("button", name="second", exact=True).click()
        expect(maps(page)).to_have_count(1)

        page.get_by_label("Score the maps").check()
        rows = page.locator(".scores").first.locator("th[scope=row]")
        expect(rows).to_have_text(["deletion", "insertion", "drop", "increase", "road"])
        expect(page.locator(".scores thead th")).to_have_text(["map", "even", "random"])
        assert page.recorder.slips == []


def test_what_is_shown_is_copied_as_a_command(page, look):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    look("&method=GradCAM,EigenCAM", count=2)
    page.get_by_role("button", name="Share").click()
    page.get_by_role("menuitem", name="Copy as command").click()
    expect(page.get_by_text("Copied: classlens cam")).to_be_visible()
    command = page.evaluate("navigator.clipboard.readText()")
    assert command.startswith("classlens cam ")
    assert "EigenCAM" in command
    assert " demo" in command


def test_notes_of_the_feed_stand_above_a_large_map_and_an_upload_keeps_its_name(page, studio, look, rocket):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])

    def add_note(route):
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"notes": ["the mean is a guess"]})

    page.route("**/look.json*", add_note)
    look()
    expect(page.locator(".maps .notice")).to_have_text("the mean is a guess")
    assert maps(page).bounding_box()["width"] == 640
    cat = {"name": "my cat.jpg", "mimeType": "image/jpeg", "buffer": Path(rocket).read_bytes()}
    with page.expect_response(lambda answer: "/part/" in answer.url and answer.url.endswith(".bin")):
        page.locator("input[type=file]").set_input_files(cat)
    expect(page).to_have_url(re.compile("file=my"))
    page.get_by_role("button", name="Share").click()
    page.get_by_role("menuitem", name="Copy as command").click()
    expect(page.get_by_text("Copied: classlens cam './my cat.jpg' demo")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").endswith(" --save-path map.png")


def test_on_a_telephone_the_map_stands_before_the_classes(open_page, studio):
    page = open_page(viewport={"width": 390, "height": 844})
    page.goto(f"{studio.address}/look?split=val&index={SAMPLE}")
    expect(maps(page)).to_have_count(1, timeout=60_000)

    assert maps(page).bounding_box()["y"] < page.locator(".guesses").bounding_box()["y"]
    assert page.recorder.slips == []


@pytest.mark.parametrize(("scheme", "locale", "width"), [("light", "en-US", 1400), ("dark", "zh-CN", 390)])
def test_axe_finds_nothing(open_page, studio, scheme, locale, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page(
        color_scheme=scheme, locale=locale, viewport={"width": width, "height": 844}, reduced_motion="reduce"
    )
    page.goto(f"{studio.address}/look?split=val&index={SAMPLE}&class=657")
    expect(maps(page).first).to_be_visible(timeout=60_000)
    page.wait_for_timeout(300)

    report = axe.run(page)

    assert report.violations_count == 0, report.generate_report()
    assert page.locator(".scroll").evaluate_all("all => all.every((one) => one.scrollWidth <= one.clientWidth)")
    assert page.recorder.slips == []
