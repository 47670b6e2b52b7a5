"""Do the genes belong to the organism that the sheet says, and does the reference share them?"""

from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.errors import InputError
from tissuemake.files import read_json
from tissuemake.genes import guess_organism, is_ensembl, match_genes, tidy_genes
from tissuemake.ingest.base import Reader
from tissuemake.ingest.counts import GENE_EXPRESSION
from tissuemake.orthologs import read_orthologs
from tissuemake.quality.reference_peek import peek_genes
from tissuemake.quality.verdict import Verdict
from tissuemake.sheets import Reference, Sample

FEW_SHARED, SMALL_SHARE = 50, 0.10
# Fewer symbols than this may be capitalised by somebody's taste.
CERTAIN = 50


def tidy_names(var: pd.DataFrame) -> pd.DataFrame:
    """`var` as ``tidy_genes`` would leave it, without touching counts."""
    empty = ad.AnnData(sp.csr_matrix((0, len(var)), dtype=np.float32), var=var)
    return tidy_genes(empty).var[["gene_id"]]


def gene_table(counts: ad.AnnData) -> pd.DataFrame:
    """The gene-expression features of a sample: index symbol, column gene_id."""
    return tidy_names(counts.var[counts.var["feature_type"] == GENE_EXPRESSION])


def check_organism(verdict: Verdict, reader: Reader, genes: pd.DataFrame) -> str:
    """Compare the sheet's organism with what the genes look like; returns the best guess."""
    row = reader.row
    guessed = guess_organism(genes.index, genes["gene_id"])
    verdict.facts["organism"] = row.organism or guessed
    examples = f"e.g. {', '.join(map(str, genes.index[:3]))}"
    if row.organism and guessed and row.organism != guessed:
        certain = len(genes) >= CERTAIN or is_ensembl(genes["gene_id"]).mean() > 0.5
        note = verdict.fail if certain else verdict.warn
        note(
            "wrong_organism",
            f"{reader.where(row.path)}: the sheet says {row.organism}, but the genes look like {guessed}, "
            f"{examples}.",
            "Correct the column organism, or the path, of this sample.",
        )
    if not guessed and not row.organism:
        verdict.warn(
            "unknown_organism",
            f"{reader.where(row.path)}: the genes do not tell the organism, {examples}.",
            "Fill the column organism.",
        )
    return row.organism or guessed


@dataclass(frozen=True)
class Carrying:
    """How a reference is prepared: with genes of `organism` (empty: its own), by the table `orthologs`.

    Genes are compared by former symbols too: those built in, and those of the table `aliases`.
    """

    organism: str = ""
    orthologs: Path | None = None
    aliases: Path | None = None

    def target(self, reference: Reference) -> str:
        """The organism whose genes the prepared reference has; without a table always its own."""
        return (self.organism if self.orthologs else "") or reference.organism


def check_reference_fits(
    verdict: Verdict,
    row: Sample,
    genes: pd.DataFrame,
    organism: str,
    reference: Reference,
    carrying: Carrying = Carrying(),
) -> None:
    """The reference is of the sample's organism, or carried over to it, and shares enough genes."""
    target = carrying.target(reference)
    if organism and organism != target:
        raise _organism_mismatch(row, organism, reference, target, carrying)
    atlas = tidy_names(peek_genes(reference))
    if target != reference.organism:
        atlas = _carried(atlas, reference, target, carrying.orthologs)
        verdict.facts["reference_carried_from"] = reference.organism
    match = match_genes(genes, atlas, carrying.aliases)
    shared, smaller = len(match.left), min(len(genes), len(atlas))
    verdict.facts["gene_overlap"] = shared
    verdict.facts["gene_overlap_share"] = round(shared / max(smaller, 1), 4)
    how = "" if target == reference.organism else f" with a one-to-one {target} ortholog"
    what = (
        f"Sample '{row.sample}' ({row.path}) shares {shared} of its {len(genes)} genes with reference "
        f"'{reference.reference}' ({reference.path}, {len(atlas)} genes{how})"
    )
    examples = f"e.g. {', '.join(genes.index[:3])} against {', '.join(atlas.index[:3]) or 'none'}"
    if not shared:
        raise InputError(
            "no_shared_gene",
            f"{what}; {examples}.",
            "Give a reference whose genes are named alike (symbols or Ensembl ids) and of the same organism.",
        )
    if shared < FEW_SHARED or shared < SMALL_SHARE * smaller:
        verdict.warn(
            "few_shared_genes",
            f"{what}: little to tell cell types apart.",
            "Prefer a reference with more of the panel's genes; read its proportions with care.",
        )


def _organism_mismatch(
    row: Sample, organism: str, reference: Reference, target: str, carrying: Carrying
) -> InputError:
    message = (
        f"Sample '{row.sample}' ({row.path}) is {organism}, but its reference "
        f"'{reference.reference}' ({reference.path}) is {reference.organism}"
    )
    if carrying.orthologs is None:
        remedy = (
            f"Choose a {organism} reference in the column reference, or correct the organism of either, or "
            f"name a table of orthologs in the key reference.orthologs of the config and write {organism} in "
            "the column organism."
        )
    else:
        message += (
            f" and is prepared with {target} genes, because not all samples that use it state {organism}"
        )
        remedy = (
            f"Write {organism} in the column organism of every sample that uses it; if some are {target}, add "
            f"a second row with the same path to references.tsv for the {organism} ones."
        )
    return InputError("organism_mismatch", f"{message}.", remedy)


def _carried(atlas: pd.DataFrame, reference: Reference, target: str, orthologs: Path) -> pd.DataFrame:
    """The genes of the atlas as its preparation will name them."""
    renamed = read_orthologs(orthologs, reference.organism, target)
    kept = renamed[renamed.index.isin(atlas.index)]
    if kept.empty:
        raise InputError(
            "no_orthologs",
            f"Reference '{reference.reference}' ({reference.path}): none of its {len(atlas)} genes (e.g. "
            f"{', '.join(atlas.index[:3])}) is a {reference.organism} symbol of {orthologs}.",
            "Give an atlas that holds gene symbols, or correct its organism or the key reference.orthologs.",
        )
    return pd.DataFrame({"gene_id": ""}, index=pd.Index(kept, dtype=str))


def check_reference_verdict(verdict: Verdict, row: Sample, reference: Reference, path: Path) -> None:
    """A sample cannot go on when its reference failed."""
    found = read_json(path)
    if found["status"] == "fail":
        worst = next(finding for finding in found["findings"] if finding["level"] == "fail")
        raise InputError(
            "reference_failed",
            f"Sample '{row.sample}': its reference '{reference.reference}' failed: {worst['message']}",
            f"{worst['remedy']} Or empty the column reference to go on without deconvolution.",
        )
