"""Label the cells of a sample: files in, one table out."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.cell_types import confidence, transfer
from tissuemake.cell_types.ontology import find_term
from tissuemake.contracts import (
    CELL_TYPES,
    FILTERED,
    PROPORTIONS,
    REFERENCE,
    UNKNOWN,
    read_anndata,
    read_table,
    type_columns,
    write_table,
)
from tissuemake.errors import InputError
from tissuemake.gene_matching import match_vocabulary
from tissuemake.hierarchy import hierarchy_of
from tissuemake.provenance import measured

log = logging.getLogger(__name__)

TRANSFER = "transfer"
# A label that is less likely right than wrong is none.
SURE = 0.5
# With fewer molecules of genes that the atlas knows, a cell says nothing.
FEWEST_MOLECULES = 5


def label_cells(
    filtered: str | Path,
    output: str | Path,
    *,
    methods: Sequence[str] = (TRANSFER,),
    reference: str | Path | None = None,
    proportions: Mapping[str, str | Path] | None = None,
    sure: float = SURE,
    aliases: str | Path | None = None,
    seed: int = 0,
) -> None:
    """Give every cell or bin one type, or ``unknown``, and write the table.

    Columns ``cell_type``, ``confidence``, ``method``, ``cell_ontology_id``, ``cell_ontology_name`` are those of the
    first method that can be asked; of each there are ``cell_type_METHOD``, ``confidence_METHOD`` and ``guess_METHOD``,
    the label before any doubt, besides.

    Parameters
    ----------
    filtered, reference
        Files of the contracts FILTERED and REFERENCE; a sample without a reference has only `proportions`.
    methods
        ``transfer``, or the name of a deconvolution, whose largest share is taken: its confidence is that share.
    proportions
        Method → file of the contract PROPORTIONS.
    sure
        Labels of less confidence are ``unknown``.
    aliases
        A person's table of former gene symbols.

    Raises
    ------
    InputError
        ``no_cell_types`` when no method can be asked; ``low_gene_overlap`` and others of `match_vocabulary`.
    """
    spots = read_anndata(filtered, FILTERED)
    sample = str(spots.uns["tissuemake"].get("sample", ""))
    asked = [name for name in methods if name in (proportions or {}) or (name == TRANSFER and reference)]
    if not asked:
        raise InputError(
            "no_cell_types",
            f"Sample '{sample}': no method of {', '.join(methods) or 'none'} has what it labels cells by.",
            "Name a reference in the sheet, or ask for a method in the key annotation.cells of the config.",
        )
    with measured("cell_types", seed=seed, n_cells=spots.n_obs, sure=sure) as record:
        found = {}
        for method in asked:
            if method == TRANSFER:
                atlas = read_anndata(reference, REFERENCE)
                found[method] = transferred(spots, atlas, record, aliases=aliases, seed=seed)
            else:
                found[method] = largest_share(read_table(proportions[method], PROPORTIONS), record)
        table = assembled({name: doubted(own, sure) for name, own in found.items()}, spots.obs_names)
        record["methods"] = asked
        record["unknown"] = {name: float((table[f"cell_type_{name}"] == UNKNOWN).mean()) for name in asked}
    write_table(table, output, CELL_TYPES, record)


def transferred(
    spots: ad.AnnData, atlas: ad.AnnData, record: dict, *, aliases: str | Path | None = None, seed: int = 0
) -> pd.DataFrame:
    """Most likely type of each cell by the atlas's profiles: ``cell_type``, ``confidence``.

    A cell with fewer than `FEWEST_MOLECULES` of the shared genes has confidence 0.
    """
    about, made = spots.uns["tissuemake"], atlas.uns["tissuemake"]
    match = match_vocabulary(
        spots.var,
        atlas.var,
        sample_name=f"Sample '{about.get('sample', '')}'",
        model_name=f"the reference '{made.get('reference', '')}'",
        sample_organism=str(made.get("organism", "")),
        model_organism=str(made.get("organism", "")),
        aliases=aliases,
    )
    counts = sp.csr_matrix(spots.layers["counts"])[:, match.left].astype(np.float64)
    known = sp.csr_matrix(atlas.X)[:, match.right].astype(np.float64)
    types = atlas.obs["cell_type"].astype(str).to_numpy()
    names = np.unique(types)
    depth = transfer.molecules(counts)
    told = depth >= FEWEST_MOLECULES
    record |= {"shared_genes": len(match.left), "types": list(names), "hierarchy": hierarchy_of(atlas.uns)}
    record["cells_with_few_molecules"] = int((~told).sum())
    labels = pd.DataFrame({"cell_type": UNKNOWN, "confidence": 0.0}, index=spots.obs_names)
    if told.any():
        found = transfer.fit(counts[told], transfer.profiles_of(known, types, names))
        record["unevenness"] = found.unevenness
        judge = confidence.learn(known, types, depth[told], found.unevenness, seed)
        labels.loc[told, "cell_type"] = names[found.best]
        labels.loc[told, "confidence"] = judge.of(found, counts[told])
    return labels


def largest_share(proportions: pd.DataFrame, record: dict) -> pd.DataFrame:
    """The type with the largest share, ``unknown`` among them, and that share."""
    shares = proportions[type_columns(proportions)]
    record.setdefault("types", [name for name in shares if name != UNKNOWN])
    record.setdefault("hierarchy", proportions.attrs.get("tissuemake", {}).get("hierarchy", {}))
    return pd.DataFrame({"cell_type": shares.idxmax(axis=1), "confidence": shares.max(axis=1)})


def doubted(labels: pd.DataFrame, sure: float) -> pd.DataFrame:
    """`labels` with those of less confidence than `sure` as ``unknown``; ``guess`` keeps what they were."""
    typed = labels["cell_type"].where(labels["confidence"] >= sure, UNKNOWN)
    return labels.assign(cell_type=typed, guess=labels["cell_type"])


def assembled(found: Mapping[str, pd.DataFrame], barcodes: pd.Index) -> pd.DataFrame:
    """One table of all methods; the first one's label stands in front, with its term of the Cell Ontology."""
    first = next(iter(found))
    table = found[first].drop(columns="guess").reindex(barcodes)
    table = table.assign(confidence=table["confidence"].astype(np.float32), method=first)
    terms = {name: find_term(name) for name in table["cell_type"].unique() if name != UNKNOWN}
    for column, part in (("cell_ontology_id", "id"), ("cell_ontology_name", "name")):
        table[column] = [getattr(terms[name], part) if name in terms else "" for name in table["cell_type"]]
    for method, own in found.items():
        own = own.reindex(barcodes)
        table[f"cell_type_{method}"] = own["cell_type"]
        table[f"confidence_{method}"] = own["confidence"].astype(np.float32)
        table[f"guess_{method}"] = own["guess"]
    return table
