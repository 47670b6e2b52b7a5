"""What the viewer in a page shows: the picture, the spots and their layers, packed small."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from PIL import Image

from tissuemake.reporting.layers import Group, Layer, Points
from tissuemake.reporting.pages import data_uri
from tissuemake.reporting.palette import MISSING, viridis

IMAGE_SIDE = 2000
# Above this a value takes one byte instead of two; above MAX_SHOWN a random part of the spots is drawn.
FINE_VALUES = 20_000
MAX_SHOWN = 150_000
SHAPES = {"spot": "circle", "bin": "square", "cell": "dot"}


@dataclass(frozen=True)
class TissueView:
    """The viewer's parts: `image` (a ``data:`` URI or ""), `scene` (JSON) and `blob` (base64)."""

    image: str
    scene: dict
    blob: str
    shown: int


def build_view(sample: str, adata: ad.AnnData, groups: list[Group]) -> TissueView:
    """Pack a filtered sample for the page.

    Positions are float32 full-resolution pixels; numbers become 16 (or 8) bit steps between their extremes,
    whose highest code means "missing". Everything is one blob, described by the scene; it is not compressed, because
    browsers unpack only asynchronously and a page printed or captured early would show no tissue.
    """
    rows = choose_rows(adata.n_obs)
    spatial = np.asarray(adata.obsm["spatial"], dtype=float)
    space = adata.uns["spatial"].get(sample, {})
    scales = {key: float(value) for key, value in space.get("scalefactors", {}).items()}
    facts = adata.uns["tissuemake"]
    image, picture = encode_image(space)
    packer = _Packer()
    bits = 16 if adata.n_obs <= FINE_VALUES else 8
    dropped = adata.uns["dropped"]
    sets, fine = _point_sets(groups, adata.n_obs, rows, packer)
    scene = {
        "count": len(rows),
        "mpp": scales.get("microns_per_pixel", 1.0),
        "diameter": scales.get("spot_diameter_fullres", 1.0),
        "pie_diameter": _pie_diameter(scales, float(facts.get("pitch_um", 0.0))),
        "shape": SHAPES.get(str(facts.get("observation", "spot")), "circle"),
        "noun": str(facts.get("observation", "spot")),
        "image": picture,
        "x": packer.add(spatial[rows, 0].astype("<f4")),
        "y": packer.add(spatial[rows, 1].astype("<f4")),
        "barcodes": packer.add_lines(adata.obs_names[rows]),
        "dropped": _dropped(dropped, packer),
        "ramp": viridis(64),
        "missing": MISSING,
        "fine": sets,
        "groups": [
            {
                "label": group.label,
                "note": group.note,
                "fine": fine[i][0],
                "layers": [
                    _layer(layer, fine[i][1], 8 if group.points else bits, packer) for layer in group.layers
                ],
            }
            for i, group in enumerate(groups)
        ],
    }
    return TissueView(image, scene, packer.blob(), len(rows))


def choose_rows(n: int) -> np.ndarray:
    """Return the rows to draw: all, or a reproducible random part of a very large sample."""
    if n <= MAX_SHOWN:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, MAX_SHOWN, replace=False))


def encode_image(space: dict) -> tuple[str, dict | None]:
    """Return the tissue image as a JPEG ``data:`` URI, and its size and pixels per full-resolution pixel.

    Vendors' test data hold dummies of a single colour; those count as no image.
    """
    for name in ("hires", "lowres"):
        pixels = space.get("images", {}).get(name)
        scale = space.get("scalefactors", {}).get(f"tissue_{name}_scalef")
        if pixels is None or scale is None or np.std(pixels) < 1e-6:
            continue
        picture = Image.fromarray(as_uint8(np.asarray(pixels)))
        shrink = min(1.0, IMAGE_SIDE / max(picture.size))
        if shrink < 1:
            size = tuple(max(1, round(side * shrink)) for side in picture.size)
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        shown = {"width": picture.width, "height": picture.height, "scale": float(scale) * shrink}
        return _jpeg(picture), shown
    return "", None


def small_picture(path: Path) -> str:
    """Return a figure of another stage as a ``data:`` URI: JPEG, no wider than the page on a dense screen."""
    with Image.open(path) as figure:
        picture = Image.new("RGB", figure.size, "white")
        picture.paste(figure, mask=figure.getchannel("A") if figure.mode == "RGBA" else None)
    picture.thumbnail((IMAGE_SIDE, 4 * IMAGE_SIDE), Image.Resampling.LANCZOS)
    return _jpeg(picture)


def _jpeg(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85, optimize=True)
    return data_uri(buffer.getvalue(), "image/jpeg")


def as_uint8(pixels: np.ndarray) -> np.ndarray:
    """Return RGB bytes of an image that may be grey, with alpha, or floats from 0 to 1."""
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    if np.issubdtype(pixels.dtype, np.floating):
        pixels = np.clip(pixels, 0, 1) * 255
    return np.ascontiguousarray(pixels[:, :, :3].astype(np.uint8))


