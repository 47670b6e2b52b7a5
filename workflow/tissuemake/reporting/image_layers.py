"""What the stained image alone says, as layers: tumour, predicted genes, and finer maps between the spots."""

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.expression import column_variance
from tissuemake.reporting.from_image import FromImage
from tissuemake.reporting.layers import MEASURED, Group, Layer, Points, column

PREDICTED_GENES = 12
FINE_GENES = 8
# A finer map of 200,000 places takes 8 bytes for each, and one more for every gene: larger ones show fewer genes.
FINE_VALUES = 800_000
TUMOR = "Tumour probability, from the image"


def tumor_group(image: FromImage, barcodes: pd.Index) -> Group:
    """A layer per encoder, all on the scale from 0 to 1."""
    layers = [
        Layer(
            encoder,
            table["probability"].reindex(barcodes).to_numpy(float),
            "probability that the tissue around the spot is tumour",
            floor=0.0,
            ceiling=1.0,
        )
        for encoder, table in image.tumor.items()
    ]
    return Group(
        TUMOR, layers, "Read off the stained image alone. A map to look at with the slide; no diagnosis."
    )


def predicted_label(encoder: str) -> str:
    """Name of the group of genes that an encoder's head predicted."""
    return f"Genes from the image alone, {encoder}"


def predicted_groups(image: FromImage, adata: ad.AnnData) -> list[Group]:
    """A group per encoder, with the genes that came out best when compared with their measurement."""
    note = (
        f"Predicted from the stained image; no transcript of this sample was used. Choose “{MEASURED}” beside it for "
        "the same gene. Predictions vary less than measurements: each map has colours to its own 99th percentile."
    )
    groups = []
    for encoder, prediction in image.expression.items():
        score = prediction.var["held_out_r_depth_adjusted"].astype(float)
        placed = _on(prediction, adata)
        layers = [
            Layer(
                f"{gene} (depth-adjusted r {score[gene]:.2f})" if np.isfinite(score[gene]) else gene,
                placed(gene),
                "log1p(CP10k), from the image alone",
                key=gene,
            )
            for gene in predicted_genes(prediction)
        ]
        groups.append(Group(predicted_label(encoder), layers, note))
    return groups


def _on(prediction: ad.AnnData, adata: ad.AnnData):
    """Return a function from a gene to its values by row of `adata`, NaN where nothing was predicted."""
    rows = prediction.obs_names.get_indexer(adata.obs_names)

    def values(gene: str) -> np.ndarray:
        return np.where(rows >= 0, column(prediction, gene)[rows], np.nan)

    return values


def predicted_genes(prediction: ad.AnnData) -> list[str]:
    """The genes predicted best; where none was compared, those whose prediction varies most."""
    score = prediction.var["held_out_r_depth_adjusted"].astype(float).dropna()
    if score.empty:
        some = np.flatnonzero(np.isfinite(column(prediction, prediction.var_names[0])))
        score = pd.Series(column_variance(prediction.X[some]), index=prediction.var_names)
    return [str(gene) for gene in score.nlargest(PREDICTED_GENES).index]


def fine_label(encoder: str) -> str:
    """Name of the group of a finer map."""
    return f"Genes, finer map, {encoder}"


def fine_groups(image: FromImage, adata: ad.AnnData) -> list[Group]:
    """A group per finer map: squares as large as its step, on the colour scale of the measured spots."""
    groups = []
    for encoder, fine in image.fine.items():
        step, mpp = step_um(fine), _microns_per_pixel(adata)
        xy = fine.obs[["x", "y"]].to_numpy(float)
        points = Points(xy, step / mpp, adata.obs_names.get_indexer(fine.obs["spot"].astype(str)))
        layers = []
        for gene in fine_genes(fine, adata):
            values = column(fine, gene)
            known = column(adata, gene) if gene in adata.var_names else values
            layers.append(
                Layer(gene, values, "log1p(CP10k), between and inside spots", floor=0.0, ceiling=_top(known))
            )
        note = (
            f"A value every {step:.0f} µm, from the stained image and the measured spots. Colours mean the same as on "
            f"the measured map: choose “{MEASURED}” beside it."
        )
        groups.append(Group(fine_label(encoder), layers, note, points))
    return groups


def _top(values: np.ndarray) -> float:
    """99th percentile, above which colours end; where so few are not 0 that this is none, the largest value."""
    finite = values[np.isfinite(values)]
    top = float(np.percentile(finite, 99)) if len(finite) else 0.0
    return top if top > 0 else float(finite.max(initial=0.0)) or np.nan


def fine_genes(fine: ad.AnnData, adata: ad.AnnData) -> list[str]:
    """The genes of a finer map to show: measured ones first, those that vary most from place to place."""
    variance = pd.Series(column_variance(fine.X), index=fine.var_names)
    order = pd.DataFrame({"measured": fine.var_names.isin(adata.var_names), "variance": variance})
    order = order.sort_values(["measured", "variance"], ascending=False, kind="stable")
    most = max(1, min(FINE_GENES, FINE_VALUES // max(1, fine.n_obs)))
    return [str(gene) for gene in order.index[:most]]


def step_um(fine: ad.AnnData) -> float:
    """Distance of neighbouring places of a finer map in µm."""
    return float(fine.obs["step_um"].median()) if fine.n_obs else float("nan")


def image_genes(image: FromImage, adata: ad.AnnData) -> list[str]:
    """Measured genes that are also predicted or in a finer map: they are shown beside those."""
    found = [gene for prediction in image.expression.values() for gene in predicted_genes(prediction)]
    found += [gene for fine in image.fine.values() for gene in fine_genes(fine, adata)]
    return [gene for gene in dict.fromkeys(found) if gene in adata.var_names]


def _microns_per_pixel(adata: ad.AnnData) -> float:
    sample = str(adata.uns["tissuemake"].get("sample", ""))
    space = adata.uns["spatial"].get(sample, {})
    return float(space.get("scalefactors", {}).get("microns_per_pixel", 1.0))
