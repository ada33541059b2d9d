"""Configs made of anything: read and printed within bounds, or refused with a ClasslensError.

The first byte of an input chooses what the rest is: text of a file in one of the formats, or a program whose every byte
is a word. Zeros part a config from its base, and both from `--cfg-options`. What is printed is looked at too: it must be
Python that does nothing but give values to names.
"""

import shutil
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["classlens.config"]):
    from classlens.config import parse_overrides
    from classlens.config.writing import ConfigRequest, write_config

import campaign
from tests.config.printed import check_printed

from classlens.errors import ClasslensError

FORMATS = ("py", "json", "yaml", "words")
VOCABULARY = """
a b c d x _base_ _delete_ True None 0 1 2 7 64 999 4000 10**9 2.5 -1 1e308 1j 'a' 'b.py' 'base.py' '{0:>999}' 'ab'*500 b'x'
+ - * ** // % / << >> | & ^ ~ not and or in is == < != if else for lambda: , : ; = += |= *= ( ) [ ] { } ** . @ -> :=
dict( list( range( set( len( sum( str( int( sorted( zip( enumerate( max( divmod( pow( round( bool( float( tuple( abs(
.update( .append( .extend( .format( .join( .replace( .split( .pop( .get( .merge( .items() .keys() .copy() .setdefault(
f'{a}' f'{a!r:>99}' f'{b:{c}}' {{_base_.a}} {{fileDirname}} {{$HOME:x}} \\n \\n\\n \\n\\t \\n\\x20 del assert import from as
with read_base(): type= a= b= *a **b [:: ]*10 *[1] *999 a=[a,a] b=dict(a=a,b=b) ''.join( len(a)
"""
WORDS = [word.encode().decode("unicode_escape") for word in VOCABULARY.split()]
FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-config-"))


def check(data: bytes) -> None:
    """Read what `data` says, and print it."""
    kind = FORMATS[data[0] % len(FORMATS)] if data else "py"
    child, base, options = [*data[1:].split(b"\0", 2), b"", b""][:3]
    if kind == "words":
        child, base = (" ".join(WORDS[byte % len(WORDS)] for byte in part).encode() for part in (child, base))
        kind = "py"
    name = f"x.{kind}"
    (FOLDER / name).write_bytes(child)
    (FOLDER / "base.py").write_bytes(base)
    words = options.decode(errors="surrogateescape").split()[:4]
    with warnings.catch_warnings(action="ignore"):
        try:
            text = write_config(ConfigRequest(str(FOLDER / name), overrides=parse_overrides(words))).text
        except ClasslensError as refusal:
            if len(str(refusal)) + len(refusal.hint) > 3000:
                raise AssertionError("a long message") from refusal
            return
        check_printed(text)


def seeds() -> list[bytes]:
    """Small configs of every format, and a few programs in words."""
    shipped = Path(__file__).parents[1] / "configs"
    files = sorted(shipped.rglob("*.py"), key=lambda path: path.stat().st_size)[:60]
    programs = [b"\0" + path.read_bytes() for path in files]
    data = [
        b'\1{"a": [1, {"b": "{{_base_.a}}"}], "_base_": "base.py"}\0a = [1]',
        b"\2a: &a [1, !!int '2']\nb: {<<: {c: *a}}\n",
    ]
    lines = [
        "a = dict( x = 1 )",
        "_base_ = 'base.py' \n a = {{_base_.a}} \n",
        "for a in range( 7 ): b = f'{a}'",
        "a *= 999 \n b = [ a , a ]",
    ]
    numbers = {word: index for index, word in enumerate(WORDS)}
    words = [b"\3" + bytes(numbers[word] for word in line.split(" ") if word in numbers) for line in lines]
    return [*programs, *data, *words, b"\0a = 1\0\0a.b=[1,(2,3)] c.0=1"]


if __name__ == "__main__":
    try:
        campaign.run("config", check, seeds())
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
