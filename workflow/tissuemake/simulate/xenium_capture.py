"""Xenium: a targeted panel read molecule by molecule, with controls, and cells segmented around their nuclei."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.simulate import cell_types
from tissuemake.simulate.expression import calibrate, platform_efficiency, thin
from tissuemake.simulate.gene_catalogue import MITOCHONDRIAL, RIBOSOMAL, gene_catalogue
from tissuemake.simulate.outlines import Outlines, one_by_one, outline_cells, scatter
from tissuemake.simulate.tissue import Section, stream
from tissuemake.simulate.windows import Window, strip

PANEL_GENES = 250
MEAN_TRANSCRIPTS = 150
MIN_QV = 20.0  # the matrix counts transcripts from this quality value on
CONTROLS = {"Negative Control Probe": 20, "Negative Control Codeword": 20, "Unassigned Codeword": 30}
_CONTROL_PREFIX = {
    "Negative Control Probe": "NegControlProbe_",
    "Negative Control Codeword": "NegControlCodeword_",
    "Unassigned Codeword": "UnassignedCodeword_",
}
_CONTROL_RATE = 0.002  # per transcript and kind of control
_STRAY = 0.04
_NUCLEAR = 0.4


@dataclass(frozen=True)
class XeniumCapture:
    """What a Xenium run saw; positions in µm from the window's top left corner.

    Parameters
    ----------
    features
        id, name, feature_type, genome: the panel, then the controls.
    cells
        Index of the segmented cells among the section's cells.
    nuclei
        Their nuclei, as `staining.shape_nuclei` gives them, moved into the window.
    transcripts
        feature, cell (-1: none), x, y, z, qv, in_nucleus, nucleus_distance.
    counts
        (cells, features) transcripts of good quality.
    """

    window: Window
    features: pd.DataFrame
    cells: np.ndarray
    nuclei: pd.DataFrame
    outlines: Outlines
    transcripts: pd.DataFrame
    counts: sp.csr_matrix


def choose_panel(genes: pd.DataFrame, size: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of panel genes among `genes`: markers of every type, programme genes, and others to fill up."""
    role = gene_catalogue()["role"].reindex(genes.index).to_numpy()
    banned = np.isin(role, (MITOCHONDRIAL, RIBOSOMAL))
    rank = pd.Series(role).groupby(role).cumcount().to_numpy()
    first = (np.isin(role, cell_types.NAMES) & (rank < 14)) | ((role != "") & (rank < 8))
    chosen = np.flatnonzero(first & ~banned)[:size]
    rest = np.flatnonzero(~first & ~banned)
    return np.sort(np.concatenate([chosen, rng.permutation(rest)[: size - len(chosen)]]))


def capture_transcripts(
    section: Section,
    nuclei: pd.DataFrame,
    molecules: sp.csr_matrix,
    genes: pd.DataFrame,
    seed: int,
    gene_shift: float,
    mean_transcripts: float = MEAN_TRANSCRIPTS,
) -> XeniumCapture:
    """Read the panel's `molecules` (cells, genes) of the cells in a strip of the section."""
    window = strip(section, 0.5, 0.26, 10.0)
    rng = stream(seed, "xenium")
    panel = choose_panel(genes, min(PANEL_GENES, len(genes) // 2), rng)
    features = _features(genes.iloc[panel])
    cells = np.flatnonzero(window.holds(nuclei, -8.0))
    inside = nuclei.iloc[cells].reset_index(drop=True)
    inside = inside.assign(x=inside["x"] - window.left, y=inside["y"] - window.top)
    outlines = outline_cells(inside)
    part = molecules[cells][:, panel]
    efficiency = platform_efficiency(seed, "xenium", len(genes), gene_shift)[panel]
    totals = np.asarray(part.mean(axis=0)).ravel()
    caught = thin(part, calibrate(efficiency, totals, mean_transcripts), rng)
    transcripts = _place(caught, outlines, features, window, rng)
    good = transcripts[(transcripts["cell"] >= 0) & (transcripts["qv"] >= MIN_QV)]
    ones = np.ones(len(good), dtype=np.int32)
    counts = sp.coo_matrix((ones, (good["cell"], good["feature"])), shape=(len(cells), len(features)))
    return XeniumCapture(window, features, cells, inside, outlines, transcripts, counts.tocsr())


def _features(panel):
    rows = [
        pd.DataFrame(
            {"id": panel["gene_id"].to_numpy(), "name": panel.index, "feature_type": "Gene Expression"}
        )
    ]
    for kind, count in CONTROLS.items():
        names = [f"{_CONTROL_PREFIX[kind]}{number:05d}" for number in range(1, count + 1)]
        rows.append(pd.DataFrame({"id": names, "name": names, "feature_type": kind}))
    return pd.concat(rows, ignore_index=True).assign(genome="Unknown")


def _place(caught, outlines, features, window, rng):
    """Give every transcript and control a place and a quality, then find the cell it lies in."""
    cell, gene = one_by_one(caught.indptr, caught.indices, caught.data)
    place = scatter(outlines, cell, rng.random(len(cell)) < _NUCLEAR, rng)
    place += rng.normal(0, 0.4, place.shape)
    kinds = features["feature_type"].to_numpy()
    extra = [np.flatnonzero(kinds == kind) for kind in CONTROLS]
    noise = np.concatenate([rng.choice(ids, rng.poisson(_CONTROL_RATE * len(cell))) for ids in extra])
    # Controls light up near cells too: they take the place of a random transcript, a little off.
    beside = place[rng.integers(0, max(len(cell), 1), len(noise))] + rng.normal(0, 6, (len(noise), 2))
    gene, place = np.concatenate([gene, noise]), np.concatenate([place, beside])
    stray = rng.random(len(gene)) < _STRAY
    place[stray] += rng.normal(0, 25, (stray.sum(), 2))
    place = np.clip(place, 0.01, (window.width - 0.01, window.height - 0.01))
    qv = np.where(rng.random(len(gene)) < 0.9, rng.uniform(24, 40, len(gene)), rng.uniform(5, 24, len(gene)))
    owner, in_nucleus, distance = outlines.locate(place)
    order = np.lexsort((place[:, 0], place[:, 1] // 50))  # the instrument writes field by field
    table = {"feature": gene, "cell": owner, "x": place[:, 0], "y": place[:, 1]}
    table |= {
        "z": rng.normal(17, 3, len(gene)),
        "qv": qv,
        "in_nucleus": in_nucleus,
        "nucleus_distance": distance,
    }
    return pd.DataFrame({name: values[order] for name, values in table.items()})
