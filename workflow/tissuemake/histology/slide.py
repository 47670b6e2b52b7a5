"""Open a slide with the reader that suits it: one face over OpenSlide, tifffile and plain images."""

from math import floor
from pathlib import Path

import openslide
import tifffile

from tissuemake.errors import InputError
from tissuemake.histology.image import Slide, unreadable
from tissuemake.histology.jpeg_tiles import JpegTiledSlide
from tissuemake.histology.readers import FlatSlide, OpenSlideSlide, TiffSlide

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_slide(path: str | Path) -> Slide:
    """Open a slide with the reader that sees most of its pyramid.

    Pyramids of JPEG tiles in a TIFF (svs, generic, OME-TIFF, qptiff) are read by our own reader, several times
    faster; OpenSlide takes the other vendors' formats and generic pyramids of other codecs; tifffile takes
    what OpenSlide refuses and OME-TIFF, of whose SubIFD pyramid OpenSlide sees one level; other images are
    decoded whole. A pixel of each level is read at once, because a corrupt slide opens and fails only then.

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
        slide = _open(path)
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


def _open(path: Path) -> Slide:
    vendor = openslide.OpenSlide.detect_format(str(path))
    if vendor not in (None, "aperio", "generic-tiff"):
        return OpenSlideSlide(path)
    with path.open("rb") as handle:
        is_tiff = handle.read(4) in TIFF_MAGIC
    if not is_tiff:
        return FlatSlide(path)
    if vendor is None:
        return _jpeg_tiled(path) or TiffSlide(path)
    known = OpenSlideSlide(path)
    sizes = [known.level_dimensions(level) for level in range(len(known.downsamples))]
    fast = _jpeg_tiled(path)
    if fast is not None and _sees_as_much(fast, sizes, vendor):
        known.close()
        return fast
    if vendor == "generic-tiff":
        with tifffile.TiffFile(path) as tiff:
            if len(tiff.series[0].levels) > len(sizes):
                known.close()
                return TiffSlide(path)
    return known


def _jpeg_tiled(path: Path) -> JpegTiledSlide | None:
    try:
        return JpegTiledSlide(path)
    except Exception:  # not its format, or so damaged that the next reader has to say how
        return None


def _sees_as_much(slide: JpegTiledSlide, sizes: list[tuple[int, int]], vendor: str) -> bool:
    """Whether the slide has all levels that OpenSlide sees, and nothing that OpenSlide knows better."""
    levels = [slide.level_dimensions(level) for level in range(len(slide.downsamples))]
    # OpenSlide fills the gaps in a level of Aperio's from the level above.
    gaps = vendor == "aperio" and any((level.sizes == 0).any() for level in slide.levels)
    return levels[0] == sizes[0] and set(sizes) <= set(levels) and not gaps
