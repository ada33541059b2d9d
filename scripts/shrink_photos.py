"""Make `demo/small`, the copies of `demo/photos` that the wheel carries: the same pictures as WebP of 320 pixels, a tenth as large.

`python scripts/shrink_photos.py` writes them anew; a test holds that they are copies.
"""

from pathlib import Path

from PIL import Image

DEMO = Path(__file__).parents[1] / "demo"
LONGEST = 320  # pixels; crops of it are shown at 224


def main() -> None:
    """Write every photo, and its line of attribution."""
    target = DEMO / "small"
    target.mkdir(exist_ok=True)
    for path in sorted((DEMO / "photos").iterdir()):
        if path.suffix == ".md":
            (target / path.name).write_bytes(path.read_bytes())
            continue
        with Image.open(path) as picture:
            picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
            picture.save(target / f"{path.stem}.webp", quality=28, method=6)


if __name__ == "__main__":
    main()
