"""Do spots, image, scale factors and µm per pixel fit each other?"""

import numpy as np
import pandas as pd

from tissuemake.errors import InputError
from tissuemake.ingest.base import Reader
from tissuemake.ingest.lattice import fit_lattice
from tissuemake.quality.verdict import Verdict
from tissuemake.resolution import slide_mpp

APART = 0.10  # µm per pixel from two sources
LOOSE = 0.25  # rms distance from the ideal lattice, in pitches; real slides stay below 0.1
SIZE_APART = 0.02  # full-resolution size, from the image and from a scaled image
FEW_OUTSIDE = 0.01


def check_lattice(verdict: Verdict, reader: Reader, positions: pd.DataFrame) -> float | None:
    """Spots stand on their lattice; returns µm per pixel from its pitch, None without a lattice."""
    if reader.lattice == "none" or not reader.pitch_um:
        return None
    fit = fit_lattice(positions, reader.lattice)
    if fit is None:
        return None
    if fit.residual > LOOSE:
        raise InputError(
            "positions_off_lattice",
            f"{reader.where(reader.row.path)}: pixel positions do not follow the array's rows and columns "
            f"({fit.residual:.2g} pitches off, at most {LOOSE}); columns are in the wrong order, or the "
            "positions are of another slide.",
            "Restore the positions file as the instrument's software wrote it: barcode, in_tissue, "
            "array_row, array_col, pxl_row, pxl_col.",
        )
    return reader.pitch_um / fit.pitch_px


def check_mpp(verdict: Verdict, reader: Reader, positions: pd.DataFrame, from_pitch: float | None) -> None:
    """µm per pixel is known, and all who state it agree within 10 %."""
    row = reader.row
    stated = {
        "the column mpp": row.mpp,
        "the metadata of " + row.image: slide_mpp(row.image) if row.image else None,
        "the spots' pitch": from_pitch,
        "the files": reader.scalefactors().get("microns_per_pixel"),
    }
    if getattr(reader, "alignment", None) is not None:
        stated["the alignment matrix"] = reader.microns_per_pixel()
    known = {source: float(value) for source, value in stated.items() if value}
    verdict.facts["microns_per_pixel"] = round(reader.resolve_mpp(positions), 6)
    verdict.facts["microns_per_pixel_by"] = {source: round(value, 6) for source, value in known.items()}
    low = min(known, key=known.get, default="")
    high = max(known, key=known.get, default="")
    if known and known[high] > (1 + APART) * known[low]:
        raise InputError(
            "mpp_mismatch",
            f"{reader.where(row.path)}: {low} says {known[low]:.4g} µm per pixel, {high} {known[high]:.4g}; "
            f"at most {APART:.0%} apart are believed.",
            "Give the image that the positions refer to, and its µm per pixel in the column mpp.",
        )


def check_images(verdict: Verdict, reader: Reader, positions: pd.DataFrame) -> None:
    """Images, scale factors and spots speak of one picture of one size."""
    full = reader.image_size()
    scaled = _implied_sizes(reader)
    verdict.facts["image"] = reader.image_path or ", ".join(scaled)
    if full:
        verdict.facts["image_px"] = [int(full[0]), int(full[1])]
    if not full and not scaled:
        verdict.warn(
            "no_image",
            f"{reader.where(reader.row.path)} has no tissue image.",
            "Fill the column image to see the tissue under the spots; numbers do not need it.",
        )
    for name, size in scaled.items():
        if full and max(abs(s - f) / f for s, f in zip(size, full, strict=True)) > SIZE_APART:
            raise InputError(
                "image_of_another_section",
                f"{reader.where(reader.image_path)} is {full[0]} × {full[1]} pixels, but the {name} image "
                f"and its scale factor speak of {size[0]:.0f} × {size[1]:.0f}: another section's, or scaled.",
                "Give in the column image the very file that was given to Space Ranger.",
            )
    sizes = {**scaled, **({"full-resolution": full} if full else {})}
    for name, size in sizes.items():
        _check_inside(verdict, reader, positions, name, size)


def _implied_sizes(reader: Reader) -> dict[str, tuple[float, float]]:
    """Width and height of the full-resolution image as each scaled image implies them."""
    factors = reader.scalefactors()
    sizes = {}
    for name, image in reader.vendor_images().items():
        scale = factors.get(f"tissue_{name}_scalef")
        if scale:
            sizes[name] = (image.shape[1] / scale, image.shape[0] / scale)
        if image.min() == image.max():
            reader.warn(
                "blank_image",
                f"the {name} image has one colour only.",
                "Replace it by the vendor's own image, or fill the column image.",
            )
    return sizes


def _check_inside(verdict: Verdict, reader: Reader, positions: pd.DataFrame, name: str, size) -> None:
    xy = positions.loc[positions["in_tissue"].to_numpy(bool), ["x", "y"]].to_numpy(float)
    if not len(xy):
        return
    outside = ((xy < 0) | (xy > np.asarray(size))).any(axis=1)
    if outside.mean() > FEW_OUTSIDE:
        worst = xy[outside][np.argmax(np.abs(xy[outside] - np.asarray(size) / 2).max(axis=1))]
        raise InputError(
            "spots_outside_image",
            f"{reader.where(reader.image_path or reader.row.path)}: {outside.sum()} of {len(xy)} "
            f"{reader.observation}s lie outside the {name} image, which reaches to {size[0]:.0f} × "
            f"{size[1]:.0f} pixels, e.g. one at {worst[0]:.0f}, {worst[1]:.0f}: an image of another section, "
            "wrong scale factors, x and y exchanged, or a wrong alignment.",
            "Put positions, scale factors and images of one section together; "
            "for Xenium export the alignment anew.",
        )
