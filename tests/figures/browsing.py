"""What a real browser says of pages: `python -m tests.figures.browsing FILE ...` prints it as JSON.

It is a process of its own, so that no other browser of the suite is in its way.
"""

import json
import shutil
import sys
import time
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LOOKS = {
    "light": {"viewport": {"width": 1400, "height": 900}},
    "dark": {"viewport": {"width": 1400, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}},
    "chinese": {"viewport": {"width": 1400, "height": 900}, "locale": "zh-CN"},
    "plain": {"viewport": {"width": 1400, "height": 900}, "java_script_enabled": False},
}
OF_MANY = ("light", "phone", "plain")  # ways in which a page of thousands is looked at, which takes seconds each
SHOWN = """() => ({
  scripted: getComputedStyle(document.getElementById("tools")).display !== "none" || !!document.querySelector(".live"),
  cut: [...document.querySelectorAll(".scroll")].filter((one) => one.scrollWidth > one.clientWidth).length,
  gap: Math.min(...[...document.querySelectorAll("header :is(h1, p)")].flatMap((one) => {
    const language = document.querySelector(".language")?.getBoundingClientRect(), text = document.createRange();
    text.selectNodeContents(one);
    return [...text.getClientRects()].filter((line) => language && line.bottom > language.top && line.top < language.bottom).map((line) => language.left - line.right);
  }), 99),
  wide: document.documentElement.scrollWidth > innerWidth,
  words: document.body.innerText,
  placeholder: document.querySelector("[type=search]").placeholder,
  broken: [...document.images].filter((one) => one.complete && !one.naturalWidth).length,
  pictures: [...document.images].filter((one) => one.complete && one.naturalWidth).length,
})"""
USED = """async () => {
  const [find, heat, colours] = ["[type=search]", "[type=range]", "select"].map((one) => document.querySelector(`#tools ${one}`));
  const shown = () => [...document.querySelectorAll(".pictures figure")].filter((one) => !one.hidden).length;
  const before = shown();
  find.value = "no such words"; find.oninput();
  const none = shown();
  find.value = ""; find.oninput();
  const stack = document.querySelector(".stack"), painted = {};
  stack?.scrollIntoView();
  for (let k = 0; stack && !stack.querySelector("canvas") && k < 500; k++) await new Promise((go) => setTimeout(go, 20));
  for (const [name, opacity] of stack ? [["viridis", "1"], ["jet", "1"], ["jet", "0"]] : []) {
    heat.value = opacity; heat.dispatchEvent(new Event("input"));
    colours.value = name; colours.dispatchEvent(new Event("change"));
    painted[`${name} ${opacity}`] = stack.querySelector("canvas").toDataURL();
  }
  return { before, none, after: shown(), painted, ramp: document.querySelector(".scale canvas")?.toDataURL() };
}"""


def looks_of(page):
    return OF_MANY if page == "many.html" else tuple(LOOKS)


def look_at(browser, axe, place, look):
    """What one page is and does in one look: what went wrong, what can be read, how long it took to open."""
    slips = []
    context = browser.new_context(**LOOKS[look])
    page = context.new_page()
    page.on("console", lambda message: slips.append(message.text))
    page.on("pageerror", lambda error: slips.append(str(error)))
    own = place.parent.as_uri()
    page.on("request", lambda one: None if one.url.startswith((own, "data:")) else slips.append(one.url[:200]))
    began = time.monotonic()
    page.goto(place.as_uri(), wait_until="load")
    page.screenshot(path=place.with_suffix(f".{look}.png"))
    said = {"seconds": time.monotonic() - began, "slips": slips, **page.evaluate(SHOWN)}
    if look != "plain":
        said["used"] = page.evaluate(USED)
        if page.locator(".pictures figure").count() < 1000:  # it takes minutes for thousands
            said["axe"] = [
                one["id"] + ": " + one["nodes"][0]["html"][:200] for one in axe.run(page).response["violations"]
            ]
    if look == "chinese":
        said["language"] = page.evaluate("document.documentElement.lang")
        page.get_by_role("button", name="English").click()
        said["switched"] = page.evaluate("document.body.innerText")
    if look == "light":
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_timeout(300)
        page.screenshot(path=place.with_suffix(".end.png"))
        said["printed"] = len(page.pdf()) if place.name == "report.html" else 0
    context.close()
    return said


def main(names):
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        places = [Path(name).resolve() for name in names]
        said = {
            place.name: {look: look_at(browser, Axe(), place, look) for look in looks_of(place.name)}
            for place in places
        }
        print(json.dumps(said))
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
