"""An audit over processes and clusters, interrupted and gone on with: always the same rows, each once."""

import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import classlens
from classlens.audit.rows import read_rows
from classlens.audit.shards import begin
from classlens.errors import DataError, NotOffered
from classlens.runs import audit_run
from classlens.runs.audit_cluster import ShardMaker, connected
from classlens.runs.audit_run import answer_questions, open_audit
from tests.audit.tiny_setup import files_of, write_network, write_pictures

COUNT = 60
slow = pytest.mark.skipif(not os.environ.get("CLASSLENS_ALL_KILLS"), reason="a minute: make test-kills")


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    place = tmp_path_factory.mktemp("audit")
    return write_network(place), write_pictures(place / "photos", COUNT, bad=(5, 31), other_size=(12,))


def request(setup, output, *, workers=0, ray=None, retry_failed=False, **wishes):
    network, pictures = setup
    asked = classlens.AuditOptions(**{"methods": ["GradCAM"], "batch_size": 4, **wishes})
    return classlens.AuditRequest(
        network, str(output), data=pictures, wishes=asked, workers=workers, ray=ray, retry_failed=retry_failed
    )


@pytest.fixture(scope="module")
def whole(setup, tmp_path_factory):
    """The rows of a run that nobody disturbs."""
    out = tmp_path_factory.mktemp("whole")
    run = classlens.run_audit(request(setup, out))
    assert (run.made, run.summary.good) == (COUNT, COUNT - 2)
    return files_of(out)


def test_processes_make_the_same_bytes_as_one(setup, whole, tmp_path):
    done = []

    run = classlens.run_audit(request(setup, tmp_path, workers=2), progress=lambda *step: done.append(step))

    assert files_of(tmp_path) == whole
    assert run.made == COUNT
    assert done[-1] == ("pictures", COUNT, COUNT)
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.filterwarnings("ignore")  # Ray's own, about itself
def test_ray_makes_the_same_bytes(setup, whole, tmp_path):
    pytest.importorskip("ray")

    classlens.run_audit(request(setup, tmp_path, workers=2, ray="auto"))

    assert files_of(tmp_path) == whole


def test_decoders_of_their_own_make_the_same_bytes(setup, whole, tmp_path):
    """That is how pictures are read for a GPU, and again after a crash."""
    opened = open_audit(request(setup, tmp_path)).with_decoders(2)
    begin(opened.place, opened.spec.manifest)
    made = sum(opened.make(range(opened.spec.manifest.shards)))

    assert made == COUNT
    assert files_of(tmp_path) == whole


def test_a_run_goes_on_with_what_is_missing(setup, whole, tmp_path):
    classlens.run_audit(request(setup, tmp_path))
    rows = sorted((tmp_path / "rows").iterdir())
    rows[1].unlink()
    rows[3].write_bytes(rows[3].read_bytes()[:100])  # as a power cut leaves it

    run = classlens.run_audit(request(setup, tmp_path))

    assert run.made == 8
    assert files_of(tmp_path) == whole
    assert classlens.run_audit(request(setup, tmp_path)).made == 0


def test_another_setup_is_refused_by_name(setup, tmp_path):
    classlens.run_audit(request(setup, tmp_path, number=8))

    with pytest.raises(DataError, match="another setup: pictures: 9, there 8; "):
        classlens.run_audit(request(setup, tmp_path, number=9))
    with pytest.raises(DataError, match="batch_size: 2, there 4"):
        classlens.run_audit(request(setup, tmp_path, number=8, batch_size=2))


def test_only_failed_rows_are_asked_again(setup, tmp_path):
    photos = tmp_path / "photos"
    pictures = write_pictures(photos, 20)
    clean = classlens.run_audit(request((setup[0], pictures), tmp_path / "clean"))
    broken = photos / "green" / "00007.png"
    content = broken.read_bytes()
    broken.write_bytes(b"broken")
    out = tmp_path / "out"
    first = classlens.run_audit(request((setup[0], pictures), out))
    broken.write_bytes(content)
    (photos / "red" / "00008.png").write_bytes(b"broken since")

    same = classlens.run_audit(request((setup[0], pictures), out))
    again = classlens.run_audit(request((setup[0], pictures), out, retry_failed=True))

    assert (first.summary.good, same.summary.good, again.summary.good) == (19, 19, 20)
    assert (same.made, again.made) == (0, 1)
    assert files_of(out) == files_of(Path(clean.folder))


