"""What is scored for a sample, from which files, and the tables that gather all samples."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from tissuemake.contracts import (
    ANNOTATION,
    CELL_TYPES,
    DOMAINS,
    EVALUATION,
    FILTERED,
    IMPUTED,
    PATHWAYS,
    PROPORTIONS,
    TUMOR,
    UNKNOWN,
    known_shares,
    read_anndata,
    read_table,
    write_table,
)
from tissuemake.evaluation import annotation_scores, cell_type_scores, image_scores, pathway_scores, scores
from tissuemake.evaluation.tables import level_of_truth, read_labels, read_truth
from tissuemake.hierarchy import at_level
from tissuemake.provenance import measured

log = logging.getLogger(__name__)

IMAGE = "image"
MEASURED = "measured"

TASKS = ("deconvolution", "cell_types", "imputation", "domains", "tumor", "annotation", "pathways")


def evaluate_sample(
    sample: str,
    filtered: str | Path,
    proportions: dict[str, str | Path],
    imputed: dict[str, str | Path],
    domains: str | Path | None,
    signatures: str | Path | None,
    truth: str,
    labels: str,
    output: str | Path,
    *,
    source_path: str = "",
    seed: int = 0,
    tumor: Mapping[str, str | Path] = MappingProxyType({}),
    tumor_labels: Sequence[str] = (),
    ignored_labels: Sequence[str] = (),
    annotation: Mapping[str, str | Path] = MappingProxyType({}),
    pathways: Mapping[str, str | Path] = MappingProxyType({}),
    cell_types: str | Path | None = None,
) -> None:
    """Score a sample's files and write a tidy table: sample, task, method, metric, value, cost.

    Column ``group`` is "image" where genes were predicted from the image alone: such methods are scored on all their
    genes and not on a hidden few, and are compared among themselves.

    Parameters
    ----------
    proportions, imputed
        File by method.
    truth, labels
        Cells of the sheet (see ``tables``); empty: no scores against them, only held-out genes and agreement
        between methods. A truth whose types are those of a coarser level of the reference is compared with
        compositions rolled up to it; the provenance says so (``levels``).
    source_path
        The sample's own h5ad, for ``labels`` of the form ``obs:COLUMN``.
    seed
        Of the baselines of domains: k-means and permuted labels.
    tumor
        Encoder → ``tumor/{encoder}.parquet``; scored where the sample has labels, on spots whose label the head
        did not see.
    tumor_labels, ignored_labels
        Labels that are tumour (empty: those that the head was taught), and labels that say neither.
    annotation
        Model → ``annotation/{model}.parquet``; scored likewise, see `annotation_scores.annotation`.
    pathways
        ``measured`` and models → ``pathways/{table}.parquet``; see `pathway_scores.pathways`.

    cell_types
        One type for each cell or bin, scored where there is a truth; see `cell_type_scores.cell_types`.

    Raises
    ------
    InputError
        A truth or label table that cannot be read, or whose barcodes are not the sample's.
    """
    spots = read_anndata(filtered, FILTERED)
    compositions = {method: read_table(path, PROPORTIONS) for method, path in proportions.items()}
    predictions = {method: read_anndata(path, IMPUTED) for method, path in imputed.items()}
    predictions = {method: found for method, found in predictions.items() if found.n_vars}
    regions = read_table(domains, DOMAINS) if domains else pd.DataFrame(index=spots.obs_names)
    suspicions = {encoder: read_table(path, TUMOR) for encoder, path in tumor.items()}
    learnt = {model: read_table(path, ANNOTATION) for model, path in annotation.items()}
    activities = {table: read_table(path, PATHWAYS) for table, path in pathways.items()}
    measured_scores = activities.pop(MEASURED, None)
    single = read_table(cell_types, CELL_TYPES) if cell_types else None
    costs = {
        "deconvolution": {
            method: table.attrs.get("tissuemake", {}) for method, table in compositions.items()
        },
        "imputation": {method: table.uns["tissuemake"] for method, table in predictions.items()},
        "domains": dict.fromkeys(regions, regions.attrs.get("tissuemake", {})),
        "cell_types": {} if single is None else _costs_of_labels(single),
        "tumor": {encoder: table.attrs.get("tissuemake", {}) for encoder, table in suspicions.items()},
        "annotation": {model: table.attrs.get("tissuemake", {}) for model, table in learnt.items()},
        "pathways": {model: table.attrs.get("tissuemake", {}) for model, table in activities.items()},
    }
    pictured = {name: table for name, table in predictions.items() if image_scores.from_image(table)}
    others = {name: table for name, table in predictions.items() if name not in pictured}
    with measured("evaluation", sample=sample, seed=seed) as record:
        known = read_truth(truth, spots.obs_names) if truth and (compositions or single is not None) else None
        asked = len(regions.columns) or suspicions or learnt
        zones = read_labels(labels, spots, source_path) if labels and asked else None
        types = {method: known_shares(table) for method, table in compositions.items()}
        compared = types if known is None else _as_truth(compositions, known, record)
        unknown = {method: table[UNKNOWN] for method, table in compositions.items() if UNKNOWN in table}
        found = {
            ("deconvolution", ""): scores.composition(compared, known, unknown) + scores.agreement(types),
            ("cell_types", ""): cell_type_scores.cell_types(single, known, types)
            if single is not None and known is not None
            else [],
            ("imputation", ""): scores.imputation(others, spots) if others else [],
            ("imputation", IMAGE): image_scores.expression(pictured, spots) if pictured else [],
            ("domains", ""): scores.domains(regions.loc[spots.obs_names], spots, zones, seed)
            if len(regions.columns)
            else [],
            ("tumor", ""): image_scores.tumor(suspicions, spots, zones, tumor_labels, ignored_labels)
            if zones is not None
            else [],
            ("annotation", ""): annotation_scores.annotation(learnt, zones, ignored_labels)
            if zones is not None
            else [],
            ("pathways", ""): pathway_scores.pathways(activities, measured_scores, spots)
            if measured_scores is not None
            else [],
        }
    write_table(_tidy(sample, found, costs), output, EVALUATION, record)


def _costs_of_labels(table: pd.DataFrame) -> dict[str, dict]:
    """The record of the table for the methods in it."""
    label = cell_type_scores.LABEL
    return {name.removeprefix(label): table.attrs["tissuemake"] for name in table if name.startswith(label)}


def _as_truth(
    compositions: dict[str, pd.DataFrame], truth: pd.DataFrame, record: dict
) -> dict[str, pd.DataFrame]:
    """Shares of the types at the level that the truth speaks of; `record` says where that is a coarser one."""
    shares = {}
    for method, table in compositions.items():
        level = level_of_truth(truth, table)
        if level:
            log.info("The truth names types of level '%s'; %s is scored at that level.", level, method)
            record.setdefault("levels", {})[method] = level
        shares[method] = known_shares(at_level(table, level) if level else table)
    return shares


def _tidy(sample: str, found: dict[tuple[str, str], scores.Scores], costs: dict) -> pd.DataFrame:
    """One row per score; seconds and memory are those of the job that made the file, NaN for baselines."""
    rows = []
    for (task, group), values in found.items():
        for method, metric, value in values:
            cost = costs[task].get(method, {})
            rows.append(
                {
                    "sample": sample,
                    "task": task,
                    "method": method,
                    "metric": metric,
                    "value": float(value),
                    "seconds": float(cost.get("seconds", "nan")),
                    "peak_memory_mb": float(cost.get("peak_memory_mb", "nan")),
                    "baseline": method not in costs[task],
                    "group": group,
                }
            )
    return _typed(pd.DataFrame(rows, columns=[*EVALUATION.columns, "baseline", "group"]))


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """An empty table has the same column types as a full one."""
    text = dict.fromkeys(("sample", "task", "method", "metric", "group"), str)
    numbers = dict.fromkeys(("value", "seconds", "peak_memory_mb"), float)
    group = table["group"].fillna("") if "group" in table else ""
    return table.assign(group=group).astype({**text, **numbers, "baseline": bool})


def collect_evaluation(tables: list[str | Path], outputs: dict[str, str | Path]) -> None:
    """Gather the samples' tables into one per task.

    Parameters
    ----------
    outputs
        File by task; a task that no sample has gives an empty table with the same columns.
    """
    empty = pd.DataFrame(columns=[*EVALUATION.columns, "baseline", "group"])
    read = [read_table(path, EVALUATION) for path in tables]
    read = [table for table in read if len(table)]
    rows = pd.concat(read, ignore_index=True) if read else empty
    for task, output in outputs.items():
        chosen = rows[rows["task"] == task].reset_index(drop=True)
        write_table(_typed(chosen), output, EVALUATION, {"samples": int(chosen["sample"].nunique())})
