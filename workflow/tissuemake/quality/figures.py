"""Quality values over the tissue, spots at their true size."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, PolyCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from tissuemake.files import atomic

PANELS = (
    ("total_counts", "Counts", True),
    ("n_genes_by_counts", "Genes", True),
    ("pct_counts_mt", "Mitochondrial counts, %", False),
    ("pct_control", "Control counts, %", False),
)
# Okabe and Ito's palette: told apart by colour-blind readers.
REASON_COLORS = ("#D55E00", "#0072B2", "#CC79A7", "#E69F00", "#009E73", "#56B4E9", "#000000")
KEPT, OFF = "#bdbdbd", "#eeeeee"
EDGE = "#d7191c"
MANY = 100_000
MANY_RINGS = 500  # more of them hide what they surround


def draw_quality(adata: ad.AnnData, reasons: pd.Series, output: Path) -> None:
    """Draw each quality column over the tissue, and which spots were dropped why.

    Parameters
    ----------
    adata
        All spots, with quality columns in ``obs``.
    reasons
        From `filter.judge`.
    output
        A PNG file.
    """
    panels = [panel for panel in PANELS if panel[0] in adata.obs]
    tissue = _Tissue(adata)
    n_panels = len(panels) + 1
    # Tall tissue side by side, wide tissue in two columns: panels as large as the page allows.
    columns = n_panels if tissue.aspect > 1.4 or n_panels == 3 else 2
    rows = -(-n_panels // columns)
    width = 4.6
    height = float(np.clip(width * tissue.aspect, 1.8, 8.0)) + 0.9
    size = (columns * (width + 0.9), rows * height + 0.8)
    figure = Figure(figsize=size, layout="compressed")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[n_panels:]:
        axis.axis("off")
    for axis, (metric, title, log) in zip(axes.flat, panels, strict=False):
        _draw_values(axis, tissue, adata.obs[metric].to_numpy(float), reasons, title, log)
    handles = _draw_reasons(axes.flat[n_panels - 1], tissue, reasons)
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    sample = str(adata.uns["tissuemake"].get("sample", ""))
    kept = int((reasons == "").sum())
    inside = int(adata.obs["in_tissue"].sum())
    figure.suptitle(f"{sample}: {kept:,} of {inside:,} {tissue.observation}s under tissue stay", fontsize=13)
    with atomic(output) as partial:
        figure.savefig(partial, dpi=110, bbox_inches="tight")


class _Tissue:
    """Where things lie, in full-resolution pixels: image, spots, their shape, the frame around them."""

    def __init__(self, adata: ad.AnnData) -> None:
        about = adata.uns["tissuemake"]
        slide = next(iter(adata.uns["spatial"].values()), {})
        scales = slide.get("scalefactors", {})
        self.observation = str(about.get("observation", "spot"))
        self.xy = np.asarray(adata.obsm["spatial"], dtype=float)
        self.inside = adata.obs["in_tissue"].to_numpy(bool)
        self.mpp = float(scales.get("microns_per_pixel", 1.0))
        self.size = self._spot_size(about, scales)
        self.image, self.extent = self._image(slide, scales)
        shown = self.xy[self.inside] if self.inside.any() else self.xy
        margin = max(2 * self.size, 0.03 * float(np.ptp(shown, axis=0).max()))
        self.low, self.high = shown.min(axis=0) - margin, shown.max(axis=0) + margin
        spans = self.high - self.low
        self.aspect = float(spans[1] / spans[0])

    def _spot_size(self, about: dict, scales: dict) -> float:
        diameter = float(about.get("spot_diameter_um", 0.0)) / self.mpp
        diameter = diameter or float(scales.get("spot_diameter_fullres", 0.0))
        return diameter or 10.0 / self.mpp  # a cell without a stated size is drawn as 10 µm

    @staticmethod
    def _image(slide: dict, scales: dict) -> tuple[np.ndarray | None, tuple | None]:
        for name in ("hires", "lowres"):
            image, scale = slide.get("images", {}).get(name), scales.get(f"tissue_{name}_scalef")
            if image is not None and scale:
                height, width = image.shape[:2]
                return image, (0, width / scale, height / scale, 0)
        return None, None

    def frame(self, axis: Axes) -> None:
        """Draw the picture, the frame and a scale bar; y runs down as in images."""
        if self.image is not None:
            axis.imshow(self.image, extent=self.extent, interpolation="bilinear", alpha=0.9)
        axis.set_xlim(self.low[0], self.high[0])
        axis.set_ylim(self.high[1], self.low[1])
        axis.set_aspect("equal")
        axis.set_xticks([])
        axis.set_yticks([])
        bar = _round_length(0.25 * (self.high[0] - self.low[0]) * self.mpp)
        text = f"{bar / 1000:g} mm" if bar >= 1000 else f"{bar:g} µm"
        axis.annotate(
            text,
            xy=(0, -0.015),
            xytext=(0, -8),
            xycoords="axes fraction",
            textcoords="offset points",
            va="top",
            fontsize=8,
        )
        share = bar / self.mpp / (self.high[0] - self.low[0])
        axis.plot([0, share], [-0.015, -0.015], transform=axis.transAxes, color="k", lw=2, clip_on=False)

    def spots(self, axis: Axes, which: np.ndarray, **style) -> object:
        """Draw the spots `which` at their true size, squares for bins."""
        xy = self.xy[which]
        if len(xy) > MANY:
            points = axis.scatter(xy[:, 0], xy[:, 1], s=1, marker=",", lw=0, rasterized=True)
            points.set(**{key: value for key, value in style.items() if key != "edgecolors"})
            return points
        if self.observation == "bin":
            half = self.size / 2
            corners = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
            shapes = PolyCollection(xy[:, None, :] + corners, **style)
        else:
            size = np.full(len(xy), self.size)
            shapes = EllipseCollection(
                size, size, np.zeros(len(xy)), units="xy", offsets=xy, transOffset=axis.transData, **style
            )
        return axis.add_collection(shapes, autolim=False)


def _draw_values(axis: Axes, tissue: _Tissue, values, reasons: pd.Series, title: str, log: bool) -> None:
    tissue.frame(axis)
    inside = np.maximum(values, 1)[tissue.inside] if log else values[tissue.inside]
    low, high = np.percentile(inside, [1, 99]) if len(inside) else (1, 2)
    high = high if high > low else low + 1
    norm = LogNorm(low, high) if log else Normalize(low, high)
    spots = tissue.spots(axis, tissue.inside, array=inside, cmap="viridis", norm=norm, linewidths=0)
    dropped = tissue.inside & (reasons != "").to_numpy()
    if dropped.sum() <= MANY_RINGS:
        tissue.spots(axis, dropped, facecolors="none", edgecolors=EDGE, linewidths=0.7)
    bar = axis.figure.colorbar(spots, ax=axis, shrink=0.8, pad=0.02, extend="both")
    ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high)
    if log and high > 8 * low:
        ticks = LogLocator(subs=(1, 2, 5)).tick_values(low, high)
    bar.set_ticks([tick for tick in ticks if low <= tick <= high], labels=None)
    bar.ax.yaxis.set_major_formatter("{x:,g}")
    bar.ax.yaxis.set_minor_locator(NullLocator())
    axis.set_title(title, fontsize=11)


def _draw_reasons(axis: Axes, tissue: _Tissue, reasons: pd.Series) -> list:
    tissue.frame(axis)
    first = reasons.str.split("; ").str[0]
    counts = first[first != ""].value_counts()
    handles, outlined = [], tissue.inside & (reasons != "").to_numpy()
    styles = [("", KEPT, "stays"), ("off tissue", OFF, "off tissue")]
    others = [reason for reason in counts.index if reason != "off tissue"]
    styles += [(reason, color, reason) for reason, color in zip(others, REASON_COLORS, strict=False)]
    for reason, color, label in styles:
        which = (first == reason).to_numpy()
        if which.any():
            tissue.spots(axis, which, facecolors=color, linewidths=0)
            handles.append(Patch(color=color, label=f"{label}: {int(which.sum()):,}"))
    if 0 < outlined.sum() <= MANY_RINGS:
        ring = Patch(facecolor="none", edgecolor=EDGE, label="ringed: dropped")
        handles.append(ring)
    axis.set_title("What stays, and the first reason to drop", fontsize=11)
    return handles


def _round_length(length: float) -> float:
    power = 10 ** np.floor(np.log10(length))
    return float(max(step for step in (1, 2, 5) if step * power <= length) * power)
