"""How a studio starts and ends: its link, its port, its signals, and what it says to who is elsewhere."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

import classlens
from classlens.errors import ConfigError, DataError, MissingDependency
from classlens.runs.own_process import KILLERS, WATCHED
from classlens.studio.serve import Keys, StudioRequest, bind, tunnel_line
from classlens.studio.session import Kept, Session
from tests.studio.running import LINK, read_link, running_studio

TOKEN = "a-password-of-some-length"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_at_once_with_all_its_processes(number):
    with running_studio("demo") as studio:
        studio.get("/data.json")
        studio.get("/look.json")  # a process that loads torch
        began = time.monotonic()

        studio.process.send_signal(number)
        studio.process.wait(10)

    assert studio.process.returncode == 128 + number
    assert time.monotonic() - began < 8
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", studio.port), timeout=2)


def test_a_port_that_is_taken_is_one_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "classlens", "studio", "demo", "--no-browser", "--port", str(port)]

        result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 2
    assert result.stderr.startswith(f"error: cannot serve at 127.0.0.1:{port}: address already in use")
    assert len(result.stderr.splitlines()) == 2


def test_a_host_of_another_machine_is_one_error():
    with pytest.raises(ConfigError, match="cannot serve at"):
        bind("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ({"targets": ()}, "needs something to show"),
        ({"targets": ("demo",), "host": "0.0.0.0"}, "lets others in: it needs a token"),
        ({"targets": ("demo",), "host": "0.0.0.0", "token": "short"}, "16 letters or more"),
    ],
)
def test_a_studio_that_is_not_safe_is_refused(words, what):
    with pytest.raises(ConfigError, match=what):
        StudioRequest(**words)


def test_others_are_let_in_only_with_the_token_and_a_warning():
    with running_studio("demo", "--host", "0.0.0.0", "--token", TOKEN) as studio:
        link = f"/?token={TOKEN}"
        again = studio.ask(link, cookie=False)[0]
        by_number = studio.ask("/session.json", host=f"192.168.7.8:{studio.port}")[0]
        by_name = studio.ask("/session.json", host=f"evil.example:{studio.port}")[0]
        without = studio.ask("/session.json", cookie=False)[0]
        studio.process.send_signal(signal.SIGTERM)
        _, said = studio.process.communicate(timeout=10)

    assert (again, by_number, by_name, without) == (200, 200, 421, 401)
    assert said.startswith("warning: --host 0.0.0.0 lets in everybody")


def test_where_the_machine_is_reached_by_ssh_it_prints_the_tunnel(monkeypatch):
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.9 51234 10.0.0.2 2222")
    monkeypatch.setenv("USER", "ada")
    with bind("127.0.0.1", 0) as server:
        port = server.getsockname()[1]

        assert tunnel_line(server, "127.0.0.1") == f"ssh -N -L {port}:127.0.0.1:{port} -p 2222 ada@10.0.0.2"
        monkeypatch.delenv("SSH_CONNECTION")
        assert tunnel_line(server, "127.0.0.1") == ""


def test_the_browser_of_the_system_opens_the_link_unless_it_is_another_machines(tmp_path):
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{tmp_path}/opened"\n')
    browser.chmod(0o755)
    command = [sys.executable, "-m", "classlens", "studio", "demo"]
    here = {**os.environ, "DISPLAY": ":0", "BROWSER": f"{browser} %s"}
    here.pop("SSH_CONNECTION", None)
    said = []
    for settings in (here, here | {"SSH_CONNECTION": "10.0.0.9 51234 10.0.0.2 22"}):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=settings) as run:
            link = read_link(run)
            while settings is here and not (tmp_path / "opened").exists():
                time.sleep(0.05)
            connection = http.client.HTTPConnection(urlsplit(link).netloc, timeout=30)
            connection.request("GET", "/")
            connection.getresponse()  # whoever answers has said all that is said before
            connection.close()
            run.send_signal(signal.SIGTERM)
            said.append((link, run.communicate(timeout=10)[1]))

    (first, of_first), (_, of_second) = said
    assert (tmp_path / "opened").read_text().strip() == first
    assert "ssh -N -L" not in of_first
    assert "from your own machine, before you open the link: ssh -N -L " in of_second


def test_every_link_works_once_and_the_next_one_is_printed():
    printed = []
    keys = Keys(on_used=lambda: printed.append(keys.token))
    first = keys.token

    assert keys.redeem(first)
    assert not keys.redeem(first)
    assert printed == [keys.token]
    assert keys.redeem(printed[0])


def test_a_picture_that_kills_the_server_costs_no_more_than_itself(tmp_path):
    """The process of the server is killed as by a decoder: the next one has the same address, cookie and page."""
    with running_studio("demo") as studio:
        listed = subprocess.run(["ps", "--ppid", str(studio.process.pid), "-o", "pid="], capture_output=True, text=True)
        os.kill(int(listed.stdout.split()[0]), signal.SIGSEGV)
        used = studio.ask(studio.link.removeprefix(studio.address), cookie=False)[0]

        assert studio.wait("/data.json")["total"] == 224
        assert used == 403


def test_a_sample_that_has_killed_a_process_is_not_decoded_again(monkeypatch):
    monkeypatch.setitem(KILLERS, "sample 3 of demo train", "a picture killed the process (SIGSEGV)")
    session = Session(StudioRequest(("demo",)))
    with session.decoding(0, "train", 2):
        watched = bytes(WATCHED[-1])

    assert watched.strip(b"\0") == b"sample 2 of demo train"
    assert not any(WATCHED[-1])
    with pytest.raises(DataError, match="demo train: a picture killed the process"), session.decoding(0, "train", 3):
        pass


def test_without_its_packages_nothing_is_begun(monkeypatch):
    monkeypatch.setattr(sys.modules[bind.__module__], "find_spec", lambda name: None if name == "uvicorn" else object())

    with pytest.raises(MissingDependency, match="uvicorn is not installed") as caught:
        bind("127.0.0.1", 0)

    assert "[studio]" in caught.value.hint


def test_in_a_program_it_runs_beside_what_else_is_done():
    studio = classlens.studio("demo")
    try:
        link = LINK.search(studio.link)[0]
        port = int(link.partition("//")[2].partition("/")[0].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(f"GET /session.json HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 401")
        assert link in studio._repr_html_()
    finally:
        studio.close()
    assert not studio.thread.is_alive()


def test_what_is_kept_is_made_once_and_its_error_too():
    kept, made = Kept(2), []

    def make(name):
        made.append(name)
        if name == "bad":
            raise DataError("no such thing")
        return name

    for name in ("a", "a", "b", "a"):
        kept.once(name, lambda name=name: make(name))
    for _ in range(2):
        with pytest.raises(DataError):
            kept.once("bad", lambda: make("bad"))
    kept.once("a", lambda: make("a"))
    kept.once("b", lambda: make("b"))

    assert made == ["a", "b", "bad", "b"]


def test_what_answers_first_has_loaded_nothing_heavy():
    """A first answer comes at once: numpy, OpenCV, Pillow and torch are loaded by who needs them."""
    code = "import sys, classlens.cli.studio, classlens.studio.routes, classlens.studio.serve\n"
    code += "print([one for one in ('numpy', 'cv2', 'PIL', 'torch', 'matplotlib', 'multiprocessing') if one in sys.modules])"

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"


def test_a_log_that_is_not_there_is_refused_at_once(tmp_path):
    with pytest.raises(DataError, match="no such log"):
        StudioRequest(("demo",), log=tmp_path / "nowhere")


def test_a_checkpoint_that_is_not_there_is_refused_at_once(tmp_path):
    (tmp_path / "epoch_10.pth").touch()

    with pytest.raises(DataError, match="no such checkpoint") as refused:
        StudioRequest(("demo",), (str(tmp_path / "epoch_01.pth"),))

    assert "epoch_10.pth" in refused.value.hint
