"""A quick look at an atlas: its genes, its labels, and whether any matrix holds raw counts."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from tissuemake.contracts import is_integer_counts
from tissuemake.delimited import read_by_barcode
from tissuemake.errors import InputError
from tissuemake.hdf5_guard import check_hdf5
from tissuemake.ingest import ten_x
from tissuemake.packed import open_table
from tissuemake.sheets import Reference
from tissuemake.sources import unset_variables

SYMBOLS = ("feature_name", "symbol", "gene_symbol", "gene_symbols", "gene_name")
IDS = ("gene_id", "gene_ids", "ensembl_id", "ensembl", "feature_id")
BLOCKS, BLOCK_VALUES = 20, 50_000


@dataclass(frozen=True)
class Peek:
    """What an atlas holds. `counts_from` is empty when no matrix holds raw counts; `tried` says where."""

    genes: pd.DataFrame
    obs: pd.DataFrame
    counts_from: str
    tried: tuple[str, ...]


def peek(row: Reference) -> Peek:
    """Look at names and a sample of values; seconds for atlases of any size in h5ad.

    Raises
    ------
    InputError
        ``missing_reference``, ``unreadable_reference``.
    """
    path = Path(row.path)
    if not path.exists():
        raise InputError(
            "missing_reference",
            f"Reference '{row.reference}': {path} does not exist.",
            f"{unset_variables(path)}Correct the column path of the references sheet; relative paths start at "
            "the run folder.",
        )
    try:
        return _peek_h5ad(path) if path.name.endswith(".h5ad") else _peek_other(row, path)
    except InputError as error:
        raise _unreadable(row, error.message) from error
    except (OSError, KeyError, ValueError, EOFError, pd.errors.ParserError) as error:
        raise _unreadable(row, str(error)) from error


def peek_genes(row: Reference) -> pd.DataFrame:
    """The atlas's genes: index as in the file, columns symbol and gene_id where it has them."""
    return peek(row).genes


def _unreadable(row: Reference, why: str) -> InputError:
    return InputError(
        "unreadable_reference",
        f"Reference '{row.reference}': {row.path} cannot be read ({why}).",
        "Copy or fetch it again; give an h5ad, a 10x h5, a folder with matrix.mtx, or a csv of counts.",
    )


def _peek_h5ad(path: Path) -> Peek:
    from anndata.io import read_elem

    check_hdf5(path, str(path))
    with h5py.File(path) as handle:
        places = [place for place in ("raw/X", "X") if place in handle]
        places += [f"layers/{name}" for name in handle.get("layers", {})]
        found = next((place for place in places if _holds_counts(handle[place])), "")
        var = read_elem(handle["raw/var" if found == "raw/X" else "var"])
        return Peek(_genes(var), read_elem(handle["obs"]), found, tuple(places))


def _holds_counts(matrix: h5py.Group | h5py.Dataset) -> bool:
    """Whether a sample of values is whole, not negative, and above 1 somewhere."""
    values = matrix["data"] if isinstance(matrix, h5py.Group) else matrix
    if values.dtype.kind not in "iufb" or not values.size:
        return False
    rows = len(values)
    block = BLOCK_VALUES if values.ndim == 1 else max(1, BLOCK_VALUES // values.shape[1])
    starts = np.unique(np.linspace(0, max(rows - block, 0), BLOCKS).astype(int))
    sampled = np.concatenate([np.ravel(values[start : start + block]) for start in starts])
    return is_integer_counts(sampled) and float(sampled.max()) > 1


def _genes(var: pd.DataFrame) -> pd.DataFrame:
    genes = pd.DataFrame(index=var.index.astype(str))
    for target, known in (("symbol", SYMBOLS), ("gene_id", IDS)):
        column = next((name for name in known if name in var), None)
        if column is not None:
            genes[target] = var[column].astype(str).to_numpy()
    return genes


def _peek_other(row: Reference, path: Path) -> Peek:
    if path.is_dir() or path.name.endswith(".h5"):
        folders = sorted(found.parent for found in path.rglob("matrix.mtx*")) if path.is_dir() else []
        counts = ten_x.read_matrix(folders[0] if folders else path, str(path))
        genes, barcodes, values = counts.var[["gene_id"]], counts.obs_names, counts.X.data
    else:
        with open_table(path) as handle:
            table = pd.read_csv(handle, sep="," if ".csv" in path.name else "\t", index_col=0)
        genes, barcodes, values = pd.DataFrame(index=table.columns.astype(str)), table.index, table.to_numpy()
        if row.labels and not table.index.astype(str).isin(read_labels(row).index).any():
            genes, barcodes = pd.DataFrame(index=table.index.astype(str)), table.columns
    values = np.ravel(values)
    whole = is_integer_counts(values) and bool(values.size) and float(values.max()) > 1
    obs = pd.DataFrame(index=pd.Index(barcodes).astype(str))
    return Peek(genes, obs, "X" if whole else "", ("X",))


def read_labels(row: Reference) -> pd.DataFrame:
    """The label table of a reference, indexed by its first column."""
    if not Path(row.labels).is_file():
        raise InputError(
            "missing_path",
            f"Reference '{row.reference}': labels '{row.labels}' does not exist.",
            f"{unset_variables(row.labels)}Correct the column labels of the references sheet.",
        )
    try:
        return read_by_barcode(row.labels)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(
            "unreadable_labels",
            f"Reference '{row.reference}': the label table {row.labels} cannot be read ({error}).",
            "Give a csv or tsv whose first column is the barcode.",
        ) from error