def quantise(values: np.ndarray, bits: int) -> tuple[np.ndarray, float, float]:
    """Return codes of `values` and the numbers that codes 0 and top - 1 stand for; code top is missing."""
    top = 2**bits - 1
    finite = np.isfinite(values)
    low, high = (float(values[finite].min()), float(values[finite].max())) if finite.any() else (0.0, 0.0)
    codes = np.full(len(values), top, dtype=f"<u{bits // 8}")
    if finite.any():
        span = (high - low) or 1.0
        codes[finite] = np.rint((values[finite] - low) / span * (top - 1))
    return codes, low, high


def _point_sets(
    groups: list[Group], n_obs: int, rows: np.ndarray, packer: "_Packer"
) -> tuple[list[dict], list[tuple[int, np.ndarray]]]:
    """Pack the places of groups that have their own; per group: which set it stands on (-1: spots), and its rows."""
    shown = np.full(n_obs + 1, -1)
    shown[rows] = np.arange(len(rows))
    sets, found = [], []
    for group in groups:
        if group.points is None:
            found.append((-1, rows))
            continue
        chosen = choose_rows(len(group.points.xy))
        found.append((len(sets), chosen))
        sets.append(_points(group.points, chosen, shown, packer))
    return sets, found


def _points(points: Points, chosen: np.ndarray, shown: np.ndarray, packer: "_Packer") -> dict:
    return {
        "count": len(chosen),
        "diameter": float(points.step),
        "x": packer.add(points.xy[chosen, 0].astype("<f4")),
        "y": packer.add(points.xy[chosen, 1].astype("<f4")),
        "spot": packer.add(shown[points.spots[chosen]].astype("<i4")),
    }


def _layer(layer: Layer, rows: np.ndarray, bits: int, packer: "_Packer") -> dict:
    values = np.asarray(layer.values)[rows]
    if layer.categories:
        bits = 8 if len(layer.categories) < 255 else 16
        codes = np.where(values < 0, 2**bits - 1, values).astype(f"<u{bits // 8}")
        return {
            "label": layer.label,
            "key": layer.key or layer.label,
            "bits": bits,
            "at": packer.add(codes),
            "categories": list(layer.categories),
            "colours": list(layer.colours),
            "slices_in": layer.slices_in,
        }
    codes, low, high = quantise(values.astype(float), bits)
    finite = values[np.isfinite(values)]
    # One bright spot must not darken all the others: the colours end at the 99th percentile.
    ceiling = float(np.percentile(finite, 99)) if len(finite) else high
    floor = min(0.0, low) if low >= 0 and low < 0.3 * high else low
    floor = layer.floor if np.isfinite(layer.floor) else floor
    ceiling = layer.ceiling if np.isfinite(layer.ceiling) else ceiling
    if ceiling <= floor:
        ceiling = high if high > floor else floor + 1.0
    return {
        "label": layer.label,
        "key": layer.key or layer.label,
        "unit": layer.unit,
        "bits": bits,
        "at": packer.add(codes),
        "range": [low, high],
        "colour_range": [floor, ceiling],
        "spread_in": layer.spread_in,
    }


def _pie_diameter(scales: dict[str, float], pitch_um: float) -> float:
    """Pixels of a pie: on a lattice nearly up to its neighbours, because a spot alone is small for slices."""
    diameter = scales.get("spot_diameter_fullres", 1.0)
    return max(diameter, 0.94 * pitch_um / scales.get("microns_per_pixel", 1.0))


def _dropped(dropped: pd.DataFrame, packer: "_Packer") -> dict:
    table = dropped.iloc[choose_rows(len(dropped))]
    reasons = sorted(table["reason"].astype(str).unique())
    codes = pd.Categorical(table["reason"].astype(str), categories=reasons).codes
    return {
        "count": len(table),
        "x": packer.add(table["x"].to_numpy("<f4")),
        "y": packer.add(table["y"].to_numpy("<f4")),
        "reason": packer.add(codes.astype("<u1")),
        "reasons": reasons,
    }


class _Packer:
    """Bytes one after another, each beginning at a multiple of four as typed arrays want."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = 0

    def add(self, values: np.ndarray) -> int:
        return self._append(values.tobytes())

    def add_lines(self, texts: pd.Index) -> list[int]:
        content = "\n".join(str(text).replace("\n", " ") for text in texts).encode("utf-8", "replace")
        return [self._append(content), len(content)]

    def blob(self) -> str:
        return base64.b64encode(b"".join(self._parts)).decode("ascii")

    def _append(self, content: bytes) -> int:
        at = self._length
        padded = content + bytes(-len(content) % 4)
        self._parts.append(padded)
        self._length += len(padded)
        return at
