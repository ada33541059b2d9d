"""The studio on 1,281,167 pictures beside TensorBoard on 40, in one run, and the first pictures that `browse` writes.

    .venv/bin/python benchmarks/studio.py                 # makes the pictures' names, which takes a minute
    .venv/bin/python benchmarks/studio.py --folder DIR    # makes them there, and leaves them for the next time

The pictures are hard links to a few real photos, in 1,000 folders. A client stands for the browser: six connections, the
requests that the page makes. TensorBoard shows 40 of the photos as image summaries, and is asked for these. Wall-clock
times need an idle machine with two cores; the best of several rounds is printed.
"""

import argparse
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from threading import local

SAMPLES, CLASSES, SHOWN = 1_281_167, 1000, 40
CONNECTIONS = 6  # of a browser to one server


class Client:
    """A browser's connections to one server."""

    def __init__(self, port, cookie=""):
        self.port, self.cookie, self.own = port, cookie, local()
        self.threads = ThreadPoolExecutor(CONNECTIONS)

    def get(self, path, method="GET", body=None):
        """The body of one answer, over this thread's connection."""
        connection = getattr(self.own, "connection", None)
        if connection is None:
            connection = self.own.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = {"Cookie": self.cookie, "Origin": f"http://127.0.0.1:{self.port}"} if self.cookie else {}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        self.cookie = (answer.getheader("set-cookie") or self.cookie).partition(";")[0]
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {content[:200]}")
        return content

    def json(self, path, method="GET", body=None):
        return json.loads(self.get(path, method, body))

    def wait(self, path):
        """The JSON at a path, once it is no longer on its way."""
        while (answer := self.json(path)).get("state") in ("counting", "loading", "waiting", "running"):
            time.sleep(0.01)
        return answer

    def thumbnails(self, start):
        """A page of rows, and the pictures of all of them."""
        rows = self.json(f"/data.json?count={SHOWN}&start={start}")["rows"]
        while len(rows) < SHOWN:
            time.sleep(0.01)
            rows = self.json(f"/data.json?count={SHOWN}&start={start}")["rows"]
        pictures = self.threads.map(lambda row: self.get(f"/picture/0/train/{row['index']}.webp"), rows)
        assert all(one[:4] == b"RIFF" for one in pictures)


def make_pictures(folder):
    """Hard links in class folders, unless they are there."""
    from classlens.demo_photos import make_photos

    if (folder / "done").exists():
        return
    make_photos(folder / "real")
    real = sorted((folder / "real" / "train").rglob("*.jpg"))
    names = folder / "names"
    for number in range(CLASSES):
        place = names / f"n{1440764 + 137 * number:08d}"
        place.mkdir(parents=True)
        for index in range(number, SAMPLES, CLASSES):
            os.link(real[index % len(real)], place / f"{place.name}_{index}.JPEG")
    (folder / "done").touch()


def look_at(process):
    """MB that the process and the child that it works in hold now, and the seconds of CPU that they have taken."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
    memory = seconds = 0
    for own in (own for own, parent in pairs if process.pid in (own, parent)):
        fields = Path(f"/proc/{own}/stat").read_text().rpartition(")")[2].split()
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        memory += int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return memory, seconds


def measure_studio(folder):
    """One round of the studio: seconds, and megabytes."""
    began = time.monotonic()
    words = [sys.executable, "-m", "classlens", "studio", f"folder:{folder / 'names'}", "demo", "--no-browser"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    times = {}

    def note(name, since=began):
        times[name] = time.monotonic() - since

    try:
        link = process.stdout.readline().strip()
        client = Client(int(re.search(r":(\d+)/", link)[1]))
        client.get(link.partition(f":{client.port}")[2])
        note("first answer")
        times["first answer, CPU"] = look_at(process)[1]
        for path in ("/", "/session.json"):
            client.get(path)
        client.thumbnails(0)
        note("40 thumbnails")
        times["40 thumbnails, CPU"] = look_at(process)[1]
        client.wait("/data.json?count=1")
        note("all listed")
        since = time.monotonic()
        client.thumbnails(SAMPLES - SHOWN)
        note("jump to the last", since)
        client.wait("/classes.json")
        note("all labels counted")
        since = time.monotonic()
        assert client.json("/data.json?q=n01440901_1&count=40")["total"]
        note("a search", since)
        since = time.monotonic()
        assert client.json("/data.json?class=500&count=40")["total"] > 1280
        note("a class", since)
        times["MB before any map"], _ = look_at(process)
        since = time.monotonic()
        client.wait("/look.json?target=1")
        measure_map(client, 0)
        note("first map", since)
        later = []
        for index in range(1, 12):
            since = time.monotonic()
            measure_map(client, index * 9)
            later.append(time.monotonic() - since)
        times["a later map"] = median(later)
    finally:
        process.send_signal(signal.SIGTERM)
        since = time.monotonic()
        process.wait(20)
        note("end after SIGTERM", since)
    return times


def measure_map(client, index):
    """A map of a sample of the demo, from the order to its pixels."""
    order = json.dumps({"target": 1, "split": "train", "index": index})
    job = client.json("/explain", "POST", order)["job"]
    answer = client.wait(f"/jobs/{job}.json")
    assert answer["state"] == "done", answer
    assert len(client.get(answer["result"]["maps"][0]["values"])) == 224 * 224


PEAK = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-m", "classlens", *sys.argv[1:]], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""
"""A child's peak begins with what its parent holds, so that its parent has to be small."""


