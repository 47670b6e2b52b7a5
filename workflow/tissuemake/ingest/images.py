"""Tissue images at the size a report needs, without ever decoding more of a slide than that takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np

from tissuemake.errors import InputError
from tissuemake.pixel_limits import refuse_giant

HIRES_LONG_SIDE = 2000
# A pyramid level above this many pixels is walked tile by tile instead of decoded at once.
WHOLE_LEVEL_PIXELS = 100_000_000
_REMEDY = "Replace the file, or empty the column image of the sheet to go on without a full-resolution image."


def load_image(path: str | Path) -> np.ndarray:
    """Read a small image (png, jpg, tif) whole, as uint8 RGB (height, width, 3)."""
    from PIL import Image

    try:
        with _no_size_limit(), Image.open(path) as picture:
            refuse_giant(path, prod(picture.size), WHOLE_LEVEL_PIXELS)
            return to_rgb(np.asarray(picture.convert("RGB") if picture.mode in _EIGHT_BIT else picture))
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise _unreadable(path, error) from error


_EIGHT_BIT = ("RGB", "RGBA", "P", "L", "LA", "CMYK", "YCbCr", "1")


def image_size(path: str | Path) -> tuple[int, int]:
    """Width and height in pixels of the largest level, from the header."""
    slide = _openslide(path)
    if slide is not None:
        with slide:
            return slide.dimensions
    tiff = _tiff(path)
    if tiff is not None:
        with tiff:
            page = tiff.pages.first
            return page.imagewidth, page.imagelength
    from PIL import Image

    try:
        with _no_size_limit(), Image.open(path) as picture:
            return picture.size
    except (OSError, SyntaxError) as error:
        raise _unreadable(path, error) from error


def thumbnail(path: str | Path, long_side: int = HIRES_LONG_SIDE) -> np.ndarray:
    """Return the image scaled to at most `long_side` pixels, uint8 RGB.

    OpenSlide reads pyramids; tifffile walks flat TIFFs tile by tile; JPEGs are decoded at a reduced scale.

    Raises
    ------
    InputError
        ``unreadable_image``.
    """
    try:
        for reader in (_openslide_thumbnail, _tiff_thumbnail, _pil_thumbnail):
            picture = reader(Path(path), long_side)
            if picture is not None:
                return shrink(picture, long_side)
    except InputError:
        raise
    except Exception as error:  # decoders raise whatever they like on a corrupt file
        raise _unreadable(path, error) from error
    raise _unreadable(path, "no reader knows this format")


def complete(
    images: dict[str, np.ndarray], factors: dict[str, float], image_path: str
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Give a ``hires`` to whoever lacks one: from the full-resolution image, else a copy of lowres.

    A hires of one colour counts as missing: cropped data sets carry black dummies.
    """
    images = {key: image for key, image in images.items() if key != "hires" or image.min() < image.max()}
    factors = dict(factors)
    if "hires" not in images and image_path:
        images["hires"] = thumbnail(image_path)
        factors["tissue_hires_scalef"] = images["hires"].shape[1] / image_size(image_path)[0]
    elif "hires" not in images and "lowres" in images:
        images["hires"] = images["lowres"]
        factors["tissue_hires_scalef"] = factors.get("tissue_lowres_scalef", 1.0)
    order = [key for key in ("hires", "lowres") if key in images]
    return {key: images[key] for key in order}, factors


def to_rgb(image: np.ndarray) -> np.ndarray:
    """Any (h, w), (h, w, c) array as uint8 RGB; deeper than 8 bit is stretched between its percentiles."""
    image = np.asarray(image)
    image = image[..., None] if image.ndim == 2 else image
    if image.dtype != np.uint8:
        low, high = np.percentile(image, (1, 99.8))
        image = (np.clip((image - low) / max(high - low, 1e-9), 0, 1) * 255).astype(np.uint8)
    if image.shape[-1] < 3:
        image = np.repeat(image[..., :1], 3, axis=-1)
    return np.ascontiguousarray(image[..., :3])


def shrink(picture: np.ndarray, long_side: int) -> np.ndarray:
    """Scale an image down to at most `long_side` pixels, by averaging."""
    from PIL import Image

    scaled = Image.fromarray(to_rgb(picture))
    scaled.thumbnail((long_side, long_side), Image.Resampling.BOX, reducing_gap=None)
    return np.asarray(scaled)


