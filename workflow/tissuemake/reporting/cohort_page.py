"""The page of the cohort: a row per sample, failed ones in red with what to do, and who won at which task."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

import anndata as ad
import pandas as pd

from tissuemake import contracts, files
from tissuemake.contracts import UNKNOWN, type_columns
from tissuemake.reporting import pages, scores
from tissuemake.reporting.comparison import doubts
from tissuemake.reporting.spot_models import clearest_pairs
from tissuemake.reporting.thumbnail import draw_thumbnail
from tissuemake.reporting.type_layers import by_abundance

ORDER = {"fail": 0, "warn": 1, "pass": 2}
DOMINANT = 3
UNFINISHED = {
    "level": "fail",
    "code": "unfinished",
    "message": "The check passed, but a later step did not finish.",
    "remedy": "Look at the last lines of its log under logs/, mend what it names, and run again.",
}


@dataclass(frozen=True)
class Entry:
    """One row of the cohort's table."""

    name: str
    status: str
    row: dict
    findings: list[dict]
    link: str = ""
    thumbnail: str = ""
    numbers: dict = field(default_factory=dict)
    dominant: list[tuple[str, float]] = field(default_factory=list)
    best: dict | None = None
    models: list[dict] = field(default_factory=list)

    @property
    def rank(self) -> int:
        """Where the row stands: failures first, then warnings."""
        return ORDER.get(self.status, 2)


def report_cohort(
    *,
    checks: dict[str, Path],
    rejected: dict[str, dict],
    rows: dict[str, dict],
    evaluations: list[Path],
    filtered: dict[str, Path],
    proportions: dict[str, dict[str, Path]],
    imputed: dict[str, dict[str, Path]],
    domains: dict[str, Path],
    output: Path,
    title: str = "Cohort",
    perturbation: Mapping[str, Path] = MappingProxyType({}),
) -> None:
    """Write the cohort's page.

    Parameters
    ----------
    checks
        Sample → ``check.json``; a failed check makes a red row.
    rejected
        Safe name → finding of a row that the sheet's reader set aside; its key ``sample`` is the name as given.
    rows
        Sample → its row of the sheet.
    evaluations
        Evaluation tables, per sample or per task; a row that stands in several counts once.
    filtered
        Sample → ``filtered.h5ad``, of the samples that went through.
    output
        The page. Sample pages are linked at ``../samples/SAMPLE/report.html`` beside its folder.
    proportions, imputed, domains
        Sample → (method →) file, for dominant types, time and memory.
    perturbation
        Model → pairs of ligand and target, the sections of the cohort combined.
    """
    evaluation = read_evaluations(evaluations)
    entries = [_rejected(name, finding) for name, finding in rejected.items()]
    for sample, path in checks.items():
        entries.append(
            _entry(
                sample,
                files.read_json(path),
                rows.get(sample, {}),
                evaluation[evaluation["sample"] == sample],
                filtered.get(sample),
                proportions.get(sample, {}),
                imputed.get(sample, {}),
                domains.get(sample),
            )
        )
    entries.sort(key=lambda entry: (entry.rank, entry.name))
    html = pages.render(
        "cohort.html.j2",
        styles=("base.css", "cohort.css"),
        scripts=("cohort.js",),
        title=title,
        entries=entries,
        counts={status: sum(entry.status == status for entry in entries) for status in ORDER},
        observations=sum(entry.numbers.get("kept", 0) for entry in entries),
        tasks=scores.cohort_tables(evaluation),
        with_models=any(entry.models for entry in entries),
        perturbations=[
            {"method": model, **clearest_pairs(contracts.read_table(path, contracts.PERTURBATION))}
            for model, path in perturbation.items()
        ],
    )
    pages.write_page(html, output)


def read_evaluations(paths: list[Path]) -> pd.DataFrame:
    """Return all scores of the cohort as one table; empty when there are none."""
    tables = [contracts.read_table(path, contracts.EVALUATION) for path in paths]
    tables = [table for table in tables if len(table)]
    if not tables:
        return pd.DataFrame(columns=contracts.EVALUATION.columns)
    table = pd.concat(tables, ignore_index=True)
    # A baseline may stand in two groups of a task.
    named = [name for name in ("sample", "task", "group", "method", "metric") if name in table]
    return table.drop_duplicates(named)


def _rejected(name: str, finding: dict) -> Entry:
    return Entry(str(finding.get("sample") or name), "fail", {}, [finding])