def measure_browse(folder):
    """Seconds until `classlens browse` has written the first of eight pictures, and the most megabytes that it held."""
    place = Path(tempfile.mkdtemp(dir=folder))
    words = [sys.executable, "-c", PEAK, "browse", f"folder:{folder / 'names'}", "-n", "8", "-o", place / "out"]
    began = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    while not any(place.rglob("*.jpg")):
        time.sleep(0.005)
    seconds, megabytes = time.monotonic() - began, float(process.communicate()[0])
    shutil.rmtree(place)
    return seconds, megabytes


FORWARD = """
import time, statistics, torch, classlens
from classlens.cam.forward import noise
classifier = classlens.open_source("demo").classifier()
batch, times = noise(classifier), []
with torch.no_grad():
    for turn in range(25):
        began = time.perf_counter()
        classifier.logits(batch)
        times.append(time.perf_counter() - began)
print(statistics.median(times[5:]))
"""


def measure_forward():
    """Seconds of a plain forward pass of the same network on one picture."""
    words, quiet = [sys.executable, "-c", FORWARD], os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}  # as our commands do
    return float(subprocess.run(words, env=quiet, capture_output=True, text=True, check=True).stdout)


def measure_tensorboard(folder):
    """One round of TensorBoard: seconds until its first answer, and until it has served 40 pictures."""
    logs = folder / "logs"
    if not logs.exists():
        import numpy as np
        from PIL import Image
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(logs)
        for number, path in enumerate(sorted((folder / "real" / "train").rglob("*.jpg"))[:SHOWN]):
            picture = Image.open(path).convert("RGB")
            picture.thumbnail((160, 160))
            writer.add_image(f"picture/{number}", np.asarray(picture), dataformats="HWC")
        writer.close()
    began, times = time.monotonic(), {}
    words = [sys.executable, "-m", "tensorboard.main", "--logdir", logs, "--port", "0", "--host", "127.0.0.1"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        while not (match := re.search(r"http://\S+?:(\d+)/", line := process.stderr.readline())):
            if not line:
                raise RuntimeError("TensorBoard did not start")
        client = Client(int(match[1]))
        client.get("/")
        times["first answer"], times["first answer, CPU"] = time.monotonic() - began, look_at(process)[1]
        while len(tags := client.json("/data/plugin/images/tags").get(".", {})) < SHOWN:
            time.sleep(0.01)

        def show(tag):
            (row,) = client.json(f"/data/plugin/images/images?tag={tag}&run=.&sample=0")
            assert client.get(f"/data/plugin/images/individualImage?{row['query']}")

        list(client.threads.map(show, tags))
        times["40 thumbnails"] = time.monotonic() - began
        times["MB before any map"], times["40 thumbnails, CPU"] = look_at(process)
    finally:
        process.kill()
        process.wait()
    return times


def main() -> int:
    """Rounds of both in turn, and the best of each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the pictures are made, and stay")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp())
    try:
        make_pictures(folder)
        measures = [
            lambda: measure_studio(folder),
            lambda: measure_tensorboard(folder),
            measure_forward,
            lambda: measure_browse(folder),
        ]
        rounds = [tuple(measure() for measure in measures) for _ in range(arguments.rounds)]
    finally:
        if arguments.folder is None:
            shutil.rmtree(folder)
    forward = min(one for *_, one, _ in rounds)
    print(
        f"{'':24}{'studio':>10}{'TensorBoard':>14}{'ratio':>8}   best of {arguments.rounds}; load {os.getloadavg()[0]:.1f}"
    )
    for name in rounds[0][0]:
        ours = min(one[name] for one, *_ in rounds)
        theirs = min((one[name] for _, one, *_ in rounds if name in one), default=None)
        beside = f"{theirs:14.2f}{theirs / ours:8.1f}" if theirs else ""
        print(f"{name:24}{ours:10.3f}{beside}")
    later = min(one["a later map"] for one, *_ in rounds)
    first, memory = map(min, zip(*(browsed for *_, browsed in rounds), strict=True))
    print(f"classlens browse -n 8: first picture {first:.2f} s, at most {memory:.0f} MB")
    print(f"a forward pass {forward:.3f} s: a later map is 1.5 of them and {later - 1.5 * forward:+.3f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
