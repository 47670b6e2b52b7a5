"""Which genes spoke for a cell type, beside the markers that the reference has for it."""

import pandas as pd

GENES_SHOWN = 10


def speaking_genes(attributions: pd.DataFrame, markers: pd.DataFrame | None) -> list[dict]:
    """Return a row per cell type: ``name``, ``genes``, ``markers``, ``hits``.

    Genes that are also markers carry ``known``; markers that spoke carry ``spoke``; ``hits`` counts the former.
    A gene counts as the same in any letter case, because mouse and human write one symbol in two.
    """
    listed = _genes_by_type(markers) if markers is not None else {}
    rows = []
    for name, spoke in _genes_by_type(attributions).items():
        known = listed.get(name, [])
        among = {gene.casefold() for gene in known}
        heard = {gene.casefold() for gene in spoke}
        genes = [{"gene": gene, "known": gene.casefold() in among} for gene in spoke[:GENES_SHOWN]]
        rows.append(
            {
                "name": name,
                "genes": genes,
                "hits": sum(gene["known"] for gene in genes),
                "markers": [
                    {"gene": gene, "spoke": gene.casefold() in heard} for gene in known[:GENES_SHOWN]
                ],
            }
        )
    return rows


def _genes_by_type(table: pd.DataFrame) -> dict[str, list[str]]:
    """Genes of each type, best rank first; types in the order of the table."""
    ranked = table.sort_values("rank", kind="stable")
    groups = ranked.groupby(ranked["cell_type"].astype(str), sort=False)["gene"]
    found = {name: list(genes.astype(str)) for name, genes in groups}
    return {name: found[name] for name in dict.fromkeys(table["cell_type"].astype(str))}
