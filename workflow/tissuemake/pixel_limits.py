"""Ground floor: how large a picture may be that can be decoded only whole, told by its header alone."""

from pathlib import Path

from tissuemake.errors import InputError

# 3 GB of RGB.
MOST_WHOLE_PIXELS = 1_000_000_000


def refuse_giant(path: str | Path, pixels: int, most: int | None = None) -> None:
    """Raise ``picture_too_large`` for a picture, or a piece of one, of more than `most` pixels (a gigapixel)."""
    most = MOST_WHOLE_PIXELS if most is None else most
    if pixels > most:
        raise InputError(
            "picture_too_large",
            f"The picture {path} is stored in one piece of {pixels / 1e9:.2g} gigapixels, which can be decoded "
            f"only whole, in {3 * pixels / 1e9:.1f} GB of memory; {most / 1e9:g} gigapixels are the limit.",
            "Convert it to a pyramid of tiles, for example by: vips tiffsave PICTURE SLIDE.tif --tile "
            "--pyramid --compression jpeg --Q 90 --bigtiff",
        )
