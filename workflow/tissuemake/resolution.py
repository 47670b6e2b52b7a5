"""Ground floor: µm per pixel as an image file states it, believed only where a microscope could have it."""

from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    import tifffile

# A resolution tag of 72 or 300 dpi says how to print a picture, not how large a pixel of tissue is.
PLAUSIBLE_MPP = (0.05, 20.0)
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
    numerator, denominator = tags["XResolution"].value
    unit = UM_PER_RESOLUTION_UNIT.get(int(tags["ResolutionUnit"].value))
    return plausible_mpp(unit * denominator / numerator) if unit and numerator else None


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