def _entry(
    sample: str,
    check: dict,
    row: dict,
    evaluation: pd.DataFrame,
    filtered: Path | None,
    proportions: dict[str, Path],
    imputed: dict[str, Path],
    domains: Path | None,
) -> Entry:
    findings = [item for item in check.get("findings", []) if item.get("level") in ("fail", "warn")]
    status = str(check.get("status", "pass"))
    if filtered is None or status == "fail":
        return Entry(sample, "fail", row, findings if status == "fail" else [*findings, UNFINISHED])
    adata = contracts.read_annotations(filtered, contracts.FILTERED)
    tables = {
        method: contracts.read_table(path, contracts.PROPORTIONS) for method, path in proportions.items()
    }
    types = _types(tables)
    domain = contracts.read_table(domains, contracts.DOMAINS) if domains else None
    dominant, colours_by = dominant_types(types)
    records = _records(tables, imputed, domain)
    return Entry(
        sample,
        status,
        row,
        findings,
        link=f"../samples/{quote(sample)}/report.html",
        thumbnail=draw_thumbnail(adata, sample, colours_by, domain),
        numbers={**_numbers(adata, domain), **_cost(records)},
        dominant=dominant,
        best=scores.best_method(evaluation, "deconvolution") if len(evaluation) else None,
        models=models_used(tables),
    )


def models_used(tables: dict[str, pd.DataFrame]) -> list[dict]:
    """Return ``method``, ``model``, ``sha256`` (its beginning) and ``unknown`` of methods that used a pretrained model.

    Methods without a model count as well where they state an unknown share.
    """
    found = []
    for method, table in tables.items():
        record = table.attrs.get("tissuemake", {})
        unknown = doubts(table).get("unknown")
        if record.get("model") or unknown is not None:
            found.append(
                {
                    "method": method,
                    "model": str(record.get("model") or "").rstrip("/").rsplit("/", 1)[-1],
                    "sha256": str(record.get("weights_sha256", ""))[:12],
                    "unknown": unknown,
                }
            )
    return found


def _types(tables: dict[str, pd.DataFrame]) -> pd.DataFrame | None:
    """The first method's composition, as the sample page shows it first."""
    for table in tables.values():
        return table[type_columns(table)].rename(columns=str)
    return None


def dominant_types(types: pd.DataFrame | None) -> tuple[list[tuple[str, float]], pd.Series | None]:
    """Return the most abundant types with their mean shares, and the dominant type per barcode.

    What the reference does not know can dominate a spot, but is no main cell type.
    """
    if types is None or types.empty:
        return [], None
    order = by_abundance(types)
    mean = types[order].mean().drop(UNKNOWN, errors="ignore")
    top = [(str(name), float(share)) for name, share in mean.head(DOMINANT).items()]
    return top, types[order].idxmax(axis=1).astype(pd.CategoricalDtype(order))


def _numbers(adata: ad.AnnData, domains: pd.DataFrame | None) -> dict:
    dropped = adata.uns["dropped"]
    on_tissue = int((dropped["reason"].astype(str) != "off tissue").sum())
    found = {
        "noun": str(adata.uns["tissuemake"].get("observation", "spot")),
        "kept": adata.n_obs,
        "total": adata.n_obs + on_tissue,
        "counts": float(adata.obs["total_counts"].median()),
        "genes": float(adata.obs["n_genes_by_counts"].median()),
        "organism": str(adata.uns["tissuemake"].get("organism", "")),
    }
    if domains is not None and len(domains.columns):
        method = "spatial" if "spatial" in domains else domains.columns[0]
        found["domains"] = int(domains[method].nunique())
    return found


def _records(
    tables: dict[str, pd.DataFrame], imputed: dict[str, Path], domains: pd.DataFrame | None
) -> list[dict]:
    records = [] if domains is None else [domains.attrs.get("tissuemake", {})]
    records += [table.attrs.get("tissuemake", {}) for table in tables.values()]
    for path in imputed.values():
        data = ad.read_h5ad(path, backed="r")
        records.append(dict(data.uns["tissuemake"]))
        data.file.close()
    return records


def _cost(records: list[dict]) -> dict:
    """Seconds of all steps together and the largest memory of any, of the steps that recorded them."""
    spent = [float(record["seconds"]) for record in records if record.get("seconds") is not None]
    peaks = [
        float(record["peak_memory_mb"]) for record in records if record.get("peak_memory_mb") is not None
    ]
    cost = {"seconds": sum(spent)} if spent else {}
    return {**cost, "memory": max(peaks)} if peaks else cost
