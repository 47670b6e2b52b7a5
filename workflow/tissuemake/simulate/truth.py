"""The truth beside the vendor folders: composition, zone and planted activity of every spot, bin and cell."""

from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.simulate import cell_types
from tissuemake.simulate.hd_capture import HDCapture, bin_barcodes
from tissuemake.simulate.programmes import border_distance
from tissuemake.simulate.spot_capture import SpotCapture
from tissuemake.simulate.tissue import GRID_UM, Section
from tissuemake.simulate.xenium_capture import XeniumCapture


def write_spot_truth(
    folder: Path,
    name: str,
    section: Section,
    capture: SpotCapture,
    programmes: Sequence[str] = (),
    diameter_um: float = 0.0,
) -> None:
    """Write ``{name}_composition.tsv`` (cells under each spot) and ``{name}_zones.tsv`` for spots in tissue.

    With planted `programmes` also ``{name}_programmes.tsv`` (activity under each spot) and ``{name}_border.tsv``.
    """
    spots = capture.spots[capture.spots["in_tissue"] == 1]
    _write(folder / f"{name}_composition.tsv", capture.composition.loc[spots.index])
    zones = section.zone_names(section.zone_at(spots["x"], spots["y"]))
    _write(folder / f"{name}_zones.tsv", pd.DataFrame({"label": zones}, index=spots.index))
    _write_activity(folder, name, section, programmes, spots, diameter_um)


def write_hd_truth(
    folder: Path, section: Section, capture: HDCapture, kinds: np.ndarray, programmes: Sequence[str] = ()
) -> None:
    """Write the same for the 8 µm bins in tissue, by the share of each segmented cell's 2 µm bins.

    Composition is in cells: a cell spread over four bins gives a quarter to each; a bin between cells is all 0.
    """
    small, shape = capture.in_tissue[2].shape, capture.in_tissue[8].shape
    rows, cols = (axis.ravel() for axis in np.indices(small))
    parent = (rows // 4) * shape[1] + cols // 4
    taken = capture.cell_of_bin >= 0
    cell = capture.cell_of_bin[taken]
    part = 1 / np.bincount(cell, minlength=len(capture.cells))[cell]
    types = len(cell_types.NAMES)
    flat = parent[taken] * types + kinds[capture.cells][cell]
    cells = np.bincount(flat, weights=part, minlength=shape[0] * shape[1] * types).reshape(-1, types)
    inside = capture.in_tissue[8].ravel()
    index = pd.Index(bin_barcodes(8, shape)[inside], name="barcode")
    _write(
        folder / "visium_hd_8um_composition.tsv",
        pd.DataFrame(np.round(cells[inside], 4), index=index, columns=list(cell_types.NAMES)),
    )
    row, col = (axis.ravel()[inside] for axis in np.indices(shape))
    x, y = capture.window.left + 8 * col + 4.0, capture.window.top + 8 * row + 4.0
    zones = section.zone_names(section.zone_at(x, y))
    _write(folder / "visium_hd_8um_zones.tsv", pd.DataFrame({"label": zones}, index=index))
    places = pd.DataFrame({"x": x, "y": y}, index=index)
    _write_activity(folder, "visium_hd_8um", section, programmes, places)


def write_xenium_truth(
    folder: Path,
    section: Section,
    capture: XeniumCapture,
    names: np.ndarray,
    cells: ad.AnnData,
    programmes: Sequence[str] = (),
) -> None:
    """Write ``xenium_zones.tsv``, ``xenium_cell_types.tsv`` (labels) and ``xenium_composition.tsv`` (one-hot)."""
    obs = cells.obs.iloc[capture.cells]
    index = pd.Index(names, name="barcode")
    for name, column in (("zones", "zone"), ("cell_types", "cell_type")):
        labels = pd.DataFrame({"label": obs[column].astype(str).to_numpy()}, index=index)
        _write(folder / f"xenium_{name}.tsv", labels)
    one_hot = (obs["cell_type"].astype(str).to_numpy()[:, None] == np.array(cell_types.NAMES)).astype(int)
    _write(
        folder / "xenium_composition.tsv", pd.DataFrame(one_hot, index=index, columns=list(cell_types.NAMES))
    )
    places = pd.DataFrame(cells.obsm["spatial"][capture.cells], index=index, columns=["x", "y"])
    _write_activity(folder, "xenium", section, programmes, places)


def write_signals(folder: Path, signals: pd.DataFrame) -> None:
    """Write ``signals.tsv``: who signals to whom, and who only looks like it."""
    folder.mkdir(parents=True, exist_ok=True)
    signals.to_csv(folder / "signals.tsv", sep="\t", index=False)


def write_programmes(folder: Path, programmes: pd.DataFrame) -> None:
    """Write ``programmes.gmt`` and ``programmes.tsv`` (`programmes.programme_table`): what follows what."""
    folder.mkdir(parents=True, exist_ok=True)
    programmes.drop(columns="genes").to_csv(folder / "programmes.tsv", sep="\t", index=False)
    lines = [
        "\t".join([row.programme, f"planted:{row.kind}", *row.genes.split()])
        for row in programmes.itertuples()
    ]
    (folder / "programmes.gmt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def activity_truth(
    section: Section, names: Sequence[str], places: pd.DataFrame, diameter_um: float = 0.0
) -> pd.DataFrame:
    """Activity of planted programmes (places, programmes): mean over a circle, or at its centre.

    Parameters
    ----------
    names
        Of the programmes in ``section.activity``.
    places
        Columns x, y (µm).
    """
    reach = np.arange(-diameter_um / 2, diameter_um / 2 + 1, GRID_UM) if diameter_um else np.zeros(1)
    dx, dy = (axis.ravel() for axis in np.meshgrid(reach, reach))
    inside = np.hypot(dx, dy) <= diameter_um / 2
    x = places["x"].to_numpy()[:, None] + dx[inside]
    y = places["y"].to_numpy()[:, None] + dy[inside]
    tissue = section.zone_at(x, y) >= 0
    weight = tissue / np.maximum(tissue.sum(axis=1, keepdims=True), 1)
    means = [(section.sample(field, x, y) * weight).sum(axis=1) for field in section.activity]
    return pd.DataFrame(dict(zip(names, np.round(means, 4), strict=True)), index=places.index)


def _write_activity(folder, name, section, names, places, diameter_um=0.0):
    """``{name}_programmes.tsv`` and ``{name}_border.tsv``: signed distance to the border, µm, negative inside."""
    if section.activity is None:
        return
    _write(folder / f"{name}_programmes.tsv", activity_truth(section, names, places, diameter_um))
    distance = section.sample(border_distance(section), places["x"], places["y"])
    _write(folder / f"{name}_border.tsv", pd.DataFrame({"distance_um": distance}, index=places.index))


def _write(path, table):
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, sep="\t", index_label="barcode")
