"""Which spots lie inside a border: by a person's labels, or by what a model or a clusterer said of them."""

import logging
from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.delimited import read_by_barcode
from tissuemake.errors import InputError
from tissuemake.labels import is_named, label_text

log = logging.getLogger(__name__)

OBS = "obs:"
# Of a probability of tumour.
TUMOR_FROM = 0.5


def read_sides(border: str, spots: ad.AnnData, inside: Sequence[str], source_path: str = "") -> pd.Series:
    """Whether each spot that is known lies inside, by barcode; parameters as of ``measure_border``.

    Raises
    ------
    InputError
        ``no_border``, ``unknown_label``, ``unreadable_labels``.
    """
    path, _, column = str(border).partition("#")
    if not path.endswith(".parquet"):
        return _among(_read_labels(border, spots, source_path), inside, border)
    table = pd.read_parquet(path)
    table = table.loc[spots.obs_names[spots.obs_names.isin(table.index)]]
    if "probability" in table and "label" not in table:
        return table["probability"].dropna() >= TUMOR_FROM
    column = column or ("label" if "label" in table else "spatial")
    if column not in table:
        raise InputError(
            "no_border",
            f"{path}: no column '{column}' among {', '.join(map(str, table.columns))}.",
            "Name the column of labels behind a '#', or give a table of labels.",
        )
    return _among(table[column].dropna(), inside, border)


def _among(labels: pd.Series, inside: Sequence[str], border: str) -> pd.Series:
    named = {str(label).strip() for label in inside}
    found = label_text(labels).isin(named)
    missing = ", ".join(sorted(named - set(label_text(labels))))
    if found.any() and missing:
        log.warning("%s: no spot is labelled %s.", border, missing)
    if not found.any():
        raise InputError(
            "unknown_label",
            f"{border}: no spot is labelled {missing or '(no label was given)'}.",
            f"Labels are: {', '.join(sorted(set(label_text(labels))))}. Name those inside the border.",
        )
    return found


def _read_labels(border: str, spots: ad.AnnData, source_path: str) -> pd.Series:
    """Labels by barcode of the spots that have one."""
    if border.startswith(OBS):
        column = border.removeprefix(OBS)
        table = spots.obs
        if column not in table and Path(source_path).suffix == ".h5ad" and Path(source_path).is_file():
            table = ad.read_h5ad(source_path, backed="r").obs
    else:
        try:
            table = read_by_barcode(Path(border))
        except (OSError, EOFError, ValueError) as error:
            raise InputError(
                "unreadable_labels",
                f"The labels {border} cannot be read ({error}).",
                "Give a csv or tsv whose first column is the barcode.",
            ) from error
        column = "label" if "label" in table or table.shape[1] != 1 else table.columns[0]
    if column not in table:
        raise InputError(
            "no_border",
            f"{border}: no column '{column}' among {', '.join(map(str, table.columns))}.",
            "Name the column of labels 'label', or give obs:COLUMN.",
        )
    labels = table.loc[table.index.isin(spots.obs_names), column]
    return labels[is_named(labels)]


def positions_um(spots: ad.AnnData) -> np.ndarray:
    """Positions (n, 2) in µm of a filtered section."""
    scale = spots.uns["spatial"][str(spots.uns["tissuemake"]["sample"])]["scalefactors"]["microns_per_pixel"]
    return np.asarray(spots.obsm["spatial"], dtype=float) * float(scale)
