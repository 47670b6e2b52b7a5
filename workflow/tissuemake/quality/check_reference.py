"""Look at a single-cell atlas before anything heavy: raw counts, labels, organism. Writes, never raises."""

from pathlib import Path

import pandas as pd

from tissuemake.errors import InputError
from tissuemake.genes import guess_organism
from tissuemake.labels import is_named, label_text, refuse_reserved
from tissuemake.quality.fingerprint import fingerprint
from tissuemake.quality.gene_checks import tidy_names
from tissuemake.quality.receipts import check_receipts
from tissuemake.quality.reference_peek import Peek, peek, read_labels
from tissuemake.quality.verdict import Verdict
from tissuemake.sheets import Reference, nearest


def check_reference(row: Reference, output: Path, receipts: list[Path] = (), *, min_cells: int = 10) -> None:
    """Write the ``check.json`` of a reference.

    Parameters
    ----------
    row
        A row of ``references.tsv`` whose paths lie on this machine.
    output
        Where the verdict goes.
    receipts
        Of the row's fetched files.
    min_cells
        Types with fewer cells will be left out.
    """
    verdict = Verdict("reference", row.reference)
    with verdict.guard("receipts"):
        check_receipts(verdict, receipts)
    if not verdict.failed:
        with verdict.guard(row.path):
            _inspect(verdict, row, min_cells)
    verdict.write(Path(output))


def _inspect(verdict: Verdict, row: Reference, min_cells: int) -> None:
    seen = peek(row)
    verdict.facts |= {
        "n_observations": len(seen.obs),
        "n_genes": len(seen.genes),
        "counts_from": seen.counts_from,
        "fingerprint": fingerprint([Path(path) for path in (row.path, row.labels) if path]),
    }
    if not seen.counts_from:
        verdict.fail(
            "reference_without_counts",
            f"Reference '{row.reference}': {row.path} holds no raw counts; looked in {', '.join(seen.tried)} "
            "and found values that are negative or not whole.",
            "Give the atlas with raw counts in X, raw or a layer; normalised values cannot be used.",
        )
    with verdict.guard(row.path):
        _check_organism(verdict, row, seen)
    with verdict.guard(row.labels or row.path):
        _check_labels(verdict, row, _labelled(row, seen), min_cells)


def _check_organism(verdict: Verdict, row: Reference, seen: Peek) -> None:
    genes = tidy_names(seen.genes)
    guessed = guess_organism(genes.index, genes["gene_id"])
    verdict.facts["organism"] = row.organism
    if guessed and guessed != row.organism:
        verdict.fail(
            "wrong_organism",
            f"Reference '{row.reference}': the sheet says {row.organism}, but the genes of {row.path} look "
            f"like {guessed}, e.g. {', '.join(genes.index[:3])}.",
            "Correct the column organism, or the path, of this reference.",
        )


def _labelled(row: Reference, seen: Peek) -> pd.DataFrame:
    """The atlas's ``obs`` with the columns of the label table joined."""
    if not row.labels:
        return seen.obs
    table = read_labels(row)
    known = seen.obs.index.isin(table.index)
    if table.index.name in seen.obs:  # a table of types and their families, not of barcodes
        keys = seen.obs[table.index.name].astype(str)
    elif known.any():
        keys = pd.Series(seen.obs.index, index=seen.obs.index)
    else:
        raise InputError(
            "labels_do_not_match",
            f"Reference '{row.reference}': none of the {len(table)} rows of {row.labels} "
            f"(first: '{next(iter(table.index), '')}') belongs to {row.path} "
            f"(first: '{next(iter(seen.obs.index), '')}').",
            "Its first column must hold the atlas's barcodes.",
        )
    joined = table[~table.index.duplicated()].reindex(keys.to_numpy()).set_index(seen.obs.index)
    return seen.obs.drop(columns=joined.columns, errors="ignore").join(joined)


def _check_labels(verdict: Verdict, row: Reference, obs: pd.DataFrame, min_cells: int) -> None:
    levels = [level.strip() for level in row.label_key.split(">") if level.strip()]
    for column, name in [*(("label_key", level) for level in levels), ("donor_key", row.donor_key)]:
        if name and name not in obs:
            known = [str(key) for key in obs.columns]
            near = f"Did you mean '{nearest(name, known)}'? " if known else ""
            raise InputError(
                f"unknown_{column}",
                f"Reference '{row.reference}': {row.labels or row.path} has no column '{name}' ({column}).",
                f"{near}Known: {', '.join(known[:20]) or 'none'}.",
            )
    labels = obs[levels[-1]]
    cells = label_text(labels)[is_named(labels)].value_counts()
    refuse_reserved(cells.index, f"Reference '{row.reference}' ({row.labels or row.path})")
    verdict.facts["cells_per_type"] = {str(name): int(number) for name, number in cells.items()}
    verdict.facts["n_types"] = len(cells)
    if len(cells) < 2:
        raise InputError(
            "one_cell_type",
            f"Reference '{row.reference}': column '{levels[-1]}' of {row.labels or row.path} holds "
            f"{len(cells)} label{'' if len(cells) == 1 else 's'} ({', '.join(cells.index) or 'none'}).",
            "Choose a label_key with at least two cell types.",
        )
    rare = cells[cells < min_cells]
    few = (
        f"Reference '{row.reference}': {len(rare)} of {len(cells)} types in {row.labels or row.path} have fewer "
        f"than {min_cells} cells: {', '.join(f'{name} ({number})' for name, number in rare.items())}"
    )
    if len(cells) - len(rare) < 2:
        raise InputError(
            "one_cell_type",
            f"{few}; the {len(cells) - len(rare)} that stay make no composition.",
            "Use a coarser label_key or a larger atlas, or lower the key reference.min_cells of the config.",
        )
    if len(rare):
        verdict.warn(
            "rare_types",
            f"{few}.",
            "They are left out; merge them with a relative, use a coarser label_key, or lower the key "
            "reference.min_cells of the config.",
        )
