"""Whether the tensors of a checkpoint lie in its records, and the records in the file, before torch reads it.

Older torch believes what the pickle says of a record's size, and reads what lies behind it. So the pickle is followed here
first, with stand-ins for everything that it names: nothing is run, and nothing is made but these and plain values.
"""

import math
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

from classlens.errors import DataError, first_line
from classlens.files import open_regular

LARGEST_PICKLE = 128 << 20  # bytes beside the tensors
LARGEST_TUPLE = 10_000  # values in a tuple, with those in the tuples in it, each time: so many are hashed
LARGEST_NUMBER, SPREAD = 1_000_000, 1_000_000
"""What a call may ask for at once, and how many values a tensor may have that shows one value many times."""

LEGACY_PICKLES = 5
"""Before its zip files torch wrote five pickles in a row: magic number, protocol, system, content, storage keys."""

SIZES = {
    **dict.fromkeys(
        ("ByteStorage", "CharStorage", "BoolStorage", "UntypedStorage", "QInt8Storage", "QUInt8Storage"), 1
    ),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("FloatStorage", "IntStorage", "QInt32Storage"), 4),
    **dict.fromkeys(("DoubleStorage", "LongStorage", "ComplexFloatStorage"), 8),
    "ComplexDoubleStorage": 16,
}
"""Bytes of a value, by the storage that it is in; of others there is one at least."""

STUMBLES = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, struct.error, OSError, RuntimeError, ValueError, LookupError),
    *(AttributeError, TypeError, EOFError, ArithmeticError, MemoryError, AssertionError, ImportError),
)
"""What a damaged file makes readers of pickles and archives raise."""


class Placeholder:
    """Stands for whatever is made by a call: takes everything, does nothing."""

    def __new__(cls, *arguments: object) -> "Placeholder":
        """Nothing is done with the arguments."""
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Forget it."""

    def __setitem__(self, key: object, value: object) -> None:
        """Forget it."""

    append = extend = add = update = __setstate__


@dataclass(frozen=True)
class Record:
    """A storage: how many values it holds."""

    values: int


def refuse(what: str) -> DataError:
    return DataError(f"the checkpoint was refused: {what}", hint="it is damaged, or made to do harm")


def check_tensor(record: Any, start: Any, size: Any, stride: Any, *rest: object) -> None:  # noqa: ANN401
    """Refuse a tensor that reaches beyond its record, or shows the values in it again and again."""
    shape = [*size, *stride, start] if isinstance(size, tuple) and isinstance(stride, tuple) else [None]
    if not isinstance(record, Record) or not all(isinstance(one, int) and one >= 0 for one in shape):
        raise refuse("it has a tensor without record, size and place")
    values = math.prod(size)
    last = start + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if values and last >= record.values:
        raise refuse(f"a tensor goes on to value {last:,} of a record of {record.values:,}")
    if values > record.values + SPREAD:
        raise refuse(f"a tensor of {values:,} values is made of {record.values:,}")


def check_call(name: str, arguments: tuple[Any, ...]) -> None:
    """Refuse a call that would make something larger than what it is made of."""
    if name in ("torch._utils._rebuild_tensor", "torch._utils._rebuild_qtensor") or name.startswith(
        ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3")
    ):
        check_tensor(*arguments)
    elif name == "torch._tensor._rebuild_from_type_v2":
        arguments[0](*arguments[2])
    elif name == "torch._utils._rebuild_nested_tensor":
        raise refuse("it has a tensor of tensors")
    elif any(isinstance(one, int) and one > LARGEST_NUMBER for one in arguments):
        raise refuse(f"{name[:80]} would be of size {max(one for one in arguments if isinstance(one, int)):.2g}")


IN_PYTHON: Any = pickle._Unpickler  # the one in C cannot be changed


class Follower(IN_PYTHON):  # type: ignore[misc]
    """Follows a pickle without running it; `find_record` gives the storage for what torch calls a persistent id."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(IN_PYTHON.dispatch)

    def __init__(self, file: Any, find_record: Callable[[Any], object]) -> None:  # noqa: ANN401 - whatever can be read
        super().__init__(file, encoding="utf-8", errors="surrogateescape")
        self.persistent_load = find_record
        self.weights: dict[int, tuple[object, int]] = {}

    def find_class(self, module: str, name: str) -> type[Placeholder]:
        """A stand-in, which looks at what it is called with."""

        def look(cls: type[Placeholder], *arguments: Any) -> Placeholder:  # noqa: ANN401 - whatever a pickle holds
            check_call(f"{module}.{name}", arguments)
            return object.__new__(cls)

        return type(name[:80] or "nameless", (Placeholder,), {"__new__": look})

    def weigh(self) -> None:
        """Count the values in the newest tuple: tuples of the same tuples are hashed as if all were there."""
        newest = self.stack[-1]
        weight = 1 + sum(self.weights.get(id(one), (None, 1))[1] for one in newest)
        if weight > LARGEST_TUPLE:
            raise refuse("its tuples hold one another again and again")
        self.weights[id(newest)] = newest, weight  # kept, so that no other one gets its number


