"""Fixtures of the studio: one server on the demo for all tests, and pages of a real browser that are let in.

A test of a page takes `page`, or `open_page` with what `browser.new_context` takes (viewport, locale, colour scheme), goes to `studio.address` + path, and checks at its end that
`page.recorder.slips` is empty: no error on the console, no breach of the CSP, no request to elsewhere, no refused answer.
"""

import shutil

import pytest

from tests.studio.running import Recorder, running_studio

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def studio():
    """A real server on the demo; tests share it, so they change nothing that others look at."""
    with running_studio("demo") as server:
        yield server


@pytest.fixture(scope="session")
def browser():
    """Debian's chromium, or any that is on the path; without one, tests of pages are skipped."""
    if CHROMIUM is None:
        pytest.skip("no chromium is installed: the page is not tested")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: the page is not tested"
    )
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(studio, browser):
    """A function that makes a page of the studio; its `slips` are what it did that it should not."""
    contexts = []

    def open_one(**settings):
        context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, "locale": "en-US", **settings})
        name, _, value = studio.cookie.partition("=")
        cookie = {"name": name, "value": value, "url": studio.address, "httpOnly": True, "sameSite": "Strict"}
        context.add_cookies([cookie])
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.recorder = Recorder(studio.address)
        page.recorder.watch(page)
        return page

    yield open_one
    for context in contexts:
        context.close()


@pytest.fixture
def page(open_page):
    """One page, 1400 x 900, in English; `page.recorder.slips` is to be empty at the end of a test."""
    return open_page()