@pytest.mark.filterwarnings("ignore")  # Ray's own, about itself
@pytest.mark.parametrize("ray", [None, pytest.param("auto", marks=slow)])
def test_a_decoder_that_crashes_costs_one_row(setup, tmp_path, ray):
    (tmp_path / "crash.py").write_text("""
import os
from pathlib import Path
from PIL import Image

class Photos:
    classes = ["blue", "green", "red"]
    def __init__(self):
        paths = sorted(Path(__file__).parent.rglob("*.png"))
        self.samples = [(str(path), self.classes.index(path.parent.name)) for path in paths]
    def __len__(self):
        return len(self.samples)
    def __getitem__(self, index):
        if index == 9:
            os.abort()
        path, label = self.samples[index]
        return Image.open(path).convert("RGB"), label

def make():
    return {"val": Photos()}
""")
    write_pictures(tmp_path / "photos", 20)

    crashing = (setup[0], f"py:{tmp_path}/crash.py:make")

    run = classlens.run_audit(request(crashing, tmp_path / "out", workers=1, ray=ray))

    (bad,) = read_rows(run.folder, ["error", "path"], bad=True)
    assert (bad["index"].tolist(), bad["error"].tolist()) == (
        [9],
        [f"{bad['path'][0]}: the process that decoded it died"],
    )
    assert run.summary.good == 19


def test_pictures_come_from_somewhere(setup, tmp_path):
    with pytest.raises(NotOffered, match="has no pictures") as error:
        classlens.run_audit(classlens.AuditRequest(setup[0], str(tmp_path)))

    assert "--data ADDRESS" in error.value.hint


def test_a_network_that_is_another_one_in_every_process_is_refused(setup, tmp_path):
    """As by weights at random without a seed."""
    network = Path(setup[0].split(":")[1]).read_text()
    (tmp_path / "random.py").write_text(network.replace("torch.manual_seed(0)", "torch.seed()"))
    target = f"py:{tmp_path / 'random.py'}:make"

    with pytest.raises(DataError, match=r"another setup than the one that started it: digests\.weights: "):
        classlens.run_audit(request((target, setup[1]), tmp_path / "out", workers=1))
    with pytest.raises(DataError, match="another setup than the one that started it"):
        open_audit(request((target, setup[1]), tmp_path / "out")).spec.open()


def test_processes_that_die_again_and_again_end_the_run(setup, tmp_path, monkeypatch):
    monkeypatch.setattr(audit_run, "TRIES", 1)
    network = Path(setup[0].split(":")[1]).read_text()
    (tmp_path / "dying.py").write_text(
        f"import multiprocessing, os\nif multiprocessing.parent_process():\n    os._exit(9)\n{network}"
    )
    target = f"py:{tmp_path / 'dying.py'}:make"

    with pytest.raises(DataError, match="the process that made rows 0 to 3 died 1 times") as caught:
        classlens.run_audit(request((target, setup[1]), tmp_path / "out", workers=1))
    assert "fewer --workers" in caught.value.hint


def test_pictures_are_prepared_here_where_their_function_cannot_be_sent(setup, whole, tmp_path):
    opened = open_audit(request(setup, tmp_path))
    classifier = opened.questions.subject.classifier
    local = replace(classifier, prepare=lambda image: classifier.prepare(image))
    subject = replace(opened.questions.subject, classifier=local)
    opened = replace(opened, questions=replace(opened.questions, subject=subject)).with_decoders(1)

    begin(opened.place, opened.spec.manifest)
    sum(opened.make([0]))

    name = "part-00000.parquet"
    assert (tmp_path / "rows" / name).read_bytes() == whole[name]