def weighing(load: Callable[[Any], None]) -> Callable[[Any], None]:
    def load_and_weigh(follower: Any) -> None:  # noqa: ANN401 - `IN_PYTHON` has no type
        load(follower)
        follower.weigh()

    return load_and_weigh


def load_bytearray(follower: Any) -> None:  # noqa: ANN401 - `IN_PYTHON` has no type
    """A bytearray is made before it is read, and so as large as it claims to be."""
    size = int.from_bytes(follower.read(8), "little")
    if size > LARGEST_PICKLE:
        raise refuse(f"it claims to hold {size:,} bytes at once")
    follower.append(bytearray(follower.read(size)))


Follower.dispatch[pickle.BYTEARRAY8[0]] = load_bytearray
for code in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3):
    Follower.dispatch[code[0]] = weighing(Follower.dispatch[code[0]])


def check_records(path: Path) -> None:
    """Refuse a file whose tensors do not lie in its records, or whose records do not lie in it as they are.

    Raises:
        DataError: so it is, or the file is damaged, packed, or larger than a checkpoint may be.
    """
    with naming(path), open_regular(path, "checkpoint") as file:
        state = os.fstat(file.fileno())
        if 0 < getattr(state, "st_blocks", 0) * 512 < state.st_size // 8 and state.st_size > LARGEST_PICKLE:
            raise refuse("most of the file was never written")
        if not zipfile.is_zipfile(file):
            file.seek(0)
            if file.read(1) == b"\x80":  # as every pickle of torch's begins; of anything else torch says what it is
                file.seek(0)
                follow_legacy(file, state.st_size)
            return
        with zipfile.ZipFile(file) as archive:
            members = {one.filename: one for one in archive.infolist()}
            if len(members) < len(archive.infolist()):
                raise refuse("it has two records of one name")
            if any(one.compress_type != zipfile.ZIP_STORED for one in members.values()):
                raise refuse("its records are packed, which torch never does")
            contents = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
            if len(contents) > 1 or any(members[name].file_size > LARGEST_PICKLE for name in contents):
                raise refuse("it has two contents, or one too large")
            for name in contents:
                start = name.removesuffix(".pkl") + "/"
                sizes = {one.removeprefix(start): members[one].file_size for one in members if one.startswith(start)}
                Follower(BytesIO(archive.read(name)), partial(find_in, sizes)).load()


def check_pickle(content: bytes) -> None:
    """Refuse a pickle without records, of any program, that would make more of a few bytes than plain values.

    Raises:
        DataError: so it is. A damaged one raises what pickles raise.
    """

    def find(saved: object) -> object:
        raise refuse(f"it names a record, {str(saved)[:40]!r}, and has none")

    Follower(BytesIO(content), find).load()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in whatever is wrong with it."""
    try:
        yield
    except DataError as error:
        raise DataError(
            str(error).replace("the checkpoint was refused", f"{path} was refused"), hint=error.hint
        ) from error
    except STUMBLES as error:
        raise DataError(f"{path} cannot be read as a checkpoint: {first_line(error)[:200]}") from error


def find_in(sizes: Mapping[str, int], saved: Any) -> Record:  # noqa: ANN401 - whatever a pickle holds
    """The record that a persistent id of today's form means, if it is as large as is said."""
    word, kind, key, _, values = saved
    if word != "storage" or not isinstance(key, str) or not isinstance(values, int) or values < 0:
        raise refuse("it names a record in another way than torch does")
    needed, there = values * SIZES.get(getattr(kind, "__name__", ""), 1), sizes.get(key, -1)
    if needed > there:
        raise refuse(f"record {key[:40]!r} holds {max(there, 0):,} bytes, {needed:,} are asked of it")
    return Record(values)


def follow_legacy(file: Any, size: int) -> None:  # noqa: ANN401 - whatever can be read
    """Follow the five pickles of the older form, whose records come behind them and cannot be more than the file."""
    asked: dict[object, int] = {}

    def find(saved: Any) -> object:  # noqa: ANN401 - whatever a pickle holds
        if saved[0] == "module":
            return saved[1]
        _, kind, key, _, values, view = saved
        if not isinstance(key, str | int) or not isinstance(values, int) or values < 0:
            raise refuse("it names a record in another way than torch does")
        asked[key] = values * SIZES.get(getattr(kind, "__name__", ""), 1)
        if sum(asked.values()) > size:
            raise refuse(f"its records are of {sum(asked.values()):,} bytes, the file of {size:,}")
        if view is None:
            return Record(values)
        _, start, length = view
        if not (isinstance(start, int) and isinstance(length, int) and 0 <= start <= start + length <= values):
            raise refuse("a part of a record lies outside it")
        return Record(length)

    with suppress(EOFError):  # it is another pickle: torch says what it wants
        for _ in range(LEGACY_PICKLES):
            Follower(file, find).load()
