"""Ground floor: find a sample's genes in a model's vocabulary, also across mouse and human, or say why not."""

import logging
from pathlib import Path

import pandas as pd

from tissuemake.errors import InputError
from tissuemake.gene_aliases import read_aliases
from tissuemake.genes import (
    GeneMatch,
    gene_ids,
    gene_match,
    guess_organism,
    match_genes,
    pair_single,
    to_current,
)
from tissuemake.orthologs import read_orthologs

log = logging.getLogger(__name__)

# Symbols that mouse and human share by accident are fewer than 1 in 1,000; two panels of one tissue that were
# chosen apart still share a quarter of the shorter (STARmap and a cortex atlas: 132 of 500).
LOWEST_RATE = 0.05
FEWEST_GENES = 10
EXAMPLES = 5


def match_vocabulary(
    sample: pd.DataFrame,
    vocabulary: pd.DataFrame,
    *,
    sample_name: str = "the sample",
    model_name: str = "the model",
    sample_organism: str = "",
    model_organism: str = "",
    aliases: str | Path | None = None,
    orthologs: str | Path | None = None,
    lowest_rate: float = LOWEST_RATE,
) -> GeneMatch:
    """Positions of the shared genes in the sample and in the vocabulary, and how each was found.

    Within one organism as `genes.match_genes`: by Ensembl id, symbol, case, former symbol. Between mouse and
    human by the one-to-one pairs of `orthologs` alone.

    Parameters
    ----------
    sample, vocabulary
        Indexed by symbol (or Ensembl id), with a column ``gene_id`` (may hold empty strings).
    sample_organism, model_organism
        ``human``, ``mouse``, or empty: read off the genes.
    aliases, orthologs
        Tables of the config keys reference.aliases and reference.orthologs, or None.
    lowest_rate
        Share of the shorter list that must be found.

    Raises
    ------
    InputError
        ``low_gene_overlap``; ``orthologs_missing`` when the organisms differ and no table is given; those of
        `read_aliases` and `read_orthologs`.
    """
    here = sample_organism or guess_organism(sample.index, gene_ids(sample))
    there = model_organism or guess_organism(vocabulary.index, gene_ids(vocabulary))
    if here and there and here != there:
        if not orthologs:
            raise InputError(
                "orthologs_missing",
                f"{sample_name} is {here}, {model_name} is {there}, and there is no table of orthologs.",
                "Give a table with the columns human and mouse in the key reference.orthologs of the config, "
                f"or take a model for {here}.",
            )
        match = _by_orthologs(sample, vocabulary, here, there, aliases, orthologs)
    else:
        match = match_genes(sample, vocabulary, aliases)
    shorter = min(len(sample), len(vocabulary))
    rate = len(match.left) / max(shorter, 1)
    what = (
        f"{sample_name} ({len(sample)} genes{_of(here)}) and {model_name} ({len(vocabulary)} genes{_of(there)}) "
        f"share {len(match.left)} genes, {rate:.1%} of the shorter list"
    )
    log.info("%s: %s.", what, ", ".join(f"{count} by {way}" for way, count in match.ways.items()) or "none")
    if rate < lowest_rate or len(match.left) < min(FEWEST_GENES, shorter):
        raise InputError(
            "low_gene_overlap",
            f"{what}; unmatched are e.g. {_unmatched(sample, match.left)} of the one and "
            f"{_unmatched(vocabulary, match.right)} of the other.",
            "Check the organism of both and that genes are named by symbol or Ensembl id; former or private "
            "names go into a table alias, symbol (key reference.aliases of the config). Else take a model "
            "whose reference measured these genes.",
        )
    return match


def _by_orthologs(
    sample: pd.DataFrame,
    vocabulary: pd.DataFrame,
    here: str,
    there: str,
    aliases: str | Path | None,
    orthologs: str | Path,
) -> GeneMatch:
    """One-to-one pairs; either side, and the table itself, may still use former symbols."""
    current = {organism: read_aliases(aliases, organism) for organism in (here, there)}
    pairs = read_orthologs(orthologs, here, there)
    known = to_current(pd.Series(pairs.index.str.upper()), current[here])
    partner = to_current(pairs.str.upper(), current[there])
    single = ~known.duplicated(keep=False).to_numpy()
    partners = dict(zip(known[single], partner[single], strict=True))
    left = to_current(pd.Series(sample.index.astype(str)).str.upper(), current[here])
    right = to_current(pd.Series(vocabulary.index.astype(str)).str.upper(), current[there])
    found: dict[int, int] = {}
    carried = left.map(lambda name: partners.get(name, ""))
    ways = {"ortholog": pair_single(carried, right, [gene_ids(sample), gene_ids(vocabulary)], found, False)}
    return gene_match(found, ways, len(sample), len(vocabulary))


def _of(organism: str) -> str:
    return f", {organism}" if organism else ""


def _unmatched(table: pd.DataFrame, found) -> str:
    rest = table.index.delete(found)
    return ", ".join(f"'{name}'" for name in rest[:EXAMPLES]) or "none"
