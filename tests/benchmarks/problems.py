"""What a deconvolution is asked: spots, an atlas, and the composition that is known; the real data sets.

Spots and atlases come through the workflow's own ingest, filter and reference preparation, so that the
benchmark scores what a user gets. Prepared files are kept in a folder and made once.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from benchmarks.fingerprint import of_cells
from real.prepare import prepare
from tissuemake.contracts import (
    FILTERED,
    INGESTED,
    MARKERS,
    REFERENCE,
    SIGNATURES,
    known_shares,
    read_anndata,
    read_table,
)
from tissuemake.evaluation.metrics import pearson_by_type
from tissuemake.evaluation.tables import match_types, read_truth
from tissuemake.files import atomic, remove
from tissuemake.ingest import ingest_sample
from tissuemake.quality.filter import filter_spots
from tissuemake.reference.atlas import prepare_reference
from tissuemake.sheets import Reference, Sample

STARMAP = ("starmap-section2", "starmap-section2-all-bins", "starmap-cortex")
# Section 2 has types of 5 to 8 cells that section 1 is scored on; tests/real does the same.
SECTION2_CELLS = 5
HER2ST = ("her2st-A1", "her2st-C2", "her2st-D1")


@dataclass(frozen=True)
class Atlas:
    """A prepared atlas: the three files that a method may read, and a name that tells it from all others."""

    name: str
    folder: Path

    @property
    def files(self) -> dict[str, Path]:
        """Paths by what they hold: ``reference``, ``signatures``, ``markers``."""
        names = {
            "reference": "reference.h5ad",
            "signatures": "signatures.parquet",
            "markers": "markers.parquet",
        }
        return {what: self.folder / name for what, name in names.items()}

    @cached_property
    def cells(self) -> ad.AnnData:
        """Contract REFERENCE: raw counts in ``X``, obs ``cell_type`` and ``donor``, var ``median_nonzero``."""
        return read_anndata(self.files["reference"], REFERENCE)

    @cached_property
    def key(self) -> str:
        """Short hash of counts, labels and donors: what was trained on it is kept under this."""
        return of_cells(self.cells)

    @cached_property
    def signatures(self) -> pd.DataFrame:
        """Mean CP10k (genes, types)."""
        return read_table(self.files["signatures"], SIGNATURES)

    @cached_property
    def markers(self) -> pd.DataFrame:
        """Genes that tell the types apart, best first."""
        return read_table(self.files["markers"], MARKERS)


@dataclass(frozen=True)
class Problem:
    """One question with its answer.

    Parameters
    ----------
    spots
        Raw counts in ``X`` and, the same matrix, in ``layers["counts"]``; var ``gene_id``.
    atlas
        What the methods may learn from.
    truth
        (spots, types) shares, rows sum to 1; types that the atlas lacks are columns too. Only spots with a
        known composition are rows.
    kind
        ``"truth"``: counted cells. ``"estimate"``: another method's published answer.
    """

    name: str
    spots: ad.AnnData
    atlas: Atlas
    truth: pd.DataFrame
    kind: str = "truth"

    @property
    def reference(self) -> ad.AnnData:
        """The atlas's cells."""
        return self.atlas.cells

    @property
    def absent(self) -> list[str]:
        """Types of the truth that the atlas has no cells of."""
        return [name for name in self.truth if name not in self.atlas.signatures]

    def correlations(self, answer: pd.DataFrame) -> pd.Series:
        """Correlation across spots by type of the truth that varies; a type that `answer` lacks counts as 0."""
        return pearson_by_type(known_shares(answer).loc[self.truth.index], self.truth)

    def with_atlas(self, atlas: Atlas) -> "Problem":
        """The same question with another atlas."""
        return replace(self, atlas=atlas)

    def measuring(self, genes: np.ndarray, name: str) -> "Problem":
        """The same spots, of which only `genes` (positions) were measured."""
        return replace(self, name=name, spots=self.spots[:, genes].copy())


