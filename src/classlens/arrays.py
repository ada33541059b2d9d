"""Array types with shapes, in jaxtyping's notation, that cost nothing when a command starts.

Importing jaxtyping takes as long as drawing a schedule. Type checkers read its types here; where it is loaded already,
as in the test suite, which checks shapes at every call, these are its types; elsewhere `Float32[np.ndarray, "height
width"]` is just `np.ndarray`.
"""

import sys
from typing import TYPE_CHECKING, Any

__all__ = ["Bool", "Float", "Float32", "Float64", "Int", "Int64", "Integer", "Shaped", "UInt8"]

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Float32, Float64, Int, Int64, Integer, Shaped, UInt8
else:

    class Unchecked:
        """An array type whose shape nobody checks."""

        def __class_getitem__(cls, array_and_shape: tuple[type[Any], str]) -> type[Any]:
            return array_and_shape[0]

    Bool = Float = Float32 = Float64 = Int = Int64 = Integer = Shaped = UInt8 = Unchecked
