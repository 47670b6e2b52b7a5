"""Spots of known composition from a sample of single cells: sums of the cells under a lattice, on part of the panel.

So deconvolution can be asked, on this very tissue and atlas, what it says of spots whose cells were counted. What is
summed are the cells as segmented: molecules between cells, and what spots on glass catch from their neighbours, are
not in it.
"""

import logging
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.contracts import CELL_TYPES, FILTERED, read_anndata, read_table, write_anndata
from tissuemake.errors import InputError
from tissuemake.evaluation.tables import read_truth
from tissuemake.files import atomic
from tissuemake.provenance import measured

log = logging.getLogger(__name__)

# Of Visium: round spots on a hexagonal lattice. The square lattice is of bins that touch, as wide as the spots.
PITCH_UM = 100.0
DIAMETER_UM = 55.0
LATTICES = ("hexagonal", "square")
FEWEST_SPOTS = 20
FEWEST_GENES = 10


def make_pseudo_spots(
    filtered: str | Path,
    output: str | Path,
    truth_output: str | Path,
    *,
    truth: str = "",
    cell_types: str | Path | None = None,
    lattice: str = "hexagonal",
    panel: float = 1.0,
    seed: int = 0,
) -> None:
    """Write pseudo-spots (contract FILTERED) and their composition, a table of cells by type for each spot.

    Parameters
    ----------
    filtered
        Contract FILTERED, of single cells.
    truth
        The sheet's cell: composition by barcode, here of one cell each. Empty: the labels of `cell_types` are taken
        for the truth, and the provenance says so; cells that are unknown there stay unknown.
    lattice
        ``hexagonal``: 55 µm spots, 100 µm apart, as Visium's; ``square``: 55 µm bins that touch.
    panel
        Share of the genes that is kept, drawn at random; of one seed, the genes of a smaller share are among those of
        a larger one.

    Raises
    ------
    InputError
        ``no_cells`` for spots; ``no_cell_types``; ``too_few_pseudo_spots``; ``too_few_genes``.
    """
    cells = read_anndata(filtered, FILTERED)
    about = cells.uns["tissuemake"]
    sample = str(about.get("sample", ""))
    if about.get("observation") not in ("cell", None):
        raise InputError(
            "no_cells",
            f"Sample '{sample}': its observations are {about['observation']}s, which are mixtures already.",
            "Pseudo-spots are made of single cells: Xenium, Visium HD with bin_um 'segmented', or an h5ad of cells.",
        )
    with measured("pseudo_spots", seed=seed, lattice=lattice, panel=panel) as record:
        known = _known(cells, truth, cell_types, sample, record)
        cells = cells[known.index]
        member, places = assign(_micrometres(cells, sample), lattice)
        if member.shape[0] < FEWEST_SPOTS:
            raise InputError(
                "too_few_pseudo_spots",
                f"Sample '{sample}': its {cells.n_obs} cells fill {member.shape[0]} pseudo-spots, fewer than "
                f"{FEWEST_SPOTS}.",
                "Take a larger section, or the lattice 'square', whose bins touch.",
            )
        genes = kept_genes(cells.n_vars, panel, seed, sample)
        spots = _spots(cells, member, places, genes, lattice)
        record |= {
            "spots": spots.n_obs,
            "genes": spots.n_vars,
            "cells_per_spot": float(member.sum() / spots.n_obs),
        }
        spots.uns["tissuemake"]["pseudo_spots"] = {key: record[key] for key in ("lattice", "panel", "truth")}
        composition = pd.DataFrame(member @ known.to_numpy(), index=spots.obs_names, columns=known.columns)
    write_anndata(spots, output, FILTERED)
    with atomic(truth_output) as partial:
        composition.to_csv(partial, sep="\t", index_label="barcode")