def counted(counts, obs_names: pd.Index, var: pd.DataFrame, uns: dict | None = None) -> ad.AnnData:
    """Spots as `Problem` has them, from a CSR matrix (spots, genes)."""
    spots = ad.AnnData(counts, obs=pd.DataFrame(index=obs_names), var=var[["gene_id"]].copy())
    spots.layers["counts"] = spots.X
    spots.uns["tissuemake"] = dict(uns or {})
    return spots


def prepared_atlas(row: Reference, folder: Path, min_cells: int = 10) -> Atlas:
    """Prepare the atlas of `row` into `folder`, once."""
    atlas = Atlas(row.reference, folder / row.reference)
    if not atlas.folder.is_dir():
        with atomic(atlas.folder) as partial:
            partial.mkdir()
            paths = [partial / path.name for path in atlas.files.values()]
            prepare_reference(row, *paths, min_cells=min_cells)
    return atlas


def starmap(name: str, data: Path, work: Path) -> Problem:
    """STARmap section 1, binned, with the cells of another section or of the motor cortex atlas.

    ``-all-bins``: without the quality filter, as the published results have it.
    """
    derived = derive(data, work)
    if name == "starmap-cortex":
        row = Reference("motor-cortex", str(derived / "motor_cortex.h5ad"), "coarse", "mouse")
        truth = derived / "starmap_truth_motor_cortex.tsv"
    else:
        cells = data / "deconv_truth" / "starmap_section2_left_cells" / "reference_cells.h5ad"
        row = Reference("starmap-section2", str(cells), "cell_type", "mouse")
        truth = derived / "starmap_truth_section2.tsv"
    sample = Sample(
        "starmap",
        "h5ad",
        str(derived / "starmap_section1.h5ad"),
        mpp=0.0687,
        organism="mouse",
        donor="starmap-1",
    )
    atlas = prepared_atlas(row, work / "references", SECTION2_CELLS)
    return _problem(name, sample, atlas, truth, "truth", work, keep_all=name.endswith("all-bins"))


def her2st(name: str, data: Path, work: Path) -> Problem:
    """A HER2+ section with a triple-negative atlas; what is known are stereoscope's published estimates."""
    section = name.removeprefix("her2st-")
    folder = data / "st_her2"
    row = Reference("breast-tnbc", str(derive(data, work) / "breast_tnbc.h5ad"), "major", "human")
    sample = Sample(
        section,
        "st",
        str(folder / "counts" / f"{section}.tsv.gz"),
        spots=str(folder / "spots" / f"{section}_selection.tsv"),
        organism="human",
        donor=f"her2-{section[0]}",
    )
    truth = folder / "stereoscope_proportions" / "major" / f"{section}-proportion.tsv"
    return _problem(name, sample, prepared_atlas(row, work / "references"), truth, "estimate", work)


def derive(data: Path, work: Path) -> Path:
    """Tables and atlases rewritten so that they join (tests/real/prepare.py), in a folder, once."""
    run = work / "real"
    if not run.is_dir():
        with atomic(run) as partial:
            prepare(data, partial)
    return run / "derived"


def _problem(
    name: str, row: Sample, atlas: Atlas, truth: Path, kind: str, work: Path, keep_all: bool = False
) -> Problem:
    counts = work / "spots" / f"{row.sample}{'-all' if keep_all else ''}.h5ad"
    if not counts.is_file():
        ingested = counts.with_suffix(".ingested.h5ad")
        ingest_sample(row, ingested)
        if keep_all:
            ingested.replace(counts)
        else:
            filter_spots(ingested, counts)
            remove(ingested)
    spots = read_anndata(counts, INGESTED if keep_all else FILTERED)
    matrix = spots.X if keep_all else spots.layers["counts"]
    spots = counted(matrix, spots.obs_names, spots.var, spots.uns["tissuemake"])
    known = match_types(read_truth(truth, spots.obs_names), list(atlas.signatures))
    return Problem(name, spots, atlas, known, kind)
