"""Libraries of gene sets: read a GMT, and find its genes among those of a section, also across mouse and human."""

import io
import logging
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from tissuemake import sources
from tissuemake.errors import InputError
from tissuemake.genes import gene_ids, guess_organism, match_genes
from tissuemake.orthologs import read_orthologs
from tissuemake.packed import open_table

log = logging.getLogger(__name__)

KEY = "pathways.gene_sets"
FEWEST = 5


def read_gene_sets(path: str | Path) -> dict[str, list[str]]:
    """Read a GMT: per line a name, a description, and the genes, separated by tabs; gzipped or not.

    Returns
    -------
    dict
        Name → genes, each once, in the order of the file.

    Raises
    ------
    InputError
        ``missing_gene_sets``, ``unreadable_gene_sets``, ``bad_gene_sets`` (with the line), naming the config's key.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            "missing_gene_sets",
            f"The library of gene sets '{path}' does not exist.",
            f"{sources.unset_variables(path)}Correct the key {KEY} of the config; relative paths start at the run "
            "folder.",
        )
    try:
        with io.TextIOWrapper(open_table(path), encoding="utf-8-sig") as handle:
            lines = handle.read().splitlines()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(
            "unreadable_gene_sets",
            f"The library of gene sets {path} cannot be read ({error}).",
            f"Give a GMT (text, may be gzipped) in {KEY} of the config.",
        ) from error
    found: dict[str, list[str]] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            name, genes = _parse(line, f"{path}, line {number}")
            if name in found:
                raise _bad(f"{path}, line {number}: the set '{name}' stands there twice", "Give it once.")
            found[name] = genes
    if not found:
        raise _bad(f"{path} holds no gene sets", "Give a GMT with a set per line.")
    return found


def _parse(line: str, where: str) -> tuple[str, list[str]]:
    """Name and genes; a weight after a comma (Enrichr's ``TP53,1.0``) is left away."""
    name, *rest = (cell.strip() for cell in line.split("\t"))
    genes = list(dict.fromkeys(cell.split(",", 1)[0].strip() for cell in rest[1:] if cell))
    if not name or not genes:
        raise _bad(
            f"{where}: '{line[:60]}' has no name or no genes",
            "A line of a GMT is: name, description, gene, gene, … separated by tabs.",
        )
    return name, genes


def _bad(what: str, remedy: str) -> InputError:
    return InputError("bad_gene_sets", f"The library of gene sets {what}.", f"{remedy} It is the key {KEY}.")


def matched_sets(
    sets: Mapping[str, Iterable[str]],
    genes: pd.DataFrame | pd.Index,
    *,
    organism: str = "",
    fewest: int = FEWEST,
    orthologs: str | Path | None = None,
    aliases: str | Path | None = None,
) -> dict[str, list[str]]:
    """The sets in the names of `genes`, without those of which fewer than `fewest` genes are there.

    Genes are matched as everywhere (`genes.match_genes`): by Ensembl id, symbol, case, former symbol; between
    mouse and human by the one-to-one pairs of `orthologs` alone.

    Parameters
    ----------
    genes
        A ``var`` table indexed by symbol with a column ``gene_id``, or its index alone.
    organism
        ``human``, ``mouse``, or empty: read off the genes.

    Raises
    ------
    InputError
        ``orthologs_missing``; ``no_gene_sets`` when no set is left; those of `read_aliases` and `read_orthologs`.
    """
    table = genes if isinstance(genes, pd.DataFrame) else pd.DataFrame(index=pd.Index(genes))
    members = pd.Index(dict.fromkeys(gene for listed in sets.values() for gene in listed))
    here = organism or guess_organism(table.index, gene_ids(table))
    there = guess_organism(members, None)
    named = _carried(members, there, here, orthologs) if here and there and here != there else members
    # Several genes of one organism can be one of the other: each name once, for `match_genes` pairs one to one.
    known = pd.Index(dict.fromkeys(name for name in named if name))
    match = match_genes(pd.DataFrame(index=known), table, aliases)
    place = dict(zip(known[match.left], table.index[match.right].astype(str), strict=True))
    to_here = {gene: place[name] for gene, name in zip(members, named, strict=True) if name in place}
    found = {
        name: sorted({to_here[gene] for gene in listed if gene in to_here}) for name, listed in sets.items()
    }
    kept = {name: listed for name, listed in found.items() if len(listed) >= fewest}
    _tell(found, kept, fewest, len(members), len(to_here))
    return kept


def _carried(members: pd.Index, there: str, here: str, orthologs: str | Path | None) -> np.ndarray:
    """Members of sets under the names of the other organism; empty where there is no single ortholog."""
    if not orthologs:
        raise InputError(
            "orthologs_missing",
            f"The gene sets are {there} (first gene: '{members[0]}'), the section is {here}, and there is no table "
            "of orthologs.",
            f"Give a table with the columns human and mouse in the key reference.orthologs of the config, or {here} "
            f"gene sets in {KEY}.",
        )
    return read_orthologs(orthologs, there, here).reindex(members).fillna("").to_numpy(object)


def _tell(found: dict, kept: dict, fewest: int, members: int, matched: int) -> None:
    small = [f"{name} ({len(listed)})" for name, listed in found.items() if name not in kept]
    log.info("%d of %d genes of %d sets are measured.", matched, members, len(found))
    if not kept:
        raise InputError(
            "no_gene_sets",
            f"None of the {len(found)} gene sets has {fewest} genes that the section measured ({matched} of {members} "
            f"genes were found): {', '.join(small[:5])}{', …' if len(small) > 5 else ''}.",
            f"Check that {KEY} names genes by symbol and is of the section's organism; a small panel needs sets of "
            "its own.",
        )
    if small:
        log.warning("Left out, with fewer than %d measured genes: %s.", fewest, ", ".join(small))
