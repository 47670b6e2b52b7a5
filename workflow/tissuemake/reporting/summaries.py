"""What the files of a sample say, reduced to the few numbers, tables and figures a page shows."""

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.contracts import type_columns
from tissuemake.reporting import figures
from tissuemake.reporting.layer_groups import QUALITY_COLUMNS
from tissuemake.reporting.layers import natural

TOP_ROWS = 15
THRESHOLD_COLUMN = {
    "counts": "total_counts",
    "genes": "n_genes_by_counts",
    "mt": "pct_counts_mt",
    "control": "pct_control",
}


def headline(adata: ad.AnnData, domains: pd.DataFrame) -> list[tuple[str, object]]:
    """The numbers at the top of a page."""
    noun = str(adata.uns["tissuemake"].get("observation", "spot"))
    on_tissue = adata.uns["dropped"]["reason"].astype(str) != "off tissue"
    total = adata.n_obs + int(on_tissue.sum())
    method = "spatial" if "spatial" in domains else (domains.columns[0] if len(domains.columns) else None)
    numbers = [
        (f"{noun}s kept of {total:,} on tissue", adata.n_obs),
        (f"median counts per {noun}", float(adata.obs["total_counts"].median())),
        (f"median genes per {noun}", float(adata.obs["n_genes_by_counts"].median())),
        ("genes", adata.n_vars),
    ]
    if method is not None:
        numbers.append(("tissue domains", int(domains[method].nunique())))
    return numbers


def thresholds(adata: ad.AnnData) -> list[dict]:
    """The limits that quality control used: name, value, and where it came from."""
    rows = []
    for name, given in dict(adata.uns.get("quality", {})).items():
        value, source = (
            (given.get("value"), given.get("source", "")) if isinstance(given, dict) else (given, "")
        )
        if isinstance(value, (dict, list, np.ndarray)) or value is None:
            continue
        rows.append({"name": str(name), "value": value, "source": str(source)})
    return rows


def quality_figures(adata: ad.AnnData) -> list[dict]:
    """A histogram per quality column, kept beside dropped where that is known, limits as lines."""
    drawn = []
    limits = thresholds(adata)
    dropped = adata.uns["dropped"]
    noun = str(adata.uns["tissuemake"].get("observation", "spot")) + "s"
    for column, (label, unit) in QUALITY_COLUMNS.items():
        if column not in adata.obs:
            continue
        series = {"kept": adata.obs[column].to_numpy(float)}
        if column in dropped and len(dropped):
            inside = dropped[dropped["reason"].astype(str) != "off tissue"]
            series["dropped"] = inside[column].to_numpy(float)
        lines = [
            (float(row["value"]), f"{row['name']} {row['value']}") for row in limits if _limits(row, column)
        ]
        log = column in ("total_counts", "n_genes_by_counts")
        drawn.append(
            {
                "title": label,
                "svg": figures.histogram(series, unit=unit, lines=lines, log=log, noun=noun),
                "legend": list(series),
                "limits": bool(lines),
            }
        )
    return drawn


def _limits(row: dict, column: str) -> bool:
    number = isinstance(row["value"], (int, float, np.number)) and np.isfinite(row["value"])
    words = row["name"].lower().split("_")
    return bool(number) and any(THRESHOLD_COLUMN.get(word) == column for word in words)


def dropped_reasons(adata: ad.AnnData) -> list[tuple[str, int]]:
    """How many spots were dropped for which reason, most first."""
    counts = adata.uns["dropped"]["reason"].astype(str).value_counts()
    return [(reason, int(count)) for reason, count in counts.items()]


def composition(table: pd.DataFrame, domains: pd.Series | None, colours: dict[str, str]) -> dict:
    """Mean share of each type, over the tissue and in each domain; the colours are those of the map."""
    types = table[type_columns(table)].rename(columns=str)
    mean = types.mean().sort_values(ascending=False, kind="stable")
    scale = float(mean.max()) or 1.0
    rows = [
        {
            "name": str(name),
            "share": share,
            "colour": colours[str(name)],
            "bar": figures.share_bar(share / scale, colours[str(name)]),
        }
        for name, share in mean.items()
    ]
    per_domain = []
    if domains is not None:
        grouped = types.groupby(domains.reindex(types.index).astype("object")).mean()
        sizes = domains.value_counts()
        for domain in sorted(grouped.index, key=lambda name: natural(str(name))):
            # In the order of the colours, so that bars of two methods can be compared.
            shares = [
                (name, float(grouped.loc[domain, name]), colour)
                for name, colour in colours.items()
                if name in grouped
            ]
            top = sorted(shares, key=lambda item: -item[1])[:2]
            per_domain.append(
                {
                    "domain": str(domain),
                    "size": int(sizes[domain]),
                    "bar": figures.stacked_bar(shares),
                    "top": top,
                }
            )
    return {"types": rows, "domains": per_domain}


