"""Ground floor: gene names: unique symbols, Ensembl ids, and matching one gene list to another."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.gene_aliases import read_aliases

_ENSEMBL = re.compile(r"^ENS[A-Z]*G\d{11}(\.\d+)?$")


def strip_version(gene_id: str) -> str:
    """``ENSG00000139618.15`` becomes ``ENSG00000139618``; anything else stays."""
    return gene_id.split(".", 1)[0] if _ENSEMBL.match(gene_id) else gene_id


def is_ensembl(names: pd.Index | pd.Series) -> np.ndarray:
    """Boolean per name: whether it is an Ensembl gene id, with or without a version."""
    return pd.Series(names, dtype=str).str.match(_ENSEMBL).to_numpy(bool)


def guess_organism(names: pd.Index | pd.Series, gene_ids: pd.Index | pd.Series | None = None) -> str:
    """``"human"``, ``"mouse"`` or ``""``, from Ensembl prefixes or, failing that, the case of symbols."""
    ids = pd.Series(gene_ids if gene_ids is not None else names, dtype=str)
    if ids.str.startswith("ENSMUSG").mean() > 0.5:
        return "mouse"
    if ids.str.startswith("ENSG0").mean() > 0.5:
        return "human"
    symbols = pd.Series(names, dtype=str)
    symbols = symbols[symbols.str.fullmatch(r"[A-Za-z][A-Za-z0-9.-]*") & symbols.str.contains(r"[A-Za-z]{2}")]
    if len(symbols) < 5:
        return ""
    upper = (symbols == symbols.str.upper()).mean()
    title = symbols.str.match(r"[A-Z][a-z]").mean()
    if upper > 0.8:
        return "human"
    return "mouse" if title > 0.5 else ""


def tidy_genes(adata: ad.AnnData) -> ad.AnnData:
    """Return `adata` with one column per gene: unique symbols as names, ``var["gene_id"]`` without version.

    ``var_names`` may be symbols or Ensembl ids; ``var["gene_id"]`` and ``var["symbol"]`` are used when there.
    Columns of one Ensembl id are summed. Different Ensembl ids under one symbol are different genes: the
    later ones are called ``SYMBOL (ENSG…)``, or ``SYMBOL (no id)``. Columns of one symbol without ids are summed.

    Parameters
    ----------
    adata
        Counts in ``X`` (n_obs, n_features), sparse.
    """
    names = pd.Series(adata.var_names.astype(str))
    ids = adata.var["gene_id"].astype(str).to_numpy() if "gene_id" in adata.var else np.repeat("", len(names))
    ids = np.where(is_ensembl(names) & ~is_ensembl(pd.Series(ids)), names, ids)
    ids = np.array([strip_version(gene) if gene not in ("nan", "None") else "" for gene in ids], dtype=object)
    symbols = names.to_numpy(object)
    if "symbol" in adata.var:
        given = adata.var["symbol"].astype(str).to_numpy(object)
        symbols = np.where(np.isin(given, ["", "nan", "None"]), names, given)
    symbols = np.where(is_ensembl(pd.Series(symbols)), ids, symbols)
    key = np.where(is_ensembl(pd.Series(ids)), ids, symbols)
    codes, first = _codes_in_order(key)
    if len(first) < len(key):
        member = sp.csr_matrix((np.ones(len(key), dtype=np.float32), (np.arange(len(key)), codes)))
        counts = (sp.csr_matrix(adata.X) @ member).tocsr()
    else:
        counts = sp.csr_matrix(adata.X)
    var = adata.var.iloc[first].copy()
    var["gene_id"] = ids[first]
    var.index = _unique_symbols(symbols[first], ids[first])
    var = var.drop(columns=[column for column in ("symbol",) if column in var])
    counts.sort_indices()
    return ad.AnnData(counts, obs=adata.obs, var=var, obsm=dict(adata.obsm), uns=dict(adata.uns))


def _codes_in_order(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    codes, uniques = pd.factorize(key)
    first = np.full(len(uniques), len(key))
    np.minimum.at(first, codes, np.arange(len(key)))
    return codes, first


def _unique_symbols(symbols: np.ndarray, ids: np.ndarray) -> pd.Index:
    repeated = pd.Series(symbols).duplicated().to_numpy()
    named = [
        f"{symbol} ({gene or 'no id'})" if twice else symbol
        for symbol, gene, twice in zip(symbols, ids, repeated, strict=True)
    ]
    return pd.Index(named, dtype=str)


@dataclass(frozen=True)
class GeneMatch:
    """Positions of the shared genes in either list, and how many of each list were found.

    ``ways`` counts how they were found: ``id``, ``symbol``, ``case``, ``alias``, ``ortholog``.
    """

    left: np.ndarray
    right: np.ndarray
    left_rate: float
    right_rate: float
    ways: dict[str, int] = field(default_factory=dict)


def match_genes(left: pd.DataFrame, right: pd.DataFrame, aliases: str | Path | None = None) -> GeneMatch:
    """Match two ``var`` tables by Ensembl id, then symbol, then case, then former symbols; each gene once.

    Case and former symbols count within one organism only: ``Gapdh`` is not ``GAPDH``. What they find must be
    the only candidate on either side, and must not bear two different Ensembl ids.

    Parameters
    ----------
    left, right
        Indexed by symbol, with a column ``gene_id`` (may hold empty strings).
    aliases
        A person's table beside the built-in one, see `gene_aliases.read_aliases`.

    Returns
    -------
    GeneMatch
        ``left[i]`` and ``right[i]`` are positions of the same gene, in the order of `left`.
    """
    ids = [gene_ids(table) for table in (left, right)]
    symbols = [table.index.astype(str).to_numpy(object) for table in (left, right)]
    pairs, ways = {}, {}
    ways["id"] = pair_first(*ids, pairs)
    ways["symbol"] = pair_first(*symbols, pairs)
    organisms = {guess_organism(*names) for names in zip(symbols, ids, strict=True)} - {""}
    if len(organisms) <= 1:
        capitals = [pd.Series(names, dtype=str).str.upper() for names in symbols]
        ways["case"] = pair_single(*capitals, ids, pairs)
        current = read_aliases(aliases, *organisms)
        ways["alias"] = pair_single(*(to_current(names, current) for names in capitals), ids, pairs)
    return gene_match(pairs, ways, len(left), len(right))


def gene_ids(table: pd.DataFrame) -> np.ndarray:
    """Ensembl ids without version of a ``var`` table, from ``gene_id`` or the names; empty where there is none."""
    names = pd.Series(table.index.astype(str))
    given = pd.Series(
        table["gene_id"].astype(str).to_numpy() if "gene_id" in table else "", index=names.index
    )
    given = given.where(~given.isin(["nan", "None"]), "")
    ids = given.where((given != "") | ~is_ensembl(names), names)
    return ids.map(strip_version).to_numpy(object)


def to_current(capitals: pd.Series, aliases: dict[str, str]) -> pd.Series:
    """Symbols in capitals, former ones as what they are called now."""
    return capitals.map(lambda name: aliases.get(name, name))


def pair_first(left: np.ndarray, right: np.ndarray, pairs: dict[int, int]) -> int:
    """Add positions of equal, non-empty keys to `pairs`; returns how many. The first free one takes it."""
    there = {key: j for j, key in enumerate(right) if key}
    used = set(pairs.values())
    before = len(pairs)
    for i, key in enumerate(left):
        j = there.get(key)
        if i not in pairs and j is not None and j not in used:
            pairs[i] = j
            used.add(j)
    return len(pairs) - before


def pair_single(
    left: pd.Series,
    right: pd.Series,
    ids: list[np.ndarray],
    pairs: dict[int, int],
    same_organism: bool = True,
) -> int:
    """As `pair_first`, for keys that only one gene of either list has, and genes whose ids do not differ."""
    used = set(pairs.values())
    single = [~keys.duplicated(keep=False) for keys in (left, right)]
    there = {key: j for j, key in enumerate(right) if key and single[1][j] and j not in used}
    before = len(pairs)
    for i, key in enumerate(left):
        j = there.get(key) if i not in pairs and single[0][i] else None
        if j is None or (same_organism and ids[0][i] and ids[1][j] and ids[0][i] != ids[1][j]):
            continue
        pairs[i] = j
    return len(pairs) - before


def gene_match(pairs: dict[int, int], ways: dict[str, int], n_left: int, n_right: int) -> GeneMatch:
    """`pairs` as positions in the order of the left list, with the share of either list that was found."""
    order = np.array(sorted(pairs), dtype=int)
    return GeneMatch(
        left=order,
        right=np.array([pairs[i] for i in order], dtype=int),
        left_rate=len(order) / max(n_left, 1),
        right_rate=len(order) / max(n_right, 1),
        ways={way: found for way, found in ways.items() if found},
    )
