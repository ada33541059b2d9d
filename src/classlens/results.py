"""What every result can do, whichever engine it comes from: show itself in a notebook, save itself, be an array.

A result knows no figure: it asks for its drawing under the public name, `classlens.draw`, which is imported when a
result is shown or saved and not before.
"""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np


class Drawable:
    """What `classlens.draw` can draw."""

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the drawing of this result, and the folders on the way; the ending says the format. Returns the place.

        `classlens.draw(result, ...)` draws with options, and saves in the same way.

        Raises:
            DataError: there is no such format (the hint lists those that there are), or the file cannot be written.
        """
        import classlens

        return Path(classlens.draw(self).save(path))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str | bytes]:
        """What a notebook shows."""
        import classlens

        drawing = classlens.draw(self)
        bundle: dict[str, str | bytes] = drawing._repr_mimebundle_()
        return bundle if drawing.text else bundle | {"text/plain": repr(self)}


class Array:
    """What numpy, and all that asks numpy, such as `plt.imshow`, reads as the array of one attribute."""

    numbers: ClassVar[str]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> "np.ndarray":  # noqa: ANN401, FBT001 - numpy's
        import numpy as np

        return np.array(getattr(self, self.numbers), dtype=dtype, copy=copy)
