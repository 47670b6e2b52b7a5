"""Ground floor: µm per pixel as an image file states it, believed only where a microscope could have it."""

from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    import tifffile

PLAUSIBLE_MPP = (0.05, 20.0)
# In pixels per inch only microscopes go beyond 5,080: 72 or 1,200 say how to show, print or scan a picture.
COARSEST_BY_INCH = 5.0
INCH = 2
UM_PER = {"µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4}
UM_PER_RESOLUTION_UNIT = {2: 25_400.0, 3: 10_000.0}


def tiff_mpp(tiff: "tifffile.TiffFile") -> float | None:
    """µm per pixel of the first page of a TIFF; None where the file does not say a plausible one.

    In this order: ``PhysicalSizeX`` of OME-XML, ``MPP`` of Aperio's description, and the tags XResolution and
    ResolutionUnit of TIFF 6.0, which generic and PerkinElmer's files fill.
    """
    if tiff.ome_metadata:
        pixels = ElementTree.fromstring(tiff.ome_metadata).find(".//{*}Pixels")
        if pixels is not None and pixels.get("PhysicalSizeX"):
            unit = UM_PER.get(pixels.get("PhysicalSizeXUnit", "µm"), 0.0)
            return plausible_mpp(float(pixels.get("PhysicalSizeX")) * unit)
    if tiff.is_svs:
        return plausible_mpp(_aperio(tiff.pages[0].description).get("MPP"))
    tags = tiff.pages[0].tags
    if "XResolution" not in tags or "ResolutionUnit" not in tags:
        return None
    (numerator, denominator), unit = tags["XResolution"].value, int(tags["ResolutionUnit"].value)
    if not numerator or unit not in UM_PER_RESOLUTION_UNIT:
        return None
    value = plausible_mpp(UM_PER_RESOLUTION_UNIT[unit] * denominator / numerator)
    return None if unit == INCH and value and value > COARSEST_BY_INCH else value


def slide_mpp(path: str | Path) -> float | None:
    """µm per pixel that a slide or picture states about itself; None when it says nothing plausible.

    TIFFs are asked by `tiff_mpp`, other slides through OpenSlide (``openslide.mpp-x``).
    """
    import openslide
    import tifffile

    try:
        vendor = openslide.OpenSlide.detect_format(str(path))
        if vendor not in (None, "generic-tiff", "aperio"):
            with openslide.OpenSlide(str(path)) as slide:
                return plausible_mpp(slide.properties.get(openslide.PROPERTY_NAME_MPP_X))
        with tifffile.TiffFile(path) as tiff:
            return tiff_mpp(tiff)
    # A file cut short or of no known format; who reads its pixels has the error for it.
    except Exception:
        return None


def plausible_mpp(mpp: float | str | None) -> float | None:
    """The number, or None if it is none or no microscope's."""
    try:
        value = float(mpp)
    except (TypeError, ValueError):
        return None
    return value if PLAUSIBLE_MPP[0] <= value <= PLAUSIBLE_MPP[1] else None


def _aperio(description: str) -> dict[str, str]:
    """The ``name = value`` fields, set apart by bars, of the description in an Aperio svs."""
    fields = (field.partition("=") for field in description.split("|"))
    return {name.strip(): value.strip() for name, equals, value in fields if equals}
