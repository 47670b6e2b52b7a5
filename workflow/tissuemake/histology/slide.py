"""Open a slide with the reader that suits it: one face over OpenSlide, tifffile and plain images."""

from math import floor
from pathlib import Path

import openslide
import tifffile

from tissuemake.errors import InputError
from tissuemake.histology.image import Slide, unreadable
from tissuemake.histology.readers import FlatSlide, OpenSlideSlide, TiffSlide

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_slide(path: str | Path) -> Slide:
    """Open a slide with the reader that sees most of its pyramid.

    OpenSlide takes vendor formats and generic pyramids; tifffile takes what OpenSlide refuses and OME-TIFF,
    of whose SubIFD pyramid OpenSlide sees one level; other images are decoded whole. A small region is read
    at once, because a corrupt slide opens and fails only then.

    Raises
    ------
    InputError
        ``missing_slide`` or ``unreadable_slide``, naming the file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            "missing_slide",
            f"The slide {path} does not exist.",
            "Correct the column image of the sample sheet.",
        )
    try:
        slide = _reader(path)(path)
    except InputError:
        raise
    # Each library has errors of its own, down to struct.error and KeyError for a file cut short.
    except Exception as error:
        raise unreadable(path, error) from error
    width, height = slide.dimensions
    try:
        for level, downsample in enumerate(slide.downsamples):
            slide.read_level(level, floor(width / 2 / downsample), floor(height / 2 / downsample), 1, 1)
    except InputError:
        slide.close()
        raise
    return slide


def _reader(path: Path) -> type[Slide]:
    vendor = openslide.OpenSlide.detect_format(str(path))
    if vendor not in (None, "generic-tiff"):
        return OpenSlideSlide
    with path.open("rb") as handle:
        is_tiff = handle.read(4) in TIFF_MAGIC
    if not is_tiff:
        return FlatSlide
    if vendor is None:
        return TiffSlide
    with tifffile.TiffFile(path) as tiff, openslide.OpenSlide(str(path)) as slide:
        return TiffSlide if len(tiff.series[0].levels) > slide.level_count else OpenSlideSlide
