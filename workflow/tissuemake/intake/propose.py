"""What the genes of a sample tell: organism, tissue, and which reference of the run is most like it."""

from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.contracts import SIGNATURES, read_table
from tissuemake.errors import InputError
from tissuemake.genes import guess_organism, match_genes, tidy_genes
from tissuemake.ingest.base import Reader
from tissuemake.ingest.counts import GENE_EXPRESSION
from tissuemake.intake.tissues import Guess, guess_tissue
from tissuemake.quality.reference_peek import peek
from tissuemake.sheets import Reference

FEW_SHARED = 50
# Correlations of mean profiles. Those of unlike tissues reach 0.65 where all genes are measured, those of one
# tissue on two platforms fall to 0.3 where a panel is: so the tissues must agree, or the profiles be much alike.
SAME_TISSUE, ALIKE, LEAD = 0.25, 0.8, 0.02
ATLAS_BLOCKS, BLOCK_CELLS = 20, 100


@dataclass(frozen=True)
class Profile:
    """A reference's genes (index symbol, column gene_id) and the log of their mean expression."""

    genes: pd.DataFrame
    mean: np.ndarray

    def tissue(self) -> Guess:
        """The tissue that the genes tell of."""
        return guess_tissue(pd.Series(self.mean, index=self.genes.index))


@dataclass(frozen=True)
class Proposal:
    """Guesses for the cells of a row, for a person to look over."""

    organism: Guess
    tissue: Guess
    reference: Guess

    def as_dict(self) -> dict[str, dict]:
        """Each guess with how sure it is and why."""
        return {name: vars(getattr(self, name)) for name in ("organism", "tissue", "reference")}


def propose(
    reader: Reader, counts: ad.AnnData, references: dict[str, Reference], profiles: "Profiles"
) -> Proposal:
    """Guess organism, tissue and reference of a sample from all its features `counts`."""
    is_gene = np.flatnonzero(counts.var["feature_type"] == GENE_EXPRESSION)
    totals = np.asarray(counts.X.sum(axis=0, dtype=np.float64)).ravel()[is_gene]
    sample = _profile(totals, counts.var.iloc[is_gene][["gene_id"]])
    organism = _organism(reader, sample.genes)
    tissue = sample.tissue()
    same = {
        name: row for name, row in references.items() if organism.value and row.organism == organism.value
    }
    return Proposal(organism, tissue, _choose(sample, tissue, same, profiles))


def _organism(reader: Reader, genes: pd.DataFrame) -> Guess:
    if reader.organism_stated in ("human", "mouse"):
        return Guess(reader.organism_stated, "sure", "the vendor's file says so")
    found = guess_organism(genes.index, genes["gene_id"])
    if not found:
        return Guess(why=f"the genes do not tell, e.g. {', '.join(map(str, genes.index[:3]))}")
    by_id = guess_organism(genes["gene_id"], genes["gene_id"]) == found
    sure = "sure" if by_id or len(genes) >= FEW_SHARED else "likely"
    return Guess(found, sure, "Ensembl ids" if by_id else f"how {len(genes)} symbols are capitalised")