def test_what_cannot_be_opened_of_questions_and_targets_is_a_note(setup, tmp_path):
    (tmp_path / "val.py").write_text(
        "from PIL import Image\n\n\nclass Photos:\n    def __len__(self):\n        return 3\n\n"
        "    def __getitem__(self, index):\n        return Image.new('RGB', (16, 16)), index\n\n\n"
        "def make():\n    return {'val': Photos()}\n"
    )
    asked, notes = request((setup[0], f"py:{tmp_path / 'val.py'}:make"), tmp_path / "out"), []
    classlens.run_audit(asked)

    given = answer_questions(asked, ["labels"], on_note=lambda *note: notes.append(note)).given

    loader = f"dict(dataset=dict(type='CustomDataset', data_root={setup[1].removeprefix('folder:')!r}, pipeline=[]))"
    (tmp_path / "old.py").write_text(f"_deprecation_ = dict(expected='new.py')\nval_dataloader = {loader}\n")
    open_audit(request((setup[0], str(tmp_path / "old.py")), tmp_path), on_note=lambda *note: notes.append(note))

    assert any("use new.py" in text for _, text in notes)
    assert given[0].verdict == "3 labelled pictures: too few to say"
    assert any("no training split: " in text for _, text in notes)


@pytest.mark.filterwarnings("ignore")  # Ray's own, about itself
def test_a_cluster_that_is_not_there_is_one_error():
    pytest.importorskip("ray")

    with (
        pytest.raises(DataError, match="no Ray cluster at no-such-scheme://here: "),
        connected("no-such-scheme://here", 1),
    ):
        pass


def test_a_shard_maker_says_what_goes_wrong_and_decodes_apart_what_was_begun_before(setup, whole, tmp_path):
    """What Ray calls in its processes, called here."""
    opened = open_audit(request(setup, tmp_path))
    begin(opened.place, opened.spec.manifest)
    opened.place.write("rows/00000.begun", b"")
    other = replace(opened.spec, manifest=replace(opened.spec.manifest, seed=7))

    made = ShardMaker(opened.spec, 0)({"shard": np.array([0])})
    refused = ShardMaker(other, 0)({"shard": np.array([0])})

    assert (made["error"], made["rows"] != [0]) == ([""], True)
    assert files_of(tmp_path)["part-00000.parquet"] == whole["part-00000.parquet"]
    assert opened.place.read("rows/00000.begun") is None
    assert refused["rows"] == [0]
    assert "another setup than the one that started it: seed: " in refused["error"][0]


def test_a_full_disk_is_an_error_and_the_run_goes_on_later(setup, whole, tmp_path):
    """The manifest is as large as the limit, the rows are larger."""
    code = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from classlens.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
sys.exit(main({words(setup, tmp_path, workers=0)!r}))
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 2
    assert "error: cannot write" in done.stderr
    assert "file too large" in done.stderr
    assert not list(tmp_path.rglob("*.part"))
    classlens.run_audit(request(setup, tmp_path))
    assert files_of(tmp_path) == whole


def words(setup, output, *, workers):
    options = ["--batch-size", "4", "--workers", str(workers), "-o", str(output)]
    return ["audit", setup[0], "--data", setup[1], *options]


@pytest.mark.parametrize("whom", ["driver", "worker", "Ctrl-C"])
def test_killed_runs_go_on(setup, whole, tmp_path, whom):
    command = [sys.executable, "-m", "classlens", *words(setup, tmp_path, workers=2)]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    while not (rows := list((tmp_path / "rows").glob("*.parquet"))) and run.poll() is None:
        time.sleep(0.005)
    victim = run.pid
    if whom == "worker":
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        spawned = [int(one) for one in children if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]
        victim = spawned[0]
    os.kill(victim, signal.SIGINT if whom == "Ctrl-C" else signal.SIGKILL)
    _, err = run.communicate(timeout=120)

    assert rows
    assert run.returncode == {"driver": -signal.SIGKILL, "worker": 0, "Ctrl-C": 130}[whom]
    if whom == "Ctrl-C":
        assert b"of 60 pictures done; the same command goes on" in err
    if whom != "worker":
        assert subprocess.run(command, capture_output=True).returncode == 0
    assert files_of(tmp_path) == whole
    assert not list(tmp_path.rglob("*.part"))
