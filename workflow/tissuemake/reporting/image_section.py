"""What a page says of the stained image: who looked at it, the tumour it shows, genes and finer maps drawn from it."""

import anndata as ad
import pandas as pd

from tissuemake.reporting import figures, summaries
from tissuemake.reporting.from_image import Encoder, FromImage
from tissuemake.reporting.image_layers import (
    TUMOR,
    fine_genes,
    fine_label,
    predicted_genes,
    predicted_label,
    step_um,
)
from tissuemake.reporting.layers import MEASURED

CALLED = 0.5


def image_section(image: FromImage, adata: ad.AnnData, noun: str) -> dict | None:
    """Return ``encoders``, ``tumor``, ``expression`` and ``fine``, each a list by encoder; None without any."""
    if not image:
        return None
    return {
        "encoders": [describe(encoder) for encoder in image.encoders.values()],
        "tumor": [tumor(encoder, table, noun) for encoder, table in image.tumor.items()],
        "expression": [predicted(encoder, data, adata) for encoder, data in image.expression.items()],
        "fine": [finer(encoder, data, adata) for encoder, data in image.fine.items()],
    }


def describe(encoder: Encoder) -> dict:
    """An encoder as a row of a table."""
    return {
        "name": encoder.name,
        "tiles": encoder.tiles,
        "model": str(encoder.record.get("model") or encoder.record.get("weights") or ""),
        "sha256": str(encoder.record.get("weights_sha256", ""))[:12],
        "licence": encoder.licence,
        "restricted": encoder.restricted,
    }


def tumor(encoder: str, table: pd.DataFrame, noun: str) -> dict:
    """How much tumour an encoder's head sees, and what that head is."""
    record = table.attrs.get("tissuemake", {})
    asked = table["probability"].dropna()
    seen = int(table["seen"].astype(bool).sum()) if "seen" in table else 0
    return {
        "encoder": encoder,
        "called": int((asked >= CALLED).sum()),
        "asked": len(asked),
        "bare": len(table) - len(asked),
        "seen": seen,
        "labels": [str(label) for label in record.get("tumor_labels", [])],
        "heads": [str(name) for name in record.get("heads", [])],
        "figure": figures.histogram(
            {"probability": asked.to_numpy(float)}, unit="probability of tumour", noun=f"{noun}s", span=(0, 1)
        )
        if len(asked)
        else None,
        "show": {"group": TUMOR, "key": encoder, "beside": "Tissue domains"},
    }


def predicted(encoder: str, prediction: ad.AnnData, adata: ad.AnnData) -> dict:
    """How well genes were predicted from the image: as hidden genes are, and where to see the best of them."""
    genes = [gene for gene in predicted_genes(prediction) if gene in adata.var_names]
    show = {"group": predicted_label(encoder), "key": genes[0], "beside": MEASURED} if genes else None
    record = prediction.uns["tissuemake"]
    return {
        **summaries.imputation(prediction, encoder, "measurement"),
        "show": show,
        "gene": genes[0] if genes else "",
        "head": str(record.get("head", "")),
        "saw": bool(record.get("head_saw_donor", False)),
    }


def finer(encoder: str, fine: ad.AnnData, adata: ad.AnnData) -> dict:
    """What a finer map holds, and where to see it beside the spots."""
    genes = fine_genes(fine, adata)
    return {
        "encoder": encoder,
        "places": fine.n_obs,
        "step": step_um(fine),
        "genes": fine.n_vars,
        "shown": len(genes),
        "spots": len(set(fine.obs["spot"].astype(str)) - {""}),
        "of": adata.n_obs,
        "error": fine.uns["tissuemake"].get("conservation_error"),
        "gene": genes[0] if genes else "",
        "show": {"group": fine_label(encoder), "key": genes[0], "beside": MEASURED} if genes else None,
    }