class Profiles:
    """Mean profiles of the run's references, read when they are asked for, once."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.read: dict[str, Profile | str] = {}

    def get(self, row: Reference) -> Profile | str:
        """The profile, or why there is none."""
        if row.reference not in self.read:
            try:
                self.read[row.reference] = self._of(row)
            except (InputError, OSError, ValueError, KeyError) as error:
                self.read[row.reference] = getattr(error, "message", str(error))
        return self.read[row.reference]

    def _of(self, row: Reference) -> Profile | str:
        prepared = self.run / "results" / "references" / row.reference / "signatures.parquet"
        if prepared.is_file():
            signatures = read_table(prepared, SIGNATURES)
            genes = pd.DataFrame({"gene_id": ""}, index=signatures.index.astype(str))
            return Profile(genes, np.log1p(signatures.to_numpy(float).mean(axis=1)))
        located = row.located(str(self.run / "results"))
        path = Path(located.path)
        path = path if path.is_absolute() else self.run / path
        if not path.exists():
            return f"{path} is not here yet"
        if path.suffix != ".h5ad":
            return f"{path} is looked at once it was prepared"
        return _atlas_profile(Reference(**{**located.as_dict(), "path": str(path)}))


def _atlas_profile(row: Reference) -> Profile | str:
    """From at most 2,000 cells in 20 blocks: an atlas may be larger than memory."""
    from anndata.io import sparse_dataset

    found = peek(row)
    if not found.counts_from:
        return f"{row.path} holds no raw counts"
    with h5py.File(row.path) as handle:
        stored = handle[found.counts_from]
        matrix = stored if isinstance(stored, h5py.Dataset) else sparse_dataset(stored)
        if not isinstance(stored, h5py.Dataset) and matrix.format == "csc":
            return f"{row.path} stores genes first; it is looked at once it was prepared"
        starts = np.unique(np.linspace(0, max(matrix.shape[0] - BLOCK_CELLS, 0), ATLAS_BLOCKS).astype(int))
        cells = sp.vstack([sp.csr_matrix(matrix[start : start + BLOCK_CELLS]) for start in starts])
    return _profile(cells.sum(axis=0), found.genes)


def _profile(totals: np.ndarray, var: pd.DataFrame) -> Profile:
    """Log of counts per 10,000, one entry per gene as `tidy_genes` tells genes apart."""
    one = ad.AnnData(sp.csr_matrix(np.asarray(totals, dtype=np.float32).reshape(1, -1)), var=var)
    tidy = tidy_genes(one)
    values = tidy.X.toarray().ravel().astype(np.float64)
    return Profile(tidy.var[["gene_id"]], np.log1p(1e4 * values / max(values.sum(), 1)))


def _choose(sample: Profile, tissue: Guess, references: dict[str, Reference], profiles: Profiles) -> Guess:
    """The reference of the sample's organism that is of its tissue, or all but its equal."""
    scores, without = {}, []
    for name, row in references.items():
        profile = profiles.get(row)
        if isinstance(profile, str):
            without.append(f"{name}: {profile}")
            continue
        match = match_genes(sample.genes, profile.genes)
        if len(match.left) < FEW_SHARED:
            without.append(f"{name} shares {len(match.left)} genes")
            continue
        score = correlation(sample.mean[match.left], profile.mean[match.right])
        scores[name] = (score, len(match.left), profile.tissue().value)
    if not scores:
        return Guess(why="; ".join(without) or "no reference of its organism")
    told = [name for name, (_, _, other) in scores.items() if tissue.value and other == tissue.value]
    open_ = [name for name, (_, _, other) in scores.items() if not (tissue.value and other)]
    best = max(told or open_ or scores, key=lambda name: scores[name][0])
    score, shared, other = scores[best]
    why = f"its mean profile correlates by {score:.2f} over {shared} genes"
    if told and score >= SAME_TISSUE:
        rivals = [scores[name][0] for name in told if name != best]
        sure = tissue.sure == "sure" and score - max(rivals, default=0.0) >= LEAD
        return Guess(best, "sure" if sure else "likely", f"{best} looks like {other} too; {why}")
    if not told and best in open_ and score >= ALIKE:
        return Guess(best, "likely", why)
    return Guess(why=f"the nearest is {best}{f' ({other})' if other else ''}: {why}")


def correlation(left: np.ndarray, right: np.ndarray) -> float:
    """Spearman's correlation of two mean profiles over genes that either has; 0 where one is constant."""
    seen = (left > 0) | (right > 0)
    if seen.sum() < 3 or np.ptp(left[seen]) == 0 or np.ptp(right[seen]) == 0:
        return 0.0
    ranks = [pd.Series(values[seen]).rank().to_numpy() for values in (left, right)]
    return float(np.corrcoef(*ranks)[0, 1])
