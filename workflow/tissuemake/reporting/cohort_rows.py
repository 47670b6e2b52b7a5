"""The rows of the cohort's table: what the files of each sample say, reduced to what a row shows."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import anndata as ad
import h5py
import pandas as pd

from tissuemake import contracts
from tissuemake.contracts import UNKNOWN, type_columns
from tissuemake.reporting import scores
from tissuemake.reporting.comparison import doubts
from tissuemake.reporting.multiqc import reasons_dropped
from tissuemake.reporting.quality_table import quality_row
from tissuemake.reporting.thumbnail import Stamp, draw_thumbnail
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
    """One row of the cohort's table, and the row of the quality table that says the same in numbers."""

    name: str
    status: str
    row: dict
    findings: list[dict]
    quality: dict
    link: str = ""
    thumbnail: str = ""
    numbers: dict = field(default_factory=dict)
    dominant: list[tuple[str, float]] = field(default_factory=list)
    best: dict | None = None
    models: list[dict] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        """Where the row stands: failures first, then warnings."""
        return ORDER.get(self.status, 2)

    @property
    def about(self) -> list[str]:
        """What the sample is, as far as it is known."""
        known = [self.quality[name] for name in ("group", "organism", "tissue", "donor")]
        slide = self.quality["slide"]
        return [text for text in known if text] + ([f"slide {slide}"] if slide else [])


@dataclass(frozen=True)
class SampleFiles:
    """The files of a sample that went through all steps, as far as its row shows them."""

    filtered: Path
    proportions: dict[str, Path]
    imputed: dict[str, Path]
    domains: Path | None


def rejected_entry(name: str, finding: dict) -> Entry:
    """Return the row of a sample that the sheet's reader set aside; `finding` may state its name as given."""
    sample = str(finding.get("sample") or name)
    return Entry(
        sample, "fail", {}, [finding], quality_row(sample, {}, {}, "fail", str(finding.get("code", "")))
    )


def sample_entry(
    sample: str,
    check: dict,
    row: dict,
    given: SampleFiles | None,
    evaluation: pd.DataFrame,
    picture: Stamp,
) -> Entry:
    """Return the row of a sample that was checked.

    Parameters
    ----------
    given
        None for one that did not go through.
    evaluation
        Its scores, none or some.
    picture
        How large its thumbnail is.
    """
    findings = [item for item in check.get("findings", []) if item.get("level") in ("fail", "warn")]
    status = str(check.get("status", "pass"))
    if given is None or status == "fail":
        findings = findings if status == "fail" else [*findings, UNFINISHED]
        code = next((str(item.get("code", "")) for item in findings if item.get("level") == "fail"), "")
        return Entry(sample, "fail", row, findings, quality_row(sample, row, check, "fail", code))
    adata = contracts.read_annotations(given.filtered, contracts.FILTERED)
    tables = {
        method: contracts.read_table(path, contracts.PROPORTIONS)
        for method, path in given.proportions.items()
    }
    domain = contracts.read_table(given.domains, contracts.DOMAINS) if given.domains else None
    dominant, colours_by = dominant_types(_types(tables))
    quality = quality_row(sample, row, check, status, adata=adata)
    return Entry(
        sample,
        status,
        row,
        findings,
        quality,
        link=f"../samples/{quote(sample)}/report.html",
        thumbnail=draw_thumbnail(adata, sample, colours_by, domain, picture),
        numbers={**_numbers(adata, quality, domain), **_cost(_records(tables, given.imputed, domain))},
        dominant=dominant,
        best=scores.best_method(evaluation, "deconvolution") if len(evaluation) else None,
        models=models_used(tables),
        dropped=reasons_dropped(adata),
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


def _numbers(adata: ad.AnnData, quality: dict, domains: pd.DataFrame | None) -> dict:
    found = {
        "noun": str(adata.uns["tissuemake"].get("observation", "spot")),
        "kept": adata.n_obs,
        "total": int(quality["in_tissue"]),
        "counts": quality["median_counts"],
        "genes": quality["median_genes"],
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
        # Two numbers of a file of many: reading it as a whole would take most of the time of a row.
        with h5py.File(path) as file:
            record = file["uns/tissuemake"]
            records.append({key: record[key][()] for key in ("seconds", "peak_memory_mb") if key in record})
    return records


def _cost(records: list[dict]) -> dict:
    """Seconds of all steps together and the largest memory of any, of the steps that recorded them."""
    spent = [float(record["seconds"]) for record in records if record.get("seconds") is not None]
    peaks = [
        float(record["peak_memory_mb"]) for record in records if record.get("peak_memory_mb") is not None
    ]
    cost = {"seconds": sum(spent)} if spent else {}
    return {**cost, "memory": max(peaks)} if peaks else cost
