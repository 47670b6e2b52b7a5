"""Score gene sets in every spot from measured expression; scores are not to be library size in disguise."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.contracts import FILTERED, PATHWAY_SCALING, PATHWAYS, read_anndata, read_table, write_table
from tissuemake.errors import InputError
from tissuemake.genes import match_genes
from tissuemake.pathways.gene_sets import FEWEST, matched_sets, read_gene_sets
from tissuemake.pathways.library import attribution
from tissuemake.pathways.scaling import cohort_scaling
from tissuemake.pathways.values import DEPTHS, log_depth, value_blocks
from tissuemake.provenance import measured

log = logging.getLogger(__name__)

METHODS = ("zscore", "ulm", "aucell")
# Genes that hardly vary in the cohort say nothing, and their z-scores explode.
SMALLEST_SD = 1e-3
FEWEST_SPOTS = 10
# One panel, or one sample of another organism, must not end a run.
NOTHING_TO_SAY = ("no_gene_sets", "orthologs_missing")


def score_pathways(
    filtered: Path,
    gene_sets: Path,
    scaling: Path | None,
    output: Path,
    *,
    method: str = "zscore",
    depth: str = "residuals",
    orthologs: str | Path | None = None,
    aliases: str | Path | None = None,
    library: str = "",
) -> None:
    """Write the scores of every gene set in every spot (contract PATHWAYS).

    The provenance holds the correlation of each score with log library size (``depth_r``), how many genes of each
    set were measured (``genes``), the sets left out, and whose library it is. A section of which no set can be scored
    gets a table without columns; its ``reason`` says why.

    Parameters
    ----------
    filtered
        Section of the contract FILTERED.
    gene_sets
        GMT.
    scaling
        Table of `fit_scaling`; None scales by the section itself, which compares with no other.
    method, depth
        See `pathway_scores`.
    library
        What the library was called where `gene_sets` is a copy of it.

    Raises
    ------
    InputError
        ``unknown_method``; those of `read_gene_sets`.
    """
    adata = read_anndata(filtered, FILTERED)
    sets = read_gene_sets(gene_sets)
    table = read_table(scaling, PATHWAY_SCALING) if scaling else None
    with measured(method, depth=depth, fewest=FEWEST, **attribution(gene_sets, library)) as record:
        try:
            scores = pathway_scores(
                adata, sets, table, method=method, depth=depth, orthologs=orthologs, aliases=aliases
            )
        except InputError as error:
            if error.code not in NOTHING_TO_SAY:
                raise
            log.warning("%s", error)
            scores = pd.DataFrame(index=adata.obs_names)
            scores.attrs = {"reason": str(error), "depth_r": {}, "genes": {}, "left_out": list(sets)}
        record |= scores.attrs
        record["scaled_by"] = (
            table.attrs["tissuemake"]["samples"] if table is not None else "the section itself"
        )
    write_table(scores, output, PATHWAYS, record)


def pathway_scores(
    adata: ad.AnnData,
    sets: Mapping[str, Iterable[str]],
    scaling: pd.DataFrame | None = None,
    *,
    method: str = "zscore",
    depth: str = "residuals",
    orthologs: str | Path | None = None,
    aliases: str | Path | None = None,
) -> pd.DataFrame:
    """Scores (spots, sets) float32 of a filtered section.

    Parameters
    ----------
    method
        ``zscore``: mean over a set of the genes' z-scores in the cohort's statistics; ``ulm`` and ``aucell`` as
        decoupler has them, of those z-scores.
    depth
        ``residuals``: Pearson residuals about the cohort's mean. They are in units of what counting alone would
        scatter: divided by their SD as well, genes of mere noise would weigh as much as others. ``corrected``: then
        log library size and its square are also taken out of each score within the section, with all biology that
        follows them.
        ``published``: z-scores of log1p(CP10k).

    Returns
    -------
    pandas.DataFrame
        Index barcode, a column per set that has enough genes; ``attrs``: ``depth_r``, ``genes``, ``left_out``.

    Raises
    ------
    InputError
        ``unknown_method``; those of `matched_sets`.
    """
    _refuse_unknown("method", method, METHODS)
    _refuse_unknown("depth", depth, DEPTHS)
    scaling = cohort_scaling([adata]) if scaling is None else scaling
    kind = "published" if depth == "published" else "residuals"
    statistics = _of_section(adata, scaling, kind)
    useful = np.flatnonzero(statistics["sd"].to_numpy() > SMALLEST_SD)
    organism = str(adata.uns.get("tissuemake", {}).get("organism", ""))
    found = matched_sets(
        sets, adata.var.iloc[useful], organism=organism, orthologs=orthologs, aliases=aliases
    )
    scores = _SCORERS[method](
        _z_blocks(adata, statistics, kind, useful, found, method), found, adata.obs_names
    )
    if depth == "corrected":
        scores = without_depth(scores, log_depth(adata))
    scores = scores.astype(np.float32)
    scores.attrs = {
        "depth_r": depth_correlation(scores, log_depth(adata)),
        "genes": {name: len(genes) for name, genes in found.items()},
        "left_out": [name for name in sets if name not in found],
    }
    return scores


def without_depth(scores: pd.DataFrame, depth: np.ndarray) -> pd.DataFrame:
    """`scores` with log library size and its square regressed out within the section; means stay."""
    if len(scores) < FEWEST_SPOTS:
        return scores
    centred = depth - depth.mean()
    terms = np.column_stack([centred, centred**2 - (centred**2).mean()])
    values = scores.to_numpy(np.float64)
    weights, *_ = np.linalg.lstsq(terms, values - values.mean(axis=0), rcond=None)
    return pd.DataFrame(values - terms @ weights, index=scores.index, columns=scores.columns)


def depth_correlation(scores: pd.DataFrame, depth: np.ndarray) -> dict[str, float]:
    """Pearson correlation of each score with log library size over the spots; 0 where one does not vary."""
    values = scores.to_numpy(np.float64)
    centred, depth = values - values.mean(axis=0), depth - depth.mean()
    norms = np.sqrt((centred**2).sum(axis=0) * (depth**2).sum())
    r = np.divide(centred.T @ depth, norms, out=np.zeros_like(norms), where=norms > 1e-12)
    return {name: round(float(value), 4) for name, value in zip(scores.columns, r, strict=True)}


def _of_section(adata: ad.AnnData, scaling: pd.DataFrame, kind: str) -> pd.DataFrame:
    """``share``, ``mean``, ``sd`` for each gene of the section; zeros for those that the cohort never measured."""
    match = match_genes(adata.var, scaling)
    table = pd.DataFrame(0.0, index=adata.var_names, columns=["share", "mean", "sd"])
    rows = scaling.iloc[match.right]
    table.iloc[match.left] = rows[["share", f"{kind}_mean", f"{kind}_sd"]].to_numpy(np.float64)
    return table


def _z_blocks(adata, statistics, kind, useful, found, method):
    """Yield gene names, rows and z-scores: of the sets' genes, or of all where a method needs the background."""
    if method == "zscore":
        members = {gene for genes in found.values() for gene in genes}
        useful = useful[adata.var_names[useful].isin(members)]
    mean, sd = (statistics[name].to_numpy()[useful] for name in ("mean", "sd"))
    unit = sd if kind == "published" else 1.0
    for rows, values in value_blocks(adata, statistics["share"].to_numpy(), kind, useful):
        yield adata.var_names[useful], rows, (values - mean) / unit