def _openslide(path: str | Path):
    import openslide

    try:
        return openslide.OpenSlide(str(path))
    except openslide.OpenSlideError:
        return None


def _openslide_thumbnail(path: Path, long_side: int) -> np.ndarray | None:
    slide = _openslide(path) if _is_plain(path) else None
    if slide is None:
        return None
    with slide:
        level = slide.get_best_level_for_downsample(max(slide.dimensions) / long_side)
        width, height = slide.level_dimensions[level]
        if width * height > WHOLE_LEVEL_PIXELS:
            return None
        region = slide.read_region((0, 0), level, (width, height))
    rgb = np.asarray(region)
    # Transparent pixels lie outside what the scanner saw; glass is white.
    return np.where(rgb[..., 3:] == 0, np.uint8(255), rgb[..., :3])


def _tiff(path: str | Path):
    import tifffile

    try:
        return tifffile.TiffFile(path, is_ome=False)
    except (tifffile.TiffFileError, OSError, ValueError):
        return None


def _is_plain(path: Path) -> bool:
    """Not a TIFF that OpenSlide would show wrongly: 16-bit turns black, levels in SubIFDs are not seen."""
    tiff = _tiff(path)
    if tiff is None:
        return True
    with tiff:
        return tiff.pages.first.dtype == np.uint8 and not tiff.pages.first.pages


def _tiff_thumbnail(path: Path, long_side: int) -> np.ndarray | None:
    tiff = _tiff(path)
    if tiff is None:
        return None
    with tiff:
        first = tiff.pages.first
        levels = [first, *(first.pages or [])]
        levels += [page for page in tiff.pages[1:] if getattr(page, "is_reduced", False)]
        enough = [page for page in levels if max(page.imagewidth, page.imagelength) >= long_side]
        page = min(enough, key=lambda page: page.imagewidth) if enough else first
        # A stack of channels or planes counts as well.
        if prod(page.shape) <= 4 * WHOLE_LEVEL_PIXELS:
            return _channels_last(page.asarray(), page.axes)
        refuse_giant(path, prod(page.chunks[:2]))
        return _walk_tiles(page, long_side)


def _channels_last(image: np.ndarray, axes: str) -> np.ndarray:
    return np.moveaxis(image, 0, -1) if axes == "SYX" else image


def _walk_tiles(page, long_side: int) -> np.ndarray:
    """Every n-th pixel of a large flat page, one tile or strip in memory at a time."""
    step = max(1, max(page.imagewidth, page.imagelength) // (2 * long_side))
    shape = (-(-page.imagelength // step), -(-page.imagewidth // step), page.samplesperpixel)
    out = np.full(shape, 255, dtype=page.dtype)
    for data, (sample, _, top, left, _), _ in page.segments():
        if data is None:  # a tile the scanner did not see
            continue
        down, right = -top % step, -left % step
        row, col = (top + down) // step, (left + right) // step
        # Tiles at the edge are full size and reach beyond the image.
        piece = data[0, down::step, right::step][: shape[0] - row, : shape[1] - col]
        channels = slice(sample, sample + piece.shape[-1])
        out[row : row + piece.shape[0], col : col + piece.shape[1], channels] = piece
    return out


def _pil_thumbnail(path: Path, long_side: int) -> np.ndarray | None:
    from PIL import Image, UnidentifiedImageError

    try:
        with _no_size_limit(), Image.open(path) as picture:
            refuse_giant(path, prod(picture.size))
            picture.draft("RGB", (long_side, long_side))  # JPEG only: decode at 1/2, 1/4 or 1/8
            picture.load()
            return np.asarray(picture.convert("RGB") if picture.mode in _EIGHT_BIT else picture)
    except UnidentifiedImageError:
        return None


@contextmanager
def _no_size_limit() -> Iterator[None]:
    """Lift PIL's guard against decompression bombs, which whole slides exceed."""
    from PIL import Image

    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _unreadable(path: str | Path, error: object) -> InputError:
    return InputError("unreadable_image", f"The image {path} cannot be read ({error}).", _REMEDY)
