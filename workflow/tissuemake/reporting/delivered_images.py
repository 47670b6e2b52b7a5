"""What a delivery holds of the stained image: tumour, predicted genes, finer maps, and what licences forbid."""

from collections.abc import Mapping
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.reporting.from_image import read_encoder, read_tumor
from tissuemake.reporting.pages import plain


def add_tumor(adata: ad.AnnData, encoder: str, path: Path) -> dict:
    """Add ``obs["tumor_probability_ENCODER"]``; return the provenance of the file."""
    table = read_tumor(path)
    adata.obs[f"tumor_probability_{encoder}"] = (
        table["probability"].reindex(adata.obs_names).astype(np.float32)
    )
    return table.attrs.get("tissuemake", {})


def add_predicted(adata: ad.AnnData, encoder: str, prediction: ad.AnnData) -> None:
    """Add genes predicted from the image as ``obsm["image_expression_ENCODER"]``, a float32 array (spots, genes).

    ``uns["image_expression"][ENCODER]`` says that it is no measurement, and holds ``var`` (a row per gene, in the
    order of the columns: the correlation with what was measured) and ``tissuemake``, how it was made. An array
    and no table: both file formats keep each column of a table as a piece of its own.
    """
    values = prediction.X.toarray() if hasattr(prediction.X, "toarray") else np.asarray(prediction.X)
    table = pd.DataFrame(values.astype(np.float32), index=prediction.obs_names)
    adata.obsm[f"image_expression_{encoder}"] = table.reindex(adata.obs_names).to_numpy(np.float32)
    columns = ["held_out_r", "held_out_r_depth_adjusted"]
    adata.uns.setdefault("image_expression", {})[encoder] = {
        "what": "log1p(CP10k) predicted from the stained image alone; not measured",
        "var": prediction.var[columns].astype(float).rename_axis(index="gene"),
        "tissuemake": dict(prediction.uns["tissuemake"]),
    }


def place_fine(fine: ad.AnnData, adata: ad.AnnData) -> ad.AnnData:
    """Return a finer map with the image of its sample, so that it plots as spots do, each as wide as its step."""
    placed = fine.copy()
    placed.uns["spatial"] = {
        sample: {**space, "scalefactors": {**space["scalefactors"], **_wide_as_step(fine, space)}}
        for sample, space in adata.uns["spatial"].items()
    }
    return placed


def _wide_as_step(fine: ad.AnnData, space: Mapping) -> dict[str, float]:
    step = float(fine.obs["step_um"].median()) if fine.n_obs else 1.0
    return {"spot_diameter_fullres": step / float(space["scalefactors"].get("microns_per_pixel", 1.0))}


def encoder_entries(embeddings: Mapping[str, Path]) -> dict[str, dict]:
    """Return by encoder its record, ``licence`` and ``commercial_use``: False where that is forbidden, None unknown."""
    found = {}
    for name, path in embeddings.items():
        encoder = read_encoder(path)
        found[name] = plain(
            {
                **encoder.record,
                "tiles": encoder.tiles,
                "licence": encoder.licence,
                "commercial_use": encoder.commercial_use,
            }
        )
    return found


def notices(encoders: Mapping[str, dict]) -> list[str]:
    """Return what whoever gets the delivery must know of the encoders' licences."""
    return [
        f"What was read off the image by '{name}' comes of weights under {entry['licence'] or 'a licence'} that "
        "forbids commercial use."
        for name, entry in encoders.items()
        if entry["commercial_use"] is False
    ]
