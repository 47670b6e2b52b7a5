"""Pictures on disk: pyramidal slides that OpenSlide opens, OME-TIFF, and the small previews beside the counts."""

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

_TILE = 256
HIRES_PX = 2000
LOWRES_PX = 600


def halve(picture: np.ndarray) -> np.ndarray:
    """Mean of 2 x 2 pixels; an odd last row or column is dropped."""
    height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
    total = picture[:height:2, :width:2].astype(np.uint32 if picture.dtype == np.uint16 else np.uint16)
    for row, col in ((1, 0), (0, 1), (1, 1)):
        total += picture[row:height:2, col:width:2]
    total //= 4
    return total.astype(picture.dtype)


def write_slide(picture: np.ndarray, path: Path, mpp: float) -> None:
    """Write uint8 RGB (h, w, 3) as the generic pyramidal TIFF of OpenSlide: each level a page of JPEG tiles.

    OpenSlide takes µm per pixel from the resolution tags.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    level = 0
    with tifffile.TiffWriter(path, bigtiff=picture.nbytes > 2**31) as tif:
        while True:
            tif.write(
                picture,
                photometric="rgb",
                tile=(_TILE, _TILE),
                compression="jpeg",
                compressionargs={"level": 85},
                resolution=(1e4 / (mpp * 2**level),) * 2,
                resolutionunit="CENTIMETER",
                subfiletype=1 if level else 0,
                metadata=None,
                software="tissuemake",
            )
            if max(picture.shape) <= 2 * _TILE:
                return
            picture = halve(picture)
            level += 1


def write_ome(picture: np.ndarray, path: Path, mpp: float, channel: str | list[str]) -> None:
    """Write (h, w) grey or (h, w, 3) RGB as a tiled OME-TIFF with its pyramid in SubIFDs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = picture.ndim == 3
    levels = [picture]
    while max(levels[-1].shape) > 1024:
        levels.append(halve(levels[-1]))
    options = {
        "photometric": "rgb" if rgb else "minisblack",
        "tile": (512, 512),
        "compression": "jpeg" if rgb else "zlib",
        "compressionargs": {"level": 85 if rgb else 1},
        "predictor": not rgb,
        "software": "tissuemake",
    }
    metadata = {
        "axes": "YXS" if rgb else "YX",
        "PhysicalSizeX": mpp,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": mpp,
        "PhysicalSizeYUnit": "µm",
        "Channel": {"Name": channel},
        # Without a fixed one tifffile draws a new identifier for each file.
        "UUID": "urn:uuid:00000000-0000-0000-0000-000000000000",
    }
    with tifffile.TiffWriter(path, ome=True, bigtiff=picture.nbytes > 2**31) as tif:
        tif.write(
            levels[0],
            subifds=len(levels) - 1,
            metadata=metadata,
            resolution=(1e4 / mpp,) * 2,
            resolutionunit="CENTIMETER",
            **options,
        )
        for number, level in enumerate(levels[1:], start=1):
            tif.write(
                level,
                subfiletype=1,
                metadata=None,
                resolution=(1e4 / (mpp * 2**number),) * 2,
                resolutionunit="CENTIMETER",
                **options,
            )


def write_previews(picture: np.ndarray, folder: Path) -> tuple[float, float]:
    """Write ``tissue_hires_image.png`` and ``tissue_lowres_image.png``; return their scale factors.

    The factors are preview pixels per pixel of `picture`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scales = []
    full = Image.fromarray(picture)
    for name, longest in (("tissue_hires_image.png", HIRES_PX), ("tissue_lowres_image.png", LOWRES_PX)):
        scale = min(1.0, longest / max(full.size))
        size = (round(full.width * scale), round(full.height * scale))
        full.resize(size, Image.Resampling.BOX).save(folder / name, compress_level=3)
        scales.append(size[0] / full.width)
    return scales[0], scales[1]
