"""The one-time link in a real browser: it leads in from anywhere, and pages of other sites get nothing."""

import http.server
import threading
from functools import partial

import pytest
from playwright.sync_api import expect

from tests.studio.running import Recorder, running_studio

EMBEDS = """<!doctype html><img id="seen" src="{address}/picture/0/train/0.webp"><script src="{address}/static/app.js"></script>
<script>
const tries = {{}};
const note = (name, attempt) => attempt.then((answer) => answer.text()).then((text) => (tries[name] = text), () => (tries[name] = "blocked"));
note("read", fetch("{address}/session.json", {{ credentials: "include" }}));
note("order", fetch("{address}/explain", {{ method: "POST", credentials: "include", body: "{{}}" }}));
note("upload", fetch("{address}/upload", {{ method: "POST", mode: "no-cors", credentials: "include", body: "x" }}));
</script>"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture
def other_site(tmp_path):
    """Another server of this machine, at another port: another origin, but the same site."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield tmp_path, f"http://127.0.0.1:{server.server_address[1]}", f"http://localhost:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("at", [1, 2], ids=["same site", "another site"])
def test_a_link_in_a_notebook_leads_in_once(browser, other_site, at):
    """To a redirection a browser sends no strict cookie if another site has led there; ours is none."""
    folder = other_site[0]
    with running_studio("demo", opened=False) as studio:
        (folder / "notebook.html").write_text(
            f'<!doctype html><link rel="icon" href="data:,"><a href="{studio.link}" rel="noreferrer">studio</a>'
        )
        context = browser.new_context()
        page = context.new_page()
        recorder = Recorder(studio.address)
        page.goto(f"{other_site[at]}/notebook.html")
        recorder.watch(page)

        page.get_by_text("studio").click()

        expect(page).to_have_title("Data · Classlens")
        assert "token" not in page.url
        assert recorder.slips == []
        cookies = context.cookies()
        context.close()

    assert [(one["httpOnly"], one["sameSite"]) for one in cookies] == [(True, "Strict")]


@pytest.mark.parametrize("at", [1, 2], ids=["same site", "another site"])
def test_pages_of_other_servers_get_nothing_of_a_browser_that_was_let_in(open_page, studio, other_site, at):
    page = open_page()
    (other_site[0] / "evil.html").write_text(EMBEDS.format(address=studio.address))

    page.goto(f"{other_site[at]}/evil.html")
    page.wait_for_function("Object.keys(tries).length === 3")

    assert page.evaluate("tries") == {"read": "blocked", "order": "blocked", "upload": "blocked"}
    assert page.evaluate("document.getElementById('seen').naturalWidth") == 0
