"""What is written is there whole, or not at all: with real processes, signals, threads, pipes and full disks."""

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from classlens.errors import DataError
from classlens.files import check_place, remove_unfinished, write_whole


def test_content_is_written_with_the_folders_on_the_way_and_nothing_beside_it(tmp_path):
    write_whole(tmp_path / "a" / "b" / "file.bin", b"some")
    write_whole(tmp_path / "a" / "b" / "other.bin", lambda file: file.write(b"more"))

    contents = {path.name: path.read_bytes() for path in (tmp_path / "a" / "b").iterdir()}
    assert contents == {"file.bin": b"some", "other.bin": b"more"}


def test_a_new_file_has_the_rights_that_any_new_file_has(tmp_path):
    write_whole(tmp_path / "ours", b"")
    (tmp_path / "usual").touch()

    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


def test_what_goes_wrong_leaves_the_old_content_and_no_unfinished_file(tmp_path):
    place = tmp_path / "file"
    place.write_bytes(b"old")

    def break_off(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(place, break_off)

    assert place.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [place]


def test_a_link_stays_a_link_to_what_is_replaced(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")

    write_whole(tmp_path / "link", b"new")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()

    write_whole(tmp_path / "pipe", b"through")

    reader.join()
    assert read == [b"through"]
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("place", ["taken/file", "folder"])
def test_what_the_disk_refuses_is_one_error_with_place_and_reason(place, tmp_path):
    (tmp_path / "taken").write_text("a file")
    (tmp_path / "folder").mkdir()

    with pytest.raises(DataError, match=rf"cannot write .*{place}: (not a directory|is a directory)"):
        write_whole(tmp_path / place, b"content")
    with pytest.raises(DataError, match=r"cannot write .* is no folder|is a folder, not a file"):
        check_place(tmp_path / place)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_is_an_error_of_the_user():
    with pytest.raises(DataError, match="cannot write /dev/full: no space left on device"):
        write_whole("/dev/full", b"content")
    assert Path("/dev/full").is_char_device()


def test_threads_that_write_one_file_leave_the_content_of_one_of_them(tmp_path):
    contents = [bytes([letter]) * 100_000 for letter in range(8)]
    threads = [threading.Thread(target=write_whole, args=(tmp_path / "file", one)) for one in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (tmp_path / "file").read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


SLOW = """
import sys, time
from classlens.cli import main
from classlens.files import write_whole

class Slow:
    def add_arguments(parser): parser.add_argument("place")
    def run(arguments):
        def write(file):
            file.write(b"half")
            print("writing", flush=True)
            time.sleep(60)
        write_whole(arguments.place, write)
        return 0

main.import_module = lambda name: Slow
sys.exit(main.run_command("slow", sys.argv[1:], prog="slow"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals end a process at once there")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=str)
def test_a_process_that_is_stopped_while_it_writes_leaves_nothing_unfinished(number, tmp_path):
    with subprocess.Popen([sys.executable, "-c", SLOW, tmp_path / "file"], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(number)
        assert process.wait(10) == 128 + number

    assert list(tmp_path.iterdir()) == []


def test_where_nothing_may_be_written_that_is_said_before_any_work(tmp_path):
    tmp_path.chmod(0o500)
    is_root = os.getuid() == 0  # who may write anywhere: so the real user is somebody else for a moment
    if is_root:
        os.setreuid(65534, 0)
    try:
        with pytest.raises(DataError, match=r"cannot write .*/file: permission denied"):
            check_place(tmp_path / "file")
    finally:
        if is_root:
            os.setreuid(0, 0)
        tmp_path.chmod(0o700)


def test_what_is_unfinished_when_a_process_is_ended_is_removed(tmp_path):
    def fill(file):
        file.write(b"half")
        remove_unfinished()
        assert list(tmp_path.iterdir()) == []
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "file", fill)