def neighbourhood(table: pd.DataFrame) -> object:
    """The heat map of neighbourhood enrichment, or None without domains."""
    names = sorted({*table["domain_a"].astype(str), *table["domain_b"].astype(str)}, key=natural)
    if not names:
        return None
    matrix = np.full((len(names), len(names)), np.nan)
    at = {name: i for i, name in enumerate(names)}
    for a, b, z in zip(
        table["domain_a"].astype(str), table["domain_b"].astype(str), table["zscore"], strict=True
    ):
        matrix[at[a], at[b]] = z
    return figures.heat_map(names, matrix, unit="z")


def top_genes(moran: pd.DataFrame) -> list[dict]:
    """The genes with the highest Moran's I."""
    best = moran.dropna(subset=["I"]).nlargest(TOP_ROWS, "I")
    return [
        {
            "gene": str(gene),
            "I": float(row["I"]),
            "fdr": float(row["pval_norm_fdr"]),
            "bar": figures.share_bar(row["I"]),
        }
        for gene, row in best.iterrows()
    ]


def top_pairs(table: pd.DataFrame) -> list[dict]:
    """The ligand-receptor pairs whose genes are most often side by side (bivariate Moran's R)."""
    best = table.dropna(subset=["morans_i"]).nlargest(TOP_ROWS, "morans_i")
    p = "pvalue_fdr" if "pvalue_fdr" in best else "pvalue"
    columns = {"ligand": "ligand", "receptor": "receptor", "score": "score", "morans_i": "morans_i", p: "p"}
    return best[list(columns)].rename(columns=columns).to_dict("records")


def imputation(prediction: ad.AnnData, method: str, of: str = "hidden measurement") -> dict:
    """How well hidden genes were predicted: two distributions and the best and worst genes."""
    scores = prediction.var[["held_out_r", "held_out_r_depth_adjusted"]].astype(float)
    held_out = scores.dropna(subset=["held_out_r"])
    ranked = held_out.sort_values("held_out_r_depth_adjusted", ascending=False, kind="stable")
    pick = ranked if len(ranked) <= 2 * TOP_ROWS else pd.concat([ranked.head(TOP_ROWS), ranked.tail(5)])
    figure = figures.histogram(
        {"plain": held_out["held_out_r"], "depth-adjusted": held_out["held_out_r_depth_adjusted"]},
        unit=f"correlation r with the {of}",
        noun="genes",
    )
    return {
        "method": method,
        "genes": prediction.n_vars,
        "unmeasured": int((~prediction.var["measured"].astype(bool)).sum())
        if "measured" in prediction.var
        else 0,
        "held_out": len(held_out),
        "median": float(held_out["held_out_r"].median()),
        "median_adjusted": float(held_out["held_out_r_depth_adjusted"].median()),
        "figure": figure if len(held_out) else None,
        "taught": bool(prediction.uns["tissuemake"].get("pretrained_on_this_donor", False)),
        "rows": [
            {
                "gene": str(gene),
                "r": row.iloc[0],
                "adjusted": row.iloc[1],
                "bar": figures.share_bar(row.iloc[1]),
            }
            for gene, row in pick.iterrows()
        ],
    }


def steps(records: dict[str, dict]) -> list[dict]:
    """One row per step that left a provenance record: what ran, where, how long, with how much memory."""
    rows = []
    for step, record in records.items():
        if record:
            keys = ("method", "device", "seed", "seconds", "peak_memory_mb")
            rows.append({"step": step, **{key: record.get(key) for key in keys}})
    return rows


def versions(records: list[dict]) -> dict[str, list[str]]:
    """Every version of every package that the records name; more than one is worth seeing."""
    found: dict[str, set[str]] = {}
    for record in records:
        for package, version in dict(record.get("versions", {}) or {}).items():
            found.setdefault(str(package), set()).add(str(version))
    return {package: sorted(found[package]) for package in sorted(found)}