def assign(positions: np.ndarray, lattice: str) -> tuple[sp.csr_matrix, np.ndarray]:
    """Which cells lie under which spot: (spots, cells) of zeros and ones, and the spots' centres (spots, 2) in µm.

    Spots without a cell are left out. `positions` (cells, 2) are µm.
    """
    low, high = positions.min(axis=0), positions.max(axis=0)
    if lattice == "square":
        at = np.floor((positions - low) / DIAMETER_UM).astype(int)
        centres, spot = np.unique(at, axis=0, return_inverse=True)
        centres, inside = low + (centres + 0.5) * DIAMETER_UM, np.ones(len(positions), dtype=bool)
    elif lattice == "hexagonal":
        from scipy.spatial import cKDTree

        rows = np.arange(low[1], high[1] + PITCH_UM, PITCH_UM * np.sqrt(3) / 2)
        columns = np.arange(low[0], high[0] + PITCH_UM, PITCH_UM)
        grid = [(x + PITCH_UM / 2 * (row % 2), y) for row, y in enumerate(rows) for x in columns]
        distance, nearest = cKDTree(grid).query(positions)
        inside = distance <= DIAMETER_UM / 2
        used, spot = np.unique(nearest[inside], return_inverse=True)
        centres = np.asarray(grid)[used].reshape(-1, 2)
    else:
        raise InputError(
            "unknown_lattice", f"The lattice '{lattice}' is unknown.", f"Known: {', '.join(LATTICES)}."
        )
    places = (np.ravel(spot), np.flatnonzero(inside))
    member = sp.csr_matrix((np.ones(len(places[0])), places), shape=(len(centres), len(positions)))
    return member, centres


def kept_genes(n_genes: int, panel: float, seed: int, sample: str = "") -> np.ndarray:
    """Positions of the genes that are kept, sorted."""
    size = round(n_genes * panel)
    if size < FEWEST_GENES:
        raise InputError(
            "too_few_genes",
            f"Sample '{sample}': {panel:.0%} of its {n_genes} genes are {size}, fewer than {FEWEST_GENES}.",
            "Ask for larger shares in the key evaluation.panel_shares of the config.",
        )
    return np.sort(np.random.default_rng(seed).permutation(n_genes)[:size])


def _known(
    cells: ad.AnnData, truth: str, cell_types: str | Path | None, sample: str, record: dict
) -> pd.DataFrame:
    """Type of each cell as zeros and ones (cells, types), of the cells that have one."""
    if truth:
        record["truth"] = "sheet"
        return read_truth(truth, cells.obs_names)
    if cell_types is None:
        raise InputError(
            "no_cell_types",
            f"Sample '{sample}': nothing says of which type its cells are.",
            "Give a table of cell types in the column truth of the sheet, or let cells be labelled (key "
            "annotation.cells of the config and a reference).",
        )
    labels = read_table(cell_types, CELL_TYPES)["cell_type"].reindex(cells.obs_names)
    record["truth"] = "labels"
    log.info("Sample '%s' has no truth: its cells' labels stand for it.", sample)
    return pd.get_dummies(labels.dropna().astype(str)).astype(float)


def _micrometres(cells: ad.AnnData, sample: str) -> np.ndarray:
    scale = cells.uns["spatial"][sample]["scalefactors"]["microns_per_pixel"]
    return np.asarray(cells.obsm["spatial"], dtype=float) * float(scale)


def _spots(
    cells: ad.AnnData, member: sp.csr_matrix, places: np.ndarray, genes: np.ndarray, lattice: str
) -> ad.AnnData:
    counts = sp.csr_matrix(member @ sp.csr_matrix(cells.layers["counts"])[:, genes], dtype=np.float32)
    total = np.asarray(counts.sum(axis=1)).ravel()
    logged = sp.csr_matrix(sp.diags(1e4 / np.maximum(total, 1)) @ counts, dtype=np.float32)
    logged.data = np.log1p(logged.data)
    obs = pd.DataFrame(
        {
            "in_tissue": True,
            "total_counts": total,
            "n_genes_by_counts": np.diff(counts.indptr),
            "cells": np.asarray(member.sum(axis=1)).ravel().astype(int),
        },
        index=[f"pseudo-{i}" for i in range(len(places))],
    )
    spots = ad.AnnData(logged, obs=obs, var=cells.var[["gene_id"]].iloc[genes].copy())
    spots.layers["counts"] = counts
    spots.obsm["spatial"] = places
    about = dict(cells.uns["tissuemake"])
    sample = str(about.get("sample", ""))
    scales = {"microns_per_pixel": 1.0, "spot_diameter_fullres": DIAMETER_UM}
    spots.uns["spatial"] = {sample: {"images": {}, "scalefactors": scales, "metadata": {}}}
    pitch = PITCH_UM if lattice == "hexagonal" else DIAMETER_UM
    about |= {"observation": "spot", "lattice": lattice, "pitch_um": pitch, "spot_diameter_um": DIAMETER_UM}
    spots.uns["tissuemake"] = about
    spots.uns["dropped"] = pd.DataFrame(columns=["reason"])
    return spots
