"""The cohort for those who collect reports with MultiQC: custom content that it finds by the names of its files."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import anndata as ad
import pandas as pd
from markupsafe import escape

from tissuemake import files
from tissuemake.reporting.pages import plain
from tissuemake.reporting.quality_table import NUMBERS

SEVERAL = "several reasons"
KEPT = "kept"
# Title, description, decimals and colour scale of each number.
HEADERS = {
    "in_tissue": ("Under tissue", "Spots, bins or cells under tissue", "{:,.0f}", "Blues"),
    "kept": ("Kept", "Spots, bins or cells that stay after filtering", "{:,.0f}", "Blues"),
    "pct_dropped": ("% dropped", "Share dropped of those under tissue", "{:,.1f}", "OrRd"),
    "median_counts": ("Counts", "Median counts of those that stay", "{:,.0f}", "Greens"),
    "median_genes": ("Genes", "Median genes of those that stay", "{:,.0f}", "Greens"),
    "pct_mt": ("% mt", "Median share of mitochondrial counts", "{:,.1f}", "OrRd"),
    "pct_control": ("% control", "Median share of control counts", "{:,.2f}", "OrRd"),
}
GENERAL = ("kept", "median_counts", "median_genes", "pct_dropped", "pct_mt")
TEXTS = {
    "status": ("Check", "Whether the sample passed the check of its files"),
    "outlier": ("Unlike the others", "Numbers outside the control limits of its assay"),
    "reason": ("Failed with", "Code of the error that stopped the sample"),
    "group": ("Assay", "What wrote the data"),
    "slide": ("Slide", "Serial of the slide"),
    "donor": ("Donor", "Donor"),
}


def reasons_dropped(adata: ad.AnnData) -> dict[str, int]:
    """Return how many observations under tissue stay, and how many were dropped for each reason."""
    given = adata.uns["dropped"]["reason"].astype(str)
    counted = Counter(
        SEVERAL if ";" in reason else reason for reason in given[given != "off tissue"].tolist()
    )
    return {KEPT: int(adata.n_obs), **dict(sorted(counted.items()))}


def custom_content(quality: pd.DataFrame, dropped: Mapping[str, Mapping[str, int]]) -> dict[str, dict]:
    """Return what MultiQC reads, by the name of its file.

    Parameters
    ----------
    quality
        The quality table of the run.
    dropped
        Sample → reason → observations, of those that went through.
    """
    parent = {
        "parent_id": "tissuemake",
        "parent_name": "tissuemake",
        "parent_description": "Spatial transcriptomics: checks, quality and what was dropped.",
    }
    measured = [name for name in NUMBERS if quality[name].notna().any()]
    # MultiQC puts texts into its page as they are.
    rows = quality.assign(**{name: quality[name].map(_escaped) for name in ("sample", *TEXTS)}).set_index(
        "sample"
    )
    contents = {
        "tissuemake_general_mqc.json": {
            "id": "tissuemake_general",
            "plot_type": "generalstats",
            "pconfig": [{name: _header(name)} for name in measured if name in GENERAL],
            "data": _cells(rows[[name for name in measured if name in GENERAL]]),
        },
        "tissuemake_quality_mqc.json": {
            "id": "tissuemake_quality",
            **parent,
            "section_name": "Quality",
            "description": "A row per sample of the sheet, failed ones with the code of their error.",
            "plot_type": "table",
            "pconfig": {"id": "tissuemake_quality_table", "title": "tissuemake: quality"},
            "headers": {
                **{name: {"title": title, "description": said} for name, (title, said) in TEXTS.items()},
                **{name: _header(name) for name in measured},
            },
            "data": _cells(rows[[*TEXTS, *measured]]),
        },
        "tissuemake_dropped_mqc.json": {
            "id": "tissuemake_dropped",
            **parent,
            "section_name": "Kept and dropped",
            "description": "Spots, bins or cells under tissue that stay, and why the others were dropped.",
            "plot_type": "bargraph",
            "pconfig": {
                "id": "tissuemake_dropped_plot",
                "title": "tissuemake: kept and dropped",
                "ylab": "Observations",
            },
            "data": {_escaped(sample): dict(counts) for sample, counts in dropped.items()},
        },
    }
    # MultiQC stops at a section without data.
    return {name: plain(content) for name, content in contents.items() if content["data"]}


def write_custom_content(
    quality: pd.DataFrame, dropped: Mapping[str, Mapping[str, int]], folder: str | Path
) -> None:
    """Write the files of `custom_content` into `folder`."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, content in custom_content(quality, dropped).items():
        files.write_json(content, Path(folder) / name)


def _escaped(text: str) -> str:
    return str(escape(text))


def _header(name: str) -> dict:
    title, said, form, scale = HEADERS[name]
    header = {"title": title, "description": said, "format": form, "scale": scale, "min": 0}
    return {**header, "max": 100, "suffix": "%"} if name.startswith("pct_") else header


def _cells(table: pd.DataFrame) -> dict[str, dict]:
    """A sample's cells, without those that are empty."""
    rows = {
        str(sample): {key: value for key, value in row.items() if pd.notna(value) and value != ""}
        for sample, row in table.iterrows()
    }
    return {sample: row for sample, row in rows.items() if row}
