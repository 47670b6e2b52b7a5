"""What a tissue can be coloured by: cell types, domains, genes and quality as named layers."""

from dataclasses import dataclass, field

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.contracts import type_columns
from tissuemake.expression import column_variance
from tissuemake.reporting.palette import categorical

MEASURED_GENES = 40
IMPUTED_GENES = 20
QUALITY_COLUMNS = {
    "total_counts": ("Total counts", "transcripts"),
    "n_genes_by_counts": ("Genes detected", "genes"),
    "pct_counts_mt": ("Mitochondrial counts", "%"),
    "pct_control": ("Control counts", "%"),
}


@dataclass(frozen=True)
class Layer:
    """One colouring. `values`: float per spot, or codes into `categories` (-1: none)."""

    label: str
    values: np.ndarray
    unit: str = ""
    categories: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """Layers that stand together in the viewer's first list."""

    label: str
    layers: list[Layer] = field(default_factory=list)
    note: str = ""


def collect_groups(
    adata: ad.AnnData,
    proportions: dict[str, pd.DataFrame],
    domains: pd.DataFrame,
    imputed: dict[str, ad.AnnData],
    moran: pd.DataFrame,
) -> list[Group]:
    """Return every colouring of a sample, the most telling group first."""
    groups = [domain_group(domains.reindex(adata.obs_names))]
    colours = type_colours(proportions)
    for method, table in proportions.items():
        groups += type_groups(table.reindex(adata.obs_names), method, colours)
    # The dominant type is the one picture that shows composition at a glance.
    groups.sort(key=lambda group: not group.label.startswith("Dominant"))
    groups.append(Group("Genes, measured", measured_genes(adata, moran)))
    for method, prediction in imputed.items():
        groups.append(imputed_group(prediction, method))
    groups.append(Group("Quality", quality_layers(adata)))
    return [group for group in groups if group.layers]


def class_layer(
    label: str, values: pd.Series, order: list[str] | None = None, colours: dict[str, str] | None = None
) -> Layer:
    """Return a categorical layer; without `colours`, the order of `order` (or natural order) gives them."""
    text = values.astype("object").where(values.notna()).map(str, na_action="ignore")
    names = order or sorted(text.dropna().unique(), key=natural)
    codes = pd.Categorical(text, categories=names).codes
    given = [colours[name] for name in names] if colours else categorical(len(names))
    return Layer(label, codes.astype(int), "", tuple(names), tuple(given))


def natural(text: str) -> tuple:
    """Sort key under which "10" follows "9"."""
    return (0, int(text), "") if text.isdigit() else (1, 0, text)


def domain_group(domains: pd.DataFrame) -> Group:
    """A layer per clustering; the spatially aware one first."""
    methods = sorted(domains.columns, key=lambda name: (name != "spatial", name))
    return Group("Tissue domains", [class_layer(str(name), domains[name]) for name in methods])


def type_colours(proportions: dict[str, pd.DataFrame]) -> dict[str, str]:
    """One colour per cell type, the same for all methods: handed out from the most abundant type down."""
    names: dict[str, None] = {}
    for table in proportions.values():
        names.update(dict.fromkeys(by_abundance(table)))
    return dict(zip(names, categorical(len(names)), strict=True))


def by_abundance(table: pd.DataFrame) -> list[str]:
    """Cell types of a proportions table, most abundant first."""
    mean = table[type_columns(table)].mean().sort_values(ascending=False, kind="stable")
    return [str(name) for name in mean.index]


def type_groups(table: pd.DataFrame, method: str, colours: dict[str, str]) -> list[Group]:
    """The dominant type of a method, and the share of each type, most abundant first."""
    types = table[type_columns(table)]
    order = by_abundance(table)
    types = types.set_axis([str(name) for name in types.columns], axis=1)[order]
    known = types.notna().all(axis=1)
    # Columns sorted by abundance: a tie goes to the more abundant type.
    dominant = pd.Series(pd.NA, index=types.index, dtype="object")
    dominant[known] = types[known].idxmax(axis=1)
    shares = [Layer(name, types[name].to_numpy(float), "share of the spot") for name in order]
    return [
        Group(f"Dominant type, {method}", [class_layer("Dominant cell type", dominant, order, colours)]),
        Group(f"Cell types, {method}", shares),
    ]


def measured_genes(adata: ad.AnnData, moran: pd.DataFrame) -> list[Layer]:
    """The genes whose expression is most spatial (Moran's I), filled up with the most variable."""
    spatial = moran["I"].dropna().sort_values(ascending=False, kind="stable").index
    chosen = [gene for gene in spatial if gene in adata.var_names][:MEASURED_GENES]
    if len(chosen) < MEASURED_GENES:
        variance = pd.Series(column_variance(adata.X), index=adata.var_names).drop(chosen)
        variable = variance[variance > 0].nlargest(MEASURED_GENES - len(chosen))
        chosen += list(variable.index)
    return [Layer(gene, column(adata, gene), "log1p(CP10k)") for gene in chosen]


def imputed_group(prediction: ad.AnnData, method: str) -> Group:
    """Genes the assay did not measure first, then those predicted best when hidden."""
    ranked = prediction.var.copy()
    measured = ranked["measured"].astype(bool) if "measured" in ranked else pd.Series(True, ranked.index)
    score = ranked["held_out_r_depth_adjusted"].astype(float)
    variance = pd.Series(column_variance(prediction.X), index=ranked.index)
    unmeasured = variance[~measured].nlargest(IMPUTED_GENES // 2).index
    held_out = score.dropna().nlargest(IMPUTED_GENES - len(unmeasured)).index
    layers = []
    for gene in dict.fromkeys([*unmeasured, *held_out]):
        r = score[gene]
        said = "not measured" if not measured[gene] else ""
        said = f"held-out r {r:.2f}" if np.isfinite(r) else said
        label = f"{gene} ({said})" if said else str(gene)
        layers.append(Layer(label, column(prediction, gene), "predicted log1p(CP10k)"))
    return Group(f"Genes, imputed by {method}", layers, "Predictions, not measurements.")


def quality_layers(adata: ad.AnnData) -> list[Layer]:
    """Numeric quality columns of `obs`, the known ones first."""
    layers = [
        Layer(label, adata.obs[name].to_numpy(float), unit)
        for name, (label, unit) in QUALITY_COLUMNS.items()
        if name in adata.obs
    ]
    for name in adata.obs:
        if (
            "outlier" in str(name)
            and name not in QUALITY_COLUMNS
            and pd.api.types.is_numeric_dtype(adata.obs[name])
        ):
            layers.append(Layer(str(name).replace("_", " "), adata.obs[name].to_numpy(float), "score"))
    return layers


def column(adata: ad.AnnData, gene: str) -> np.ndarray:
    """One gene's values as a dense vector."""
    values = adata[:, gene].X
    return np.asarray(values.todense() if sp.issparse(values) else values, dtype=float).ravel()
