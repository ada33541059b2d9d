"""What the fuzzers share: how long one runs, where its inputs lie, and what counts as a find.

A harness is a file `fuzz_<what>.py` here, run as `python fuzz/fuzz_<what>.py [SECONDS] [INPUT ...]`. It imports what it
tries under `atheris.instrument_imports()`, so that atheris sees which branches an input takes, and hands a function
from bytes to nothing to `run`. The function lets ClasslensError pass; whatever else is raised, takes 20 seconds or more
than 2 GB is a find: atheris prints it, keeps the input under `out/fuzz/<what>/found`, and the run fails. Given inputs
instead of seconds are tried once: that is how a find is looked at again.
"""

import sys
from collections.abc import Callable, Iterable
from hashlib import sha1
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[1]
OUT = ROOT / "out" / "fuzz"
SECONDS = 600

sys.path.insert(0, str(ROOT))  # harnesses look at results with what the tests have for it


def run(what: str, check: Callable[[bytes], None], seeds: Iterable[bytes]) -> None:
    """Try inputs grown from `seeds`, and those of earlier runs, for as long as the command line says."""
    words = sys.argv[1:]
    corpus, found = OUT / what / "corpus", OUT / what / "found"
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (corpus / sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    seconds = int(words.pop(0)) if words and words[0].isdecimal() else SECONDS
    limits = [
        "-timeout=20",
        "-rss_limit_mb=2048",
        "-max_len=4096",
        "-print_final_stats=1",
        f"-artifact_prefix={found}/",
    ]
    inputs = words or [f"-max_total_time={seconds}", str(corpus)]
    atheris.Setup([sys.argv[0], *limits, *inputs], check)
    atheris.Fuzz()
