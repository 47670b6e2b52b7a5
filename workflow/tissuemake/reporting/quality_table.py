"""The quality of a run's samples as one table: written beside the cohort page, read as the history of other runs."""

from collections.abc import Mapping
from pathlib import Path

import anndata as ad
import pandas as pd

from tissuemake import files
from tissuemake.delimited import no_formula, read_columns

# What stands in ``quality.tsv``, in this order. Text first; a number that was not measured is an empty cell.
TEXTS = (
    "sample",
    "group",
    "status",
    "reason",
    "outlier",
    "organism",
    "tissue",
    "donor",
    "slide",
    "software",
    "chemistry",
    "run_start",
    "fingerprint",
)
NUMBERS = (
    "in_tissue",
    "kept",
    "pct_dropped",
    "median_counts",
    "median_genes",
    "pct_mt",
    "pct_control",
)
COLUMNS = (*TEXTS, *NUMBERS)


def quality_row(
    sample: str, row: Mapping, check: Mapping, status: str, reason: str = "", adata: ad.AnnData | None = None
) -> dict:
    """Return a sample's row of the table.

    Parameters
    ----------
    row
        Its row of the sheet, empty for one that could not be read.
    check
        Its ``check.json``, or nothing.
    status, reason
        ``pass``, ``warn`` or ``fail``, and the code of what it failed with.
    adata
        Its filtered spots; None where there are none: it then has no numbers.
    """
    facts = check.get("facts", {})
    texts = {
        "sample": sample,
        "group": assay_group(row),
        "status": status,
        "reason": reason,
        "outlier": "",
        **{name: str(row.get(name) or facts.get(name) or "") for name in TEXTS[5:]},
    }
    numbers = dict.fromkeys(NUMBERS, float("nan"))
    return {**texts, **(numbers if adata is None else measured_quality(adata))}


def measured_quality(adata: ad.AnnData) -> dict[str, float]:
    """Return the numbers of a sample: sizes, the share dropped of those on tissue, medians over those that stay."""
    off = adata.uns["dropped"]["reason"].astype(str) == "off tissue"
    inside = adata.n_obs + int((~off).sum())

    def median(column: str) -> float:
        return float(adata.obs[column].median()) if column in adata.obs else float("nan")

    return {
        "in_tissue": float(inside),
        "kept": float(adata.n_obs),
        "pct_dropped": 100 * (inside - adata.n_obs) / inside,
        "median_counts": median("total_counts"),
        "median_genes": median("n_genes_by_counts"),
        "pct_mt": median("pct_counts_mt"),
        "pct_control": median("pct_control"),
    }


def assay_group(row: Mapping) -> str:
    """Return what a sample may be compared with: its assay, and for bins their size."""
    assay, size = str(row.get("assay", "")), str(row.get("bin_um") or "")
    if not size:
        return assay
    return f"{assay} {size} µm" if size.isdigit() else f"{assay} {size}"


def as_table(rows: list[dict]) -> pd.DataFrame:
    """Return rows as one table with all columns."""
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(NUMBERS, float))


def write_quality(table: pd.DataFrame, output: str | Path) -> None:
    """Write ``quality.tsv``."""
    one_line = table.assign(
        **{name: no_formula(table[name].str.replace(r"\s+", " ", regex=True)) for name in TEXTS}
    )
    files.write_text(one_line.to_csv(sep="\t", index=False, float_format="%.6g", lineterminator="\n"), output)


def read_history(paths: list[Path]) -> pd.DataFrame:
    """Read the quality tables of other runs, the oldest first; a sample that stands in several counts once.

    Raises
    ------
    InputError
        ``missing_history``, ``unreadable_history``, ``bad_history``, naming the file.
    """
    tables = [_read(path) for path in paths]
    if not tables:
        return as_table([])
    table = pd.concat(tables, ignore_index=True)
    # The last word on a sample is that of the latest table.
    return table[~identity(table).duplicated(keep="last")].reset_index(drop=True)


def identity(table: pd.DataFrame) -> pd.Series:
    """Return what a row is a measurement of: the very input files, or where no hash is known the name; in its group."""
    return table["fingerprint"].where(table["fingerprint"] != "", table["sample"]) + " " + table["group"]


def _read(path: Path) -> pd.DataFrame:
    needed = ("sample", "group", *NUMBERS)
    table = read_columns(path, needed, "quality history", "report.history")
    for name in NUMBERS:
        table[name] = pd.to_numeric(table[name], errors="coerce")
    return as_table(table.reindex(columns=list(COLUMNS), fill_value="").to_dict("records"))
