"""Keep the spots that can be believed, say why each other was dropped, and normalise."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake import contracts
from tissuemake.errors import InputError
from tissuemake.quality.metrics import add_metrics
from tissuemake.quality.outliers import local_scores
from tissuemake.quality.thresholds import LOCAL_MADS, METRIC, Threshold, decide, floors

# One mitochondrial count of four is no share: below this many counts shares are not judged.
ENOUGH_FOR_SHARE = 20
REASON = {
    "min_counts": "few counts",
    "max_counts": "many counts",
    "min_genes": "few genes",
    "max_pct_mt": "high mitochondrial share",
    "max_pct_control": "high control share",
}


def filter_spots(
    ingested: Path, output: Path, figure: Path | None = None, *, overrides: dict | None = None
) -> None:
    """Filter and normalise one sample: contract INGESTED in, contract FILTERED out.

    Parameters
    ----------
    ingested, output
        Paths of the ``.h5ad`` files.
    figure
        Where to draw the quality values over the tissue (PNG), if wanted.
    overrides
        Thresholds from the config: ``min_counts``, ``max_counts``, ``min_genes``, ``max_pct_mt``,
        ``max_pct_control``, ``local_outlier_mads`` (0: no local outliers).

    Raises
    ------
    InputError
        ``no_spot_left``, ``unknown_threshold``, ``bad_threshold``.
    """
    adata = contracts.read_anndata(ingested, contracts.INGESTED)
    add_metrics(adata)
    reasons, thresholds = judge(adata, overrides)
    kept = apply(adata, reasons, thresholds)
    contracts.write_anndata(kept, output, contracts.FILTERED)
    if figure is not None:
        from tissuemake.quality.figures import draw_quality

        draw_quality(adata, reasons, figure)


def judge(adata: ad.AnnData, overrides: dict | None = None) -> tuple[pd.Series, dict[str, Threshold]]:
    """Find the reasons to drop each spot; adds the local outlier columns to ``adata.obs``.

    Returns
    -------
    reasons
        Index: barcode; reasons joined by ``"; "``, empty for spots that stay.
    thresholds
        By name.
    """
    about = adata.uns["tissuemake"]
    observation = str(about.get("observation", "spot"))
    inside = adata.obs["in_tissue"].to_numpy(bool)
    floor = floors(observation, adata.n_vars, float(about.get("pitch_um", 0.0)))
    thresholds = decide(adata.obs[inside], floor, overrides)
    reasons = {"off tissue": ~inside}
    for name, threshold in thresholds.items():
        values = adata.obs[METRIC[name]].to_numpy(float)
        wrong = values < threshold.value if name.startswith("min") else values > threshold.value
        if "pct" in name:
            wrong &= adata.obs["total_counts"].to_numpy(float) >= ENOUGH_FOR_SHARE
        reasons[REASON[name]] = wrong & inside
    mads = (overrides or {}).get("local_outlier_mads")
    # Cells and bins differ from their neighbours by type; only spots average over enough cells to compare.
    if mads is None and observation == "spot":
        thresholds["local_outlier_mads"] = Threshold(LOCAL_MADS, "robust", 0.0)
    elif mads:
        thresholds["local_outlier_mads"] = Threshold(float(mads), "config", 0.0)
    if "local_outlier_mads" in thresholds:
        limit = thresholds["local_outlier_mads"].value
        scores = local_scores(adata.obs[inside], adata.obsm["spatial"][inside])
        scores = scores.reindex(adata.obs_names, fill_value=0.0)
        adata.obs[scores.columns] = scores
        reasons["unlike its neighbours"] = (scores > limit).any(axis=1).to_numpy() & inside
    return _joined(reasons, adata.obs_names), thresholds


def _joined(reasons: dict[str, np.ndarray], names: pd.Index) -> pd.Series:
    texts = np.full(len(names), "", dtype=object)
    for reason, hit in reasons.items():
        glue = np.where(texts[hit] == "", "", "; ")
        texts[hit] = texts[hit] + glue.astype(object) + reason
    return pd.Series(texts, index=names, name="reason")


def apply(adata: ad.AnnData, reasons: pd.Series, thresholds: dict[str, Threshold]) -> ad.AnnData:
    """Return the spots without a reason, log-normalised, with what was dropped and why in ``uns``.

    Raises
    ------
    InputError
        ``no_spot_left``, with thresholds and medians.
    """
    import scanpy as sc

    stays = (reasons == "").to_numpy()
    if not stays.any():
        raise _nothing_left(adata, reasons, thresholds)
    dropped = pd.DataFrame(
        {
            "reason": reasons[~stays].astype(str),
            "x": adata.obsm["spatial"][~stays, 0],
            "y": adata.obsm["spatial"][~stays, 1],
            "total_counts": adata.obs["total_counts"].to_numpy(float)[~stays],
        },
        index=pd.Index(adata.obs_names[~stays], name="barcode"),
    )
    kept = adata[stays].copy()
    seen = np.asarray((kept.X > 0).sum(axis=0)).ravel() > 0
    kept = kept[:, seen].copy()
    kept.layers["counts"] = kept.X.copy()
    sc.pp.normalize_total(kept, target_sum=1e4)
    sc.pp.log1p(kept)
    kept.uns["dropped"] = dropped
    kept.uns["quality"] = {name: vars(threshold) for name, threshold in thresholds.items()}
    kept.uns["tissuemake"] = {
        **kept.uns["tissuemake"],
        "filter": {
            "n_observations": int(adata.n_obs),
            "n_in_tissue": int(adata.obs["in_tissue"].sum()),
            "n_kept": int(kept.n_obs),
            "n_genes_without_counts": int((~seen).sum()),
        },
    }
    return kept


def _nothing_left(adata: ad.AnnData, reasons: pd.Series, thresholds: dict[str, Threshold]) -> InputError:
    sample = adata.uns["tissuemake"].get("sample", "?")
    limits = ", ".join(
        f"{name} {threshold.value:g} (median {threshold.median:g}, {threshold.source})"
        for name, threshold in thresholds.items()
        if name in METRIC
    )
    counted = reasons.str.split("; ").explode().value_counts()
    why = ", ".join(f"{reason}: {number}" for reason, number in counted.items())
    return InputError(
        "no_spot_left",
        f"Sample {sample}: none of {adata.n_obs} spots passes the filter ({why}). Thresholds: {limits}.",
        "If these counts are what you expect (few genes, shallow sequencing), lower min_counts and min_genes "
        "under 'filter' in the config; otherwise the library failed: leave the sample out.",
    )
