"""What a page says of pathways: whose sets, how each goes with library size, borders, and what the model looked at."""

import numpy as np
import pandas as pd

from tissuemake.reporting import figures
from tissuemake.reporting.pathways import DEPTHS, MEASURED, Pathways, group_label, readable, shown_sets
from tissuemake.reporting.profiles import border_profile, change

PROFILES_SHOWN = 6
SETS_IN_MAP = 12
SPEAKERS = 3
WAYS = {"zscore": "the mean over their genes", "ulm": "a linear model of each (ULM)", "aucell": "AUCell"}
ADJUSTED = "held_out_r_depth_adjusted["


def pathway_section(found: Pathways, evaluation: pd.DataFrame) -> dict | None:
    """Return what the page prints; None for a sample without pathways."""
    if not found:
        return None
    models = [name for name in found.scores if name != MEASURED]
    record = _record(found, MEASURED)
    shown = shown_sets(found)
    show = {"group": group_label(MEASURED), "key": shown[0], "beside": ""} if shown else None
    if show and models:
        show["beside"] = group_label(models[0])
    return {
        "about": _about(record),
        "depth_r": _mean_size(record.get("depth_r", {})),
        "reasons": [
            _record(found, name)["reason"] for name in found.scores if _record(found, name).get("reason")
        ],
        "left_out": [readable(name) for name in record.get("left_out", [])],
        "rows": _rows(found, record, evaluation, models),
        "models": models,
        "seen": [name for name in models if _record(found, name).get("pretrained_on_this_donor")],
        "show": show,
        "borders": _borders(found),
        "border_reasons": sorted(
            {
                table.attrs["tissuemake"]["reason"]
                for table in found.borders.values()
                if table.attrs.get("tissuemake", {}).get("reason")
            }
        ),
        "attention": [_attention(name, table) for name, table in found.attention.items() if len(table)],
    }


def _record(found: Pathways, table: str) -> dict:
    return found.scores[table].attrs.get("tissuemake", {}) if table in found.scores else {}


def _about(record: dict) -> dict:
    scaled = record.get("scaled_by", "")
    return {
        "library": record.get("library", ""),
        "licence": record.get("licence", ""),
        "attribution": record.get("attribution", ""),
        "method": WAYS.get(record.get("method", ""), record.get("method", "")),
        "depth": DEPTHS.get(record.get("depth", ""), ""),
        "scaled_by": ", ".join(scaled) if isinstance(scaled, list) else str(scaled),
        "cohort": isinstance(scaled, list),
    }


def _mean_size(depth_r: dict[str, float]) -> float | None:
    return float(np.mean(np.abs(list(depth_r.values())))) if depth_r else None


def _rows(found: Pathways, record: dict, evaluation: pd.DataFrame, models: list[str]) -> list[dict]:
    """A row per set, by name: genes, correlation with library size, and how well each model's map agrees."""
    table = found.scores.get(MEASURED, pd.DataFrame())
    held = evaluation[(evaluation["task"] == "pathways") & evaluation["metric"].str.startswith(ADJUSTED)]
    value = {
        (method, metric.removeprefix(ADJUSTED).removesuffix("]")): float(number)
        for method, metric, number in zip(held["method"], held["metric"], held["value"], strict=True)
    }
    rows = []
    for name in table.columns:
        agreement = [value.get((model, str(name)), float("nan")) for model in models]
        rows.append(
            {
                "name": readable(name),
                "genes": int(record.get("genes", {}).get(name, 0)),
                "depth_r": float(record.get("depth_r", {}).get(name, float("nan"))),
                "agreement": agreement,
                "bar": figures.share_bar(max(agreement[0], 0)) if agreement else "",
            }
        )
    return rows


def _borders(found: Pathways) -> list[dict]:
    """The pathways that change most across the border, measured and, in a second line, as a model says."""
    first = next((table for table in found.borders.values() if len(table)), None)
    if first is None:
        return []
    by_name = {str(name): part for name, part in first.groupby("pathway", sort=False)}
    names = sorted(by_name, key=lambda name: -change(by_name[name]))[:PROFILES_SHOWN]
    charts = []
    for name in names:
        lines = {
            table: part[part["pathway"] == name]
            for table, part in found.borders.items()
            if (part["pathway"] == name).any()
        }
        charts.append(
            {"name": readable(name), "svg": border_profile(lines, readable(name)), "of": list(lines)}
        )
    return charts


def _attention(model: str, table: pd.DataFrame) -> dict:
    """Which pathways listen to which, as a map of those that do most, and the patches that speak for each."""
    between = table[table["kind"] == "pathway"]
    wide = between.pivot_table(index="pathway", columns="other", values="weight")
    own = wide.index.intersection(wide.columns)
    wide = wide.loc[own, own]
    heat = None
    if len(own) > 1:
        # 1 is an even look: what is above or below shows on a scale that is white at 0.
        told = 100 * (wide - 1)
        most = told.abs().to_numpy().max(axis=0)
        chosen = told.index[np.sort(np.argsort(-most, kind="stable")[:SETS_IN_MAP])]
        heat = figures.heat_map(
            [readable(name) for name in chosen],
            told.loc[chosen, chosen].to_numpy(float),
            unit="% above an even look",
        )
    patches = table[(table["kind"] == "patch") & (table["rank"] <= SPEAKERS)]
    speakers = [
        {
            "name": readable(name),
            "patches": [
                {"patch": str(patch), "weight": float(weight)}
                for patch, weight in zip(part["other"], part["weight"], strict=True)
            ],
        }
        for name, part in patches.groupby("pathway", sort=False)
    ]
    return {"model": model, "heat": heat, "speakers": speakers}
