"""Which ligands and targets are asked about: pairs of liana or a person's table, and genes as often expressed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.delimited import read_columns
from tissuemake.domains.ligand_receptor import LEAST_EXPRESSED, SUBUNITS, measured_pairs
from tissuemake.errors import InputError

KEY = "perturbation.pairs"
COLUMNS = ("ligand", "receptor")
# Genes beside each gene of a pair that are as often expressed and in no pair.
CONTROLS = 2


@dataclass(frozen=True)
class Panel:
    """What is asked about.

    Attributes
    ----------
    pairs
        Columns ligand, receptor, target: names, a complex as ``A_B``.
    names
        All names in pairs, then the controls.
    members
        By name, positions of its genes in the vocabulary.
    """

    pairs: pd.DataFrame
    names: pd.Index
    members: tuple[np.ndarray, ...]

    @property
    def controls(self) -> np.ndarray:
        """bool per name: in no pair."""
        return ~self.names.isin(self.pairs[["ligand", "target"]].to_numpy().ravel())

    @property
    def genes(self) -> np.ndarray:
        """Positions in the vocabulary of all genes, each once."""
        return np.unique(np.concatenate(self.members))


def choose_panel(adata: ad.AnnData, genes: Sequence[str], table: Path | None, seen: np.ndarray) -> Panel:
    """Take the pairs that can be asked about, and controls for them.

    Parameters
    ----------
    genes
        The model's vocabulary.
    table
        A person's pairs: columns ``ligand``, ``receptor``, and ``target`` where the receptor is not what is read.
    seen
        (V,) share of the observations in which each gene of the vocabulary was counted.

    Raises
    ------
    InputError
        ``missing_pairs``, ``unreadable_pairs``, ``bad_pairs``; ``no_pairs`` when no pair can be asked about.
    """
    position = {gene: number for number, gene in enumerate(genes)}
    found = measured_pairs(adata) if table is None else read_pairs(table)
    if "target" not in found:
        found = found.assign(target=found["receptor"])
    often = {gene for gene, number in position.items() if seen[number] >= LEAST_EXPRESSED}
    known = [
        often.issuperset(ligand.split(SUBUNITS) + target.split(SUBUNITS)) and ligand != target
        for ligand, target in zip(found["ligand"], found["target"], strict=True)
    ]
    pairs = found.loc[known, ["ligand", "receptor", "target"]].drop_duplicates().reset_index(drop=True)
    if pairs.empty:
        raise _no_pairs(adata, found, table)
    names = pd.Index(pd.unique(pairs[["ligand", "target"]].to_numpy().ravel()))
    members = [np.array([position[gene] for gene in name.split(SUBUNITS)]) for name in names]
    controls = _controls(np.concatenate(members), seen)
    names = names.append(pd.Index([genes[number] for number in controls], dtype=names.dtype))
    return Panel(pairs, names, (*members, *controls[:, None]))


def read_pairs(path: Path) -> pd.DataFrame:
    """Read a person's table of pairs: names without blanks around them, no cell empty."""
    table = read_columns(path, COLUMNS, "ligand-receptor pairs", KEY)
    table = table[[name for name in (*COLUMNS, "target") if name in table]].apply(
        lambda cells: cells.str.strip()
    )
    for column in table:
        empty = np.flatnonzero(table[column] == "")
        if len(empty):
            raise InputError(
                "bad_pairs",
                f"The table of ligand-receptor pairs {path}: column '{column}' is empty in row {empty[0] + 2}.",
                "Write a gene symbol there (a complex as A_B), or remove the row.",
            )
    same = np.flatnonzero(table["ligand"] == table[table.columns[-1]])
    if len(same):
        raise InputError(
            "bad_pairs",
            f"The table of ligand-receptor pairs {path}: in row {same[0] + 2}, '{table['ligand'][same[0]]}' is its own "
            f"{table.columns[-1]}.",
            "Give a ligand and another gene, or remove the row.",
        )
    return table


def _no_pairs(adata, found, table):
    sample = adata.uns["tissuemake"].get("sample", "")
    whose = f"the table {table}" if table else "liana's consensus resource"
    first = f", such as '{found['ligand'].iloc[0]}' and '{found['target'].iloc[0]}'," if len(found) else ""
    return InputError(
        "no_pairs",
        f"Sample {sample}: of the {len(found)} pairs of {whose}{first} none has both genes in the model's vocabulary "
        f"and in {LEAST_EXPRESSED:.0%} of the observations.",
        f"Give gene symbols of this sample's organism in the columns ligand and receptor of {KEY}, or a model whose "
        "vocabulary holds them.",
    )


def _controls(taken: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Positions of the free genes nearest in expression to each taken one; at most half of all expressed genes."""
    free = np.setdiff1d(np.flatnonzero(seen >= LEAST_EXPRESSED), taken)
    most = len(free) // 2
    chosen: list[int] = []
    for number in np.repeat(np.unique(taken), CONTROLS)[:most]:
        nearest = np.argmin(np.abs(seen[free] - seen[number]))
        chosen.append(int(free[nearest]))
        free = np.delete(free, nearest)
    return np.array(chosen, dtype=int)