def _mean_z(blocks, sets, barcodes) -> pd.DataFrame:
    """Decoupler's weighted mean with weights of 1 (``waggr``), as one product: its loop takes 50 times as long."""
    parts, member = [], None
    for genes, _, z in blocks:
        if member is None:
            member = np.column_stack([genes.isin(listed) / len(listed) for listed in sets.values()])
        parts.append(z @ member)
    return pd.DataFrame(np.concatenate(parts), index=barcodes, columns=list(sets))


def _by_decoupler(name: str):
    def scorer(blocks, sets, barcodes) -> pd.DataFrame:
        import decoupler

        net = pd.DataFrame(
            [(source, gene, 1.0) for source, genes in sets.items() for gene in genes],
            columns=["source", "target", "weight"],
        )
        parts = []
        for genes, rows, z in blocks:
            frame = pd.DataFrame(z, index=barcodes[rows], columns=genes)
            found = getattr(decoupler.mt, name)(frame, net, tmin=1, empty=False)
            parts.append(found[0] if isinstance(found, tuple) else found)
        return pd.concat(parts).reindex(index=barcodes, columns=list(sets))

    return scorer


_SCORERS = {"zscore": _mean_z, "ulm": _by_decoupler("ulm"), "aucell": _by_decoupler("aucell")}


def _refuse_unknown(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(
            "unknown_method",
            f"The pathway {key} '{value}' is unknown.",
            f"Choose among {', '.join(known)} in the config (pathways.{key}).",
        )
