"""Open an atlas in any of its usual forms and find its raw counts; nothing normalised passes for them."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.io import mmread

from tissuemake.contracts import is_integer_counts
from tissuemake.errors import InputError
from tissuemake.hdf5_guard import check_hdf5
from tissuemake.packed import open_table

COUNT_LAYERS = ("counts", "raw_counts", "raw", "count", "umi", "spliced")
TABLES = (".csv", ".tsv", ".txt")
SYMBOL_COLUMNS = ("feature_name", "symbol", "gene_symbol", "gene_symbols", "gene_name")
ID_COLUMNS = ("gene_id", "gene_ids", "ensembl_id", "ensembl", "feature_id")


def read_counts(path: str | Path) -> ad.AnnData:
    """Read an atlas; ``X`` is raw counts (cells, genes) CSR float32, ``uns["counts_from"]`` where they stood.

    Parameters
    ----------
    path
        ``.h5ad``, a 10x ``.h5``, a folder with ``matrix.mtx(.gz)``, or a csv/tsv table of counts
        (genes in rows or in columns; the caller's label table says which).

    Raises
    ------
    InputError
        ``missing_reference``, ``unreadable_reference``, ``reference_without_counts``.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(
            "missing_reference",
            f"The reference {path} does not exist.",
            "Correct its path in references.tsv.",
        )
    try:
        atlas = _read(path)
    except InputError:
        raise
    except (OSError, KeyError, ValueError, EOFError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise InputError(
            "unreadable_reference",
            f"The reference {path} cannot be read ({error}).",
            "Give an h5ad, a 10x h5, a folder with matrix.mtx or a csv of counts; fetch it again if cut.",
        ) from error
    return _name_genes(_with_counts(atlas, path))


def _read(path: Path) -> ad.AnnData:
    suffixes = path.name.removesuffix(".gz").lower()
    if path.is_dir():
        return _read_mtx(path)
    if suffixes.endswith((".h5ad", ".h5")):
        check_hdf5(path, f"The reference {path}")
    if suffixes.endswith(".h5ad"):
        return ad.read_h5ad(path)
    if suffixes.endswith(".h5"):
        import scanpy as sc

        return sc.read_10x_h5(path, gex_only=True)
    if suffixes.endswith(TABLES):
        with open_table(path) as handle:
            table = pd.read_csv(handle, sep="," if suffixes.endswith(".csv") else "\t", index_col=0)
        return ad.AnnData(
            sp.csr_matrix(table.to_numpy(np.float32)),
            obs=pd.DataFrame(index=table.index.astype(str)),
            var=pd.DataFrame(index=table.columns.astype(str)),
        )
    raise ValueError(f"its ending '{path.suffix}' is unknown")


def _read_mtx(folder: Path) -> ad.AnnData:
    """Matrix Market with its two lists, gzipped or not; scanpy reads only what Cell Ranger itself writes."""
    matrices = sorted(folder.rglob("matrix.mtx*"))
    if not matrices:
        raise ValueError("the folder holds no matrix.mtx")
    beside = matrices[0].parent
    features = _list(beside, ("features.tsv", "genes.tsv"))
    barcodes = _list(beside, ("barcodes.tsv",))
    counts = sp.csr_matrix(mmread(matrices[0]).T, dtype=np.float32)
    if counts.shape != (len(barcodes), len(features)):
        raise ValueError(
            f"matrix.mtx is {counts.shape[1]} x {counts.shape[0]}, its lists have {len(features)} features "
            f"and {len(barcodes)} barcodes"
        )
    symbols = features[1] if 1 in features else features[0]
    var = pd.DataFrame({"gene_id": features[0].to_numpy()}, index=symbols.to_numpy())
    atlas = ad.AnnData(counts, obs=pd.DataFrame(index=barcodes[0].to_numpy()), var=var)
    expression = features[2] == "Gene Expression" if 2 in features else np.ones(len(features), bool)
    return atlas[:, np.asarray(expression)]


def _list(folder: Path, names: tuple[str, ...]) -> pd.DataFrame:
    for name in names:
        for path in (folder / f"{name}.gz", folder / name):
            if path.exists():
                with open_table(path) as handle:
                    return pd.read_csv(handle, sep="\t", header=None, dtype=str)
    raise ValueError(f"{names[0]} is missing in {folder}")


def _with_counts(atlas: ad.AnnData, path: Path) -> ad.AnnData:
    """Keep the first matrix of raw, X, and the layers that holds counts; raw first, as it has all genes."""
    layers = sorted(atlas.layers, key=lambda name: (name.lower() not in COUNT_LAYERS, name))
    tried = []
    for where in ("raw.X", "X", *(f"layers['{name}']" for name in layers)):
        if where == "raw.X":
            if atlas.raw is None:
                continue
            matrix, var = atlas.raw.X, atlas.raw.var
        elif where == "X":
            matrix, var = atlas.X, atlas.var
        else:
            matrix, var = atlas.layers[where.split("'")[1]], atlas.var
        tried.append(where)
        if matrix is not None and _are_counts(matrix):
            counts = sp.csr_matrix(matrix, dtype=np.float32)
            return ad.AnnData(counts, obs=atlas.obs, var=var.copy(), uns={"counts_from": where})
    raise InputError(
        "reference_without_counts",
        f"The reference {path} holds no raw counts: looked in {', '.join(tried)}, and found values that are "
        "negative or not whole.",
        "Give the atlas with raw counts in X, raw.X or a layer; normalised or scaled values cannot be used.",
    )


def _are_counts(matrix) -> bool:
    values = matrix.data if sp.issparse(matrix) else np.asarray(matrix).ravel()
    return is_integer_counts(values) and bool(values.size) and float(values.max()) > 1


def _name_genes(atlas: ad.AnnData) -> ad.AnnData:
    """Copy the schema's own symbol and id columns to the names that ``genes.tidy_genes`` reads."""
    var = pd.DataFrame(index=atlas.var_names.astype(str))
    for target, known in (("symbol", SYMBOL_COLUMNS), ("gene_id", ID_COLUMNS)):
        column = next((name for name in known if name in atlas.var), None)
        if column is not None:
            var[target] = atlas.var[column].astype(str).to_numpy()
    atlas.var = var
    return atlas
