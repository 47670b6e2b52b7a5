"""Everything one sample can be coloured by: domains, cell types, genes and quality, in groups."""

from collections.abc import Sequence

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.expression import column_variance
from tissuemake.reporting.from_image import FromImage
from tissuemake.reporting.image_layers import fine_groups, image_genes, predicted_groups, tumor_group
from tissuemake.reporting.layers import MEASURED, Group, Layer, class_layer, column
from tissuemake.reporting.type_layers import level_groups, type_colours, type_groups

MEASURED_GENES = 40
IMPUTED_GENES = 20
QUALITY_COLUMNS = {
    "total_counts": ("Total counts", "transcripts"),
    "n_genes_by_counts": ("Genes detected", "genes"),
    "pct_counts_mt": ("Mitochondrial counts", "%"),
    "pct_control": ("Control counts", "%"),
}


def collect_groups(
    adata: ad.AnnData,
    proportions: dict[str, pd.DataFrame],
    domains: pd.DataFrame,
    imputed: dict[str, ad.AnnData],
    moran: pd.DataFrame,
    image: FromImage | None = None,
    labels: Sequence[Group] = (),
    pathways: Sequence[Group] = (),
    cells: Sequence[Group] = (),
) -> list[Group]:
    """Return every colouring of a sample, the most telling group first.

    `labels` are groups of learnt labels, `pathways` of scores of gene sets, `cells` of one type for each
    cell, which for these says more than shares.
    """
    image = image or FromImage()
    groups = type_groups(proportions, adata.obs_names, type_colours(proportions))
    # The dominant type is the one picture that shows composition at a glance.
    first = [group for group in groups if group.label.startswith("Dominant")]
    second = [domain_group(domains.reindex(adata.obs_names)), *labels, tumor_group(image, adata.obs_names)]
    groups = [*cells[:1], *first, *second, *cells[1:], *groups[len(first) :]]
    groups += level_groups(proportions, adata.obs_names)
    groups += pathways
    groups.append(Group(MEASURED, measured_genes(adata, moran, image_genes(image, adata))))
    groups += fine_groups(image, adata)
    groups += predicted_groups(image, adata)
    for method, prediction in imputed.items():
        if method not in image.expression:
            groups.append(imputed_group(prediction, method))
    groups.append(Group("Quality", quality_layers(adata)))
    return [group for group in groups if group.layers]


def domain_group(domains: pd.DataFrame) -> Group:
    """A layer per clustering; the spatially aware one first."""
    methods = sorted(domains.columns, key=lambda name: (name != "spatial", name))
    return Group("Tissue domains", [class_layer(str(name), domains[name]) for name in methods])


def measured_genes(adata: ad.AnnData, moran: pd.DataFrame, also: list[str] = ()) -> list[Layer]:
    """The genes whose expression is most spatial (Moran's I), filled up with the most variable, and those of `also`."""
    spatial = moran["I"].dropna().sort_values(ascending=False, kind="stable").index
    chosen = [gene for gene in spatial if gene in adata.var_names][:MEASURED_GENES]
    if len(chosen) < MEASURED_GENES:
        variance = pd.Series(column_variance(adata.X), index=adata.var_names).drop(chosen)
        variable = variance[variance > 0].nlargest(MEASURED_GENES - len(chosen))
        chosen += list(variable.index)
    chosen += [gene for gene in also if gene not in set(chosen)]
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
        layers.append(Layer(label, column(prediction, gene), "predicted log1p(CP10k)", key=str(gene)))
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
