"""The full-resolution H&E beside a sample: which image of the drop folder its positions fit, if one alone does."""

import fnmatch
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from tissuemake.errors import InputError
from tissuemake.ingest.alignment import read_alignment, to_image
from tissuemake.ingest.base import Reader
from tissuemake.ingest.images import image_size, load_image
from tissuemake.intake.candidates import IMAGES, Candidate
from tissuemake.intake.walk import Entry
from tissuemake.quality.slide_checks import check_slide

# What vendors write themselves, and what no section was stained for.
VENDOR_IMAGES = (
    "*tissue_hires_image*", "*tissue_lowres_image*", "*aligned_*", "*detected_tissue*", "*cytassist*", "morphology*",
    "*fiducial*", "*thumbnail*", "*overview*", "ch0*",
)  # fmt: skip
SAME_SIZE, COVERED, LEAST_SPAN = 0.01, 0.95, 0.3


@dataclass(frozen=True)
class Picture:
    """The image a sample's positions refer to. `why` says what spoke against those that were not taken."""

    image: str = ""
    alignment: str = ""
    why: str = ""


def is_picture(path: Path) -> bool:
    """Whether a file may be a full-resolution image, from its name."""
    name = path.name.lower()
    return name.endswith(IMAGES) and not any(fnmatch.fnmatch(name, pattern) for pattern in VENDOR_IMAGES)


def choose(candidate: Candidate, reader: Reader, pictures: list[Entry]) -> Picture:
    """The one image in reach whose pixels the sample's positions fit."""
    if candidate.assay == "xenium":
        return _aligned(candidate, reader, pictures)
    if candidate.assay not in ("visium", "visium_hd", "st") or not pictures:
        return Picture()
    fit, why = [], []
    for entry in pictures:
        try:
            reason = _misfit(reader, image_size(entry.path))
        except InputError as error:
            reason = error.message
        if reason:
            why.append(f"{entry.path.name} was not taken for its image: {reason}")
        else:
            fit.append(entry.path)
    if len(fit) > 1:
        names = ", ".join(path.name for path in fit)
        return Picture(why=f"{len(fit)} images fit ({names}); fill the column image with one of them")
    if fit:
        refuse_damaged(reader.row.sample, fit[0])
    return Picture(image=str(fit[0]) if fit else "", why="" if fit else "; ".join(why))


def _misfit(reader: Reader, size: tuple[int, int]) -> str:
    """Why positions do not belong on an image of `size` (width, height); empty when they fit."""
    if getattr(reader, "has_pixels", True) is False:
        return "there is no spot file with pixels"
    expected = _expected_size(reader)
    if expected is not None:
        if all(abs(have - want) <= SAME_SIZE * want for have, want in zip(size, expected, strict=True)):
            return ""
        return (
            f"it has {size[0]} × {size[1]} pixels, the positions need {expected[0]:.0f} × {expected[1]:.0f}"
        )
    positions = reader.positions()
    return _outside(positions[positions["in_tissue"]][["x", "y"]].to_numpy(), size)


def _expected_size(reader: Reader) -> tuple[float, float] | None:
    """Size of the full-resolution image by that of the vendor's small one and its scale factor."""
    factors, paths = reader.scalefactors(), getattr(reader, "image_paths", {})
    for key in ("hires", "lowres"):
        scale = factors.get(f"tissue_{key}_scalef")
        if scale and key in paths:
            height, width = load_image(paths[key]).shape[:2]
            if max(width, height) >= 100:
                return width / scale, height / scale
    return None


def _outside(xy: np.ndarray, size: tuple[int, int]) -> str:
    covered = ((xy >= 0) & (xy <= size)).all(axis=1).mean() if len(xy) else 0.0
    if covered < COVERED:
        return f"{1 - covered:.0%} of the positions lie outside its {size[0]} × {size[1]} pixels"
    if (np.ptp(xy, axis=0) / size).max() < LEAST_SPAN:
        return f"the positions span a small corner of its {size[0]} × {size[1]} pixels"
    return ""


def _aligned(candidate: Candidate, reader: Reader, pictures: list[Entry]) -> Picture:
    """An H&E of a Xenium section needs the alignment that lies beside it."""
    names = {entry.path for entry in candidate.entries} | {
        path for p in pictures for path in _tables(p.path.parent)
    }
    alignments = sorted(path for path in names if fnmatch.fnmatch(path.name.lower(), "*alignment*.csv"))
    if not pictures:
        return Picture()
    if len(pictures) != 1 or len(alignments) != 1:
        return Picture(
            why=f"{len(pictures)} images and {len(alignments)} alignments lie beside it; fill the columns image and "
            "alignment where one of each belongs to it"
        )
    image, alignment = pictures[0].path, alignments[0]
    try:
        matrix = read_alignment(alignment, reader.row.sample)
        cells = reader.positions()[["x", "y"]].to_numpy(float)
        reason = _outside(to_image(cells, matrix), image_size(image))
    except InputError as error:
        reason = error.message
    if reason:
        return Picture(why=f"{image.name} was not taken for its image: {reason}")
    refuse_damaged(reader.row.sample, image)
    return Picture(str(image), str(alignment))


def refuse_damaged(sample: str, path: Path) -> None:
    """Raise ``corrupt_slide`` for an image that cannot be read, or of which the end did not come.

    The tiles of a TIFF may lie anywhere behind its header, so a copy cut short opens like a whole one.
    """
    check_slide(sample, path)
    try:
        with tifffile.TiffFile(path) as tiff:
            pages = [page for page in tiff.pages if isinstance(page, tifffile.TiffPage)]
            pages += [level for page in pages for level in page.pages or ()]
            ends = [max(np.add(page.dataoffsets, page.databytecounts), default=0) for page in pages]
    except (tifffile.TiffFileError, ValueError, TypeError):
        return  # no TIFF: it was read whole
    if max(ends, default=0) > path.stat().st_size:
        raise InputError(
            "corrupt_slide",
            f"Sample '{sample}': the image {path} ends at {path.stat().st_size:,} bytes, before its last tile.",
            "Copy the file again from the scanner, or take it away to go on without it.",
        )


def _tables(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.csv") if path.is_file() and not path.is_symlink()]
