"""Count a Xenium run's transcripts per cell and feature, part by part: a whole slide's table never is in memory."""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.errors import InputError
from tissuemake.ingest.counts import GENE_EXPRESSION, make_counts
from tissuemake.ingest.xenium_tables import as_text, check_columns
from tissuemake.packed import open_table

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
COLUMNS = ("cell_id", "feature_name", "x_location", "y_location", "qv")
NAMED = ["cell_id", "feature_name"]
PART = 1 << 20  # transcripts that are read at once: 60 MB
# Pairs of cell and feature are kept as one number: the feature in the low bits.
FEATURE_BITS = 20
MERGED_AT = 1 << 23  # pairs in parts before they are made one


def transcript_counts(path: Path, panel: Path, where: str) -> tuple[ad.AnnData, pd.DataFrame]:
    """Count transcripts of quality `MIN_QV` and above per cell and feature.

    Returns
    -------
    tuple
        Counts as from `make_counts`, and x, y (µm) of each cell's mean transcript.

    Raises
    ------
    InputError
        ``unreadable_table``, ``missing_column``, ``no_transcripts``.
    """
    tally = Tally()
    try:
        for part in read_parts(path, where):
            tally.add(part)
    except InputError:
        raise
    except (OSError, EOFError, ValueError, zlib.error) as error:
        remedy = "Copy the file again from the instrument's output."
        raise InputError("unreadable_table", f"{where} cannot be read ({error}).", remedy) from error
    if not tally.cells:
        raise InputError(
            "no_transcripts",
            f"{where} has no transcript with qv ≥ {MIN_QV} in a cell.",
            "Add cell_feature_matrix.h5 from the instrument's output.",
        )
    matrix, names = tally.matrix()
    ids = read_panel(panel)
    counts = make_counts(
        matrix, list(tally.cells), names, [ids.get(name, "") for name in names], feature_types(names)
    )
    return counts, tally.centres()


def read_parts(path: Path, where: str) -> Iterator[pd.DataFrame]:
    """The columns that are counted of `PART` transcripts after the other; ids and names are categories."""
    import pyarrow.parquet as pq

    if path.suffix == ".parquet":
        # With its default, pre_buffer, all that was read stays in memory until the file is closed.
        with pq.ParquetFile(path, read_dictionary=NAMED, pre_buffer=False) as table:
            check_columns(COLUMNS, table.schema_arrow.names, where)
            for batch in table.iter_batches(PART, columns=list(COLUMNS)):
                yield batch.to_pandas()
        return
    with open_table(path) as handle:
        check_columns(COLUMNS, pd.read_csv(handle, nrows=0).columns, where)
    told = {"usecols": list(COLUMNS), "dtype": {"cell_id": str}, "keep_default_na": False}
    with open_table(path) as handle, pd.read_csv(handle, chunksize=PART, **told) as parts:
        yield from parts


class Tally:
    """Counts by cell and feature, and where each cell's transcripts lie, of as many parts as there are."""

    def __init__(self) -> None:
        self.cells: dict[str, int] = {}
        self.features: dict[str, int] = {}
        # Of all parts that were merged: pairs in order, and how often each was seen; then of each part since.
        self._pairs = [np.zeros(0, np.int64)]
        self._numbers = [np.zeros(0, np.int32)]
        self._sums = np.zeros((0, 3))  # x, y, transcripts

    def add(self, part: pd.DataFrame) -> None:
        """Count the transcripts of `part` (columns as in `COLUMNS`)."""
        part = part[part["qv"] >= MIN_QV]
        cell = self._codes(part["cell_id"], self.cells, UNASSIGNED)
        part, cell = part[cell >= 0], cell[cell >= 0]
        feature = self._codes(part["feature_name"], self.features)
        places = part[["x_location", "y_location"]].to_numpy(np.float64)
        size = len(self.cells)
        self._sums = np.concatenate([self._sums, np.zeros((size - len(self._sums), 3))])
        first = cell.min(initial=size)
        # Parts are of one region mostly: its cells follow each other.
        for column, weights in enumerate((places[:, 0], places[:, 1], None)):
            found = np.bincount(cell - first, weights)
            self._sums[first : first + len(found), column] += found
        self._keep(*np.unique(cell << FEATURE_BITS | feature, return_counts=True))

    @staticmethod
    def _codes(values: pd.Series, known: dict[str, int], left_out: tuple[str, ...] = ()) -> np.ndarray:
        """Number of each value, counted on from those `known`; -1 for what is left out."""
        codes, unique = pd.factorize(values)
        texts = as_text(pd.Series(unique))
        numbers = [-1 if text in left_out else known.setdefault(text, len(known)) for text in texts]
        return np.array(numbers, np.int64)[codes] if len(codes) else np.zeros(0, np.int64)

    def _keep(self, pairs: np.ndarray, numbers: np.ndarray) -> None:
        self._pairs.append(pairs)
        self._numbers.append(numbers.astype(np.int32))
        if sum(map(len, self._pairs[1:])) > MERGED_AT:
            self._merge()

    def _merge(self) -> None:
        """Add the parts' pairs to those before, which are many more and stay where they are."""
        (known, *pairs), (counted, *numbers) = self._pairs, self._numbers
        if not pairs:
            return
        pairs, numbers = np.concatenate(pairs), np.concatenate(numbers)
        order = np.argsort(pairs, kind="stable")
        pairs, numbers = pairs[order], numbers[order]
        starts = np.flatnonzero(np.diff(pairs, prepend=-1))
        pairs, numbers = pairs[starts], np.add.reduceat(numbers, starts) if len(starts) else numbers
        del order, starts
        place = np.searchsorted(known, pairs)
        inside = place < len(known)
        seen = np.zeros(len(pairs), bool)
        seen[inside] = known[place[inside]] == pairs[inside]
        counted[place[seen]] += numbers[seen]
        # `np.insert` would do, but sorts the places again, in three times the memory.
        slots = place[~seen] + np.arange((~seen).sum())
        self._pairs = [_woven(known, pairs[~seen], slots)]
        self._numbers = [_woven(counted, numbers[~seen], slots)]

    def matrix(self) -> tuple[sp.csr_matrix, pd.Index]:
        """Counts (cells in the order in which they came, features by name), and the features' names."""
        self._merge()
        pairs, numbers = self._pairs.pop(), self._numbers.pop()
        names = pd.Index(sorted(self.features), dtype=object)
        place = np.empty(len(names), np.int32)
        place[[self.features[name] for name in names]] = np.arange(len(names))
        bounds = np.searchsorted(pairs, np.arange(len(self.cells) + 1) << FEATURE_BITS)
        pairs &= (1 << FEATURE_BITS) - 1
        indices = place[pairs]
        del pairs
        shape = (len(self.cells), len(names))
        counts = sp.csr_matrix((numbers.astype(np.float32), indices, bounds), shape=shape)
        counts.sort_indices()
        return counts, names

    def centres(self) -> pd.DataFrame:
        """x, y (µm) of the mean transcript, by cell."""
        places = self._sums[:, :2] / self._sums[:, 2:]
        return pd.DataFrame(places, index=pd.Index(list(self.cells), name="cell_id"), columns=["x", "y"])


def _woven(values: np.ndarray, others: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """`others` at `slots` of the result, `values` in the places between them."""
    woven = np.empty(len(values) + len(others), values.dtype)
    free = np.ones(len(woven), bool)
    free[slots] = False
    woven[slots], woven[free] = others, values
    return woven


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
