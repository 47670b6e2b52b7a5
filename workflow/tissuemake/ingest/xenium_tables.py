"""Tables of a Xenium bundle: cells, boundaries, transcripts; parquet or csv; ids of any kind as text."""

import json
import zlib
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.errors import InputError
from tissuemake.ingest.counts import GENE_EXPRESSION, make_counts

MIN_QV = 20
UNASSIGNED = ("UNASSIGNED", "-1", "0", "")
# How the names of controls begin, from XOA 1 to 4; everything else is a gene.
CONTROL_PREFIXES = {
    "NegControlProbe_": "Negative Control Probe",
    "antisense_": "Negative Control Probe",
    "NegControlCodeword_": "Negative Control Codeword",
    "BLANK_": "Blank Codeword",
    "UnassignedCodeword_": "Unassigned Codeword",
    "DeprecatedCodeword_": "Deprecated Codeword",
    "Intergenic_Region_": "Genomic Control",
}


def find_table(bundle: Path, name: str) -> Path | None:
    """The table `name` as parquet, csv.gz or csv, whichever is there first."""
    candidates = (bundle / f"{name}{kind}" for kind in (".parquet", ".csv.gz", ".csv"))
    return next((path for path in candidates if path.is_file()), None)


def read_table(path: Path, columns: tuple[str, ...], optional: tuple[str, ...], where: str) -> pd.DataFrame:
    """Read `columns`, and of `optional` what is there; ``cell_id`` and other text become str.

    An unnamed index column, as R writes it, is left out because columns are chosen by name.

    Raises
    ------
    InputError
        ``unreadable_table``, ``missing_column``.
    """
    import pyarrow.parquet as pq

    remedy = "Copy the file again from the instrument's output."
    try:
        is_parquet = path.suffix == ".parquet"
        present = pq.read_schema(path).names if is_parquet else pd.read_csv(path, nrows=0).columns
        missing = [column for column in columns if column not in present]
        if missing:
            raise InputError("missing_column", f"{where} has no column {', '.join(missing)}.", remedy)
        wanted = [*columns, *(column for column in optional if column in present)]
        if is_parquet:
            table = pd.read_parquet(path, columns=wanted)
        else:
            table = pd.read_csv(path, usecols=wanted, dtype={"cell_id": str}, keep_default_na=False)
    except InputError:
        raise
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError("unreadable_table", f"{where} cannot be read ({error}).", remedy) from error
    for column in ("cell_id", "feature_name", "codeword_category"):
        if column in table:
            table[column] = as_text(table[column])
    return table


def as_text(values: pd.Series) -> pd.Series:
    """Ids as text, whether they came as text, bytes or numbers."""
    codes, unique = pd.factorize(values)
    names = np.array([value.decode() if isinstance(value, bytes) else str(value) for value in unique], object)
    return pd.Series(names[codes] if len(names) else [], index=values.index, dtype=object)


def polygon_centres(path: Path, where: str) -> pd.DataFrame:
    """x, y (µm) of the area centroid of each cell's polygon, by cell id."""
    table = read_table(path, ("cell_id", "vertex_x", "vertex_y"), (), where)
    x, y, cell = (table[column] for column in ("vertex_x", "vertex_y", "cell_id"))
    next_x, next_y = x.groupby(cell, sort=False).shift(-1), y.groupby(cell, sort=False).shift(-1)
    first_x, first_y = (v.groupby(cell, sort=False).transform("first") for v in (x, y))
    next_x, next_y = next_x.fillna(first_x), next_y.fillna(first_y)
    cross = (x - first_x) * (next_y - first_y) - (next_x - first_x) * (y - first_y)
    sums = pd.DataFrame(
        {
            "area": cross,
            "x": cross * (x + next_x + first_x) / 3,
            "y": cross * (y + next_y + first_y) / 3,
        }
    ).groupby(cell, sort=False)
    total = sums.sum()
    return total[["x", "y"]].div(total["area"], axis=0).dropna()


def transcript_counts(path: Path, panel: Path, where: str) -> tuple[ad.AnnData, pd.DataFrame]:
    """Count transcripts of quality `MIN_QV` and above per cell and feature.

    Returns
    -------
    tuple
        Counts as from `make_counts`, and x, y (µm) of each cell's mean transcript.
    """
    columns = ("cell_id", "feature_name", "x_location", "y_location", "qv")
    table = read_table(path, columns, ("codeword_category",), where)
    table = table[(table["qv"] >= MIN_QV) & ~table["cell_id"].isin(UNASSIGNED)]
    if table.empty:
        raise InputError(
            "no_transcripts",
            f"{where} has no transcript with qv ≥ {MIN_QV} in a cell.",
            "Add cell_feature_matrix.h5 from the instrument's output.",
        )
    cells, barcodes = pd.factorize(table["cell_id"])
    features, names = pd.factorize(table["feature_name"], sort=True)
    matrix = sp.coo_matrix((np.ones(len(table), np.float32), (cells, features)), (len(barcodes), len(names)))
    ids = read_panel(panel)
    types = feature_types(pd.Index(names))
    centres = table.groupby("cell_id", sort=False)[["x_location", "y_location"]].mean()
    counts = make_counts(matrix, barcodes, names, [ids.get(name, "") for name in names], types)
    return counts, centres.set_axis(["x", "y"], axis=1)


def feature_types(names: pd.Index) -> np.ndarray:
    """The 10x feature type that a feature's name tells."""
    types = np.repeat(np.array(GENE_EXPRESSION, dtype=object), len(names))
    for prefix, kind in CONTROL_PREFIXES.items():
        types[names.str.startswith(prefix)] = kind
    return types


def read_panel(path: Path) -> dict[str, str]:
    """Ensembl id by gene name from ``gene_panel.json``; empty without one."""
    if not path.is_file():
        return {}
    try:
        targets = json.loads(path.read_text(encoding="utf-8"))["payload"]["targets"]
        data = [target["type"]["data"] for target in targets]
        return {entry["name"]: entry.get("id") or "" for entry in data if "name" in entry}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # ids are a convenience here: symbols are in the transcripts
