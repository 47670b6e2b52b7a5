"""Ground floor: the files between stages, as data. `read_*` and `write_*` check them; writes are atomic.

Every file that one rule writes and another reads is described once, here. A file that breaks its contract is
refused with the file, the field and the stage that should have written it.
"""

from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import scipy.sparse as sp

from tissuemake.errors import InputError
from tissuemake.files import atomic


@dataclass(frozen=True)
class AnnDataContract:
    """Fields that an ``.h5ad`` between two stages must have."""

    name: str
    written_by: str
    obs: tuple[str, ...] = ()
    var: tuple[str, ...] = ()
    obsm: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    uns: tuple[str, ...] = ()
    # Where raw integer counts stand: "X", a layer's name, or "" when the file holds none.
    counts: str = ""


@dataclass(frozen=True)
class TableContract:
    """Columns that a parquet table between two stages must have; `index` is the name of its index."""

    name: str
    written_by: str
    index: str | None = None
    columns: tuple[str, ...] = ()
    # Numbers that files of earlier versions lack: there they are read as NaN.
    later: tuple[str, ...] = ()
    numeric: bool = False
    # Types and unknown of a composition sum to 1; columns with SD_SUFFIX are their uncertainty, GATE stands apart.
    composition: bool = False
    # The column of encoded pictures of an Arrow IPC file: too large for a table, so that readers leave it out.
    pictures: str = ""


INGESTED = AnnDataContract(
    "ingested",
    "ingest_sample",
    obs=("in_tissue",),
    var=("gene_id",),
    obsm=("spatial",),
    uns=("spatial", "tissuemake"),
    counts="X",
)
FILTERED = AnnDataContract(
    "filtered",
    "filter_spots",
    obs=("in_tissue", "total_counts", "n_genes_by_counts"),
    var=("gene_id",),
    obsm=("spatial",),
    layers=("counts",),
    uns=("spatial", "tissuemake", "dropped"),
    counts="counts",
)
REFERENCE = AnnDataContract(
    "reference",
    "prepare_reference",
    obs=("cell_type", "donor"),
    var=("gene_id", "median_nonzero"),
    uns=("tissuemake",),
    counts="X",
)
IMPUTED = AnnDataContract(
    "imputed",
    "impute_genes",
    var=("held_out_r", "held_out_r_depth_adjusted"),
    uns=("tissuemake",),
)
EMBEDDINGS = AnnDataContract(
    "embeddings", "embed_tiles", obs=("kind", "x", "y", "size_um"), uns=("tissuemake",)
)
# `X` float32 (spots, width): what a model makes of a spot and those around it.
SPOT_EMBEDDINGS = AnnDataContract("spot_embeddings", "embed_sagefm", obsm=("spatial",), uns=("tissuemake",))
# Between and inside spots: a row per position, `X` log1p(CP10k), `spot` the barcode under which it lies or "".
HIGHRES = AnnDataContract(
    "highres",
    "predict_highres",
    obs=("x", "y", "spot", "step_um"),
    var=("gene_id",),
    obsm=("spatial",),
    uns=("tissuemake",),
)

PROPORTIONS = TableContract(
    "proportions", "deconvolve_spots", index="barcode", numeric=True, composition=True
)
# The genes that spoke for each cell type, best first (rank 1), as the model saw this sample.
ATTRIBUTIONS = TableContract(
    "attributions", "deconvolve_sparank", columns=("cell_type", "gene", "score", "rank")
)
SIGNATURES = TableContract("signatures", "prepare_reference", index="gene", numeric=True)
MARKERS = TableContract(
    "markers", "prepare_reference", columns=("cell_type", "gene", "log2_fold_change", "rank")
)
DOMAINS = TableContract("domains", "cluster_domains", index="barcode")
# NaN where a spot has no tile.
TUMOR = TableContract("tumor", "detect_tumor", index="barcode", columns=("probability",), numeric=True)
# `probability` is of the label that stands there.
ANNOTATION = TableContract("annotation", "annotate_spots", index="barcode", columns=("label", "probability"))
# A type, or unknown, for each cell or bin; `confidence` is of it. Also cell_type_, confidence_ and guess_METHOD.
CELL_TYPES = TableContract(
    "cell_types",
    "label_cells",
    index="barcode",
    columns=("cell_type", "confidence", "method", "cell_ontology_id", "cell_ontology_name"),
)
MORAN = TableContract("moran", "spatial_statistics", index="gene", columns=("I", "pval_norm_fdr"))
NEIGHBORHOOD = TableContract(
    "neighborhood_enrichment", "spatial_statistics", columns=("domain_a", "domain_b", "zscore", "count")
)
LIGAND_RECEPTOR = TableContract(
    "ligand_receptor", "spatial_statistics", columns=("ligand", "receptor", "score", "morans_i", "pvalue")
)
# A row per ligand and target; effects are changes of the target in its SDs.
PERTURBATION = TableContract(
    "perturbation",
    "perturb_spots",
    columns=(
        "ligand",
        "receptor",
        "target",
        "effect",
        "swapped_effect",
        "random_effect",
        "zscore",
        "pvalue",
        "pvalue_fdr",
        "direction",
        "network_effect",
        "network_swapped_effect",
    ),
)
TILES = TableContract(
    "tiles",
    "tile_slide",
    columns=("kind", "x", "y", "size_px", "size_um", "mpp", "tissue_fraction", "focus", "pen", "usable"),
    later=("fold",),
    index="tile",
    pictures="jpeg",
)
# Signed activity of each gene set in each spot: `measured` from expression, `quadflow` from the image.
PATHWAYS = TableContract("pathways", "score_pathways", index="barcode", numeric=True)
# What the training cohort says of each gene: the scale of all pathway scores.
PATHWAY_SCALING = TableContract(
    "pathway_scaling",
    "fit_pathway_scaling",
    index="gene",
    columns=("gene_id", "spots", "share", "published_mean", "published_sd", "residuals_mean", "residuals_sd"),
)
# Means of a pathway by signed distance from a border; negative is inside.
PATHWAY_BORDER = TableContract(
    "pathway_border",
    "measure_border",
    columns=("pathway", "from_um", "to_um", "distance_um", "mean", "low", "high", "spots"),
)
# `kind` pathway: `pathway` listens to `other`; patch: it reads the patch `other`; signature: it is highest there.
PATHWAY_ATTENTION = TableContract(
    "pathway_attention", "predict_pathways", columns=("kind", "pathway", "other", "weight", "rank")
)
EVALUATION = TableContract(
    "evaluation",
    "evaluate_sample",
    columns=("sample", "task", "method", "metric", "value", "seconds", "peak_memory_mb"),
)
SD_SUFFIX = "_sd"
# Share of a spot that no type of the reference explains; a part of its composition.
UNKNOWN = "unknown"
# How far a model leaned on counts alone (1) rather than on the image; NaN where a spot has no image.
GATE = "gate"


def read_anndata(path: str | Path, contract: AnnDataContract) -> ad.AnnData:
    """Read an ``.h5ad`` and check it against `contract`."""
    path = Path(path)
    try:
        adata = ad.read_h5ad(path)
    except (OSError, KeyError, ValueError) as error:
        raise _unreadable(path, contract, error) from error
    check_anndata(adata, contract, path)
    return adata


def read_annotations(path: str | Path, contract: AnnDataContract) -> ad.AnnData:
    """Read ``obs``, ``obsm["spatial"]`` and ``uns`` of an ``.h5ad``: counts may be the largest part by far."""
    try:
        with h5py.File(path) as file:
            return ad.AnnData(
                obs=ad.io.read_elem(file["obs"]),
                obsm={"spatial": ad.io.read_elem(file["obsm/spatial"])},
                uns=ad.io.read_elem(file["uns"]),
            )
    except (OSError, KeyError, ValueError) as error:
        raise _unreadable(Path(path), contract, error) from error


def _unreadable(path: Path, contract: AnnDataContract, error: Exception) -> InputError:
    return InputError(
        "unreadable_h5ad",
        f"{path} is not a readable h5ad file ({error}).",
        f"Delete it and run again; {contract.written_by} writes it.",
    )


def write_anndata(adata: ad.AnnData, path: str | Path, contract: AnnDataContract) -> None:
    """Check `adata` against `contract` and write it, whole or not at all."""
    check_anndata(adata, contract, path)
    with atomic(path) as partial:
        adata.write_h5ad(partial, compression="gzip", compression_opts=1)


def check_anndata(adata: ad.AnnData, contract: AnnDataContract, path: str | Path) -> None:
    """Raise `InputError` ``broken_contract`` when a field is missing or counts are not counts."""
    for part in ("obs", "var", "obsm", "layers", "uns"):
        missing = [key for key in getattr(contract, part) if key not in getattr(adata, part)]
        if missing:
            raise _broken(path, contract, f"{part} lacks {', '.join(missing)}")
    if not adata.var_names.is_unique or not adata.obs_names.is_unique:
        raise _broken(path, contract, "obs_names or var_names are not unique")
    if contract.counts:
        counts = adata.X if contract.counts == "X" else adata.layers[contract.counts]
        if not sp.issparse(counts) or counts.format != "csr":
            raise _broken(path, contract, f"{contract.counts} is not a CSR matrix")
        if not is_integer_counts(counts.data):
            raise _broken(path, contract, f"{contract.counts} holds values that are not counts")


def is_integer_counts(values: np.ndarray) -> bool:
    """Whether all `values` are finite, non-negative and whole."""
    values = np.asarray(values)
    if values.size == 0 or np.issubdtype(values.dtype, np.unsignedinteger):
        return True
    return bool(np.isfinite(values).all() and values.min() >= 0 and (values == np.rint(values)).all())


def read_table(path: str | Path, contract: TableContract) -> pd.DataFrame:
    """Read a table and check it against `contract`; provenance is in ``.attrs["tissuemake"]``.

    Tables are parquet; one with pictures is Arrow IPC, and comes without them and without provenance.
    """
    path = Path(path)
    try:
        frame = _read_beside_pictures(path, contract) if contract.pictures else pd.read_parquet(path)
    except (OSError, ValueError) as error:  # Arrow's own errors are ValueErrors
        raise InputError(
            "unreadable_table",
            f"{path} is not a readable {'Arrow' if contract.pictures else 'parquet'} file ({error}).",
            f"Delete it and run again; {contract.written_by} writes it.",
        ) from error
    check_table(frame, contract, path)
    return frame.assign(**{name: np.nan for name in contract.later if name not in frame})


def _read_beside_pictures(path: Path, contract: TableContract) -> pd.DataFrame:
    with pa.memory_map(str(path)) as source:
        names = pa.ipc.open_file(source).schema.names
        fields = [i for i, name in enumerate(names) if name != contract.pictures]
        options = pa.ipc.IpcReadOptions(included_fields=fields)
        frame = pa.ipc.open_file(source, options=options).read_pandas()
    return frame.set_index(contract.index) if contract.index in frame else frame


def write_table(
    frame: pd.DataFrame, path: str | Path, contract: TableContract, provenance: dict | None = None
) -> None:
    """Check `frame` against `contract` and write it as parquet, whole or not at all."""
    if contract.index is not None:
        frame = frame.rename_axis(index=contract.index)
    check_table(frame, contract, path)
    frame.attrs = {"tissuemake": provenance or {}}
    with atomic(path) as partial:
        frame.to_parquet(partial)


def check_table(frame: pd.DataFrame, contract: TableContract, path: str | Path) -> None:
    """Raise `InputError` ``broken_contract`` when a column is missing or numbers are not what they claim."""
    missing = [column for column in contract.columns if column not in frame.columns]
    if missing:
        raise _broken(path, contract, f"columns {', '.join(missing)} are missing")
    if contract.index is not None and not frame.index.is_unique:
        raise _broken(path, contract, f"index {contract.index} is not unique")
    if contract.numeric and not all(pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes):
        raise _broken(path, contract, "a column is not numeric")
    if contract.composition and len(frame):
        _check_composition(frame, contract, path)


def _check_composition(frame: pd.DataFrame, contract: TableContract, path: str | Path) -> None:
    types = type_columns(frame)
    shares = frame[types].to_numpy()
    if not np.isfinite(shares).all() or shares.min() < 0 or np.abs(shares.sum(1) - 1).max() > 1e-4:
        raise _broken(path, contract, "rows do not sum to 1")
    if GATE in frame and not frame[GATE].dropna().between(0, 1).all():
        raise _broken(path, contract, f"{GATE} is not between 0 and 1")
    spread = frame[[name for name in frame.columns if name not in types and name != GATE]].to_numpy()
    if (spread < 0).any():
        raise _broken(path, contract, f"a column {SD_SUFFIX} is negative")


def type_columns(proportions: pd.DataFrame) -> list[str]:
    """Names of the columns of a proportions table that sum to 1: cell types and, if there, ``unknown``.

    Their ``_sd`` companions and ``gate`` are not among them.
    """
    names = set(proportions.columns)
    return [
        name
        for name in proportions.columns
        if name != GATE and not (name.endswith(SD_SUFFIX) and name.removesuffix(SD_SUFFIX) in names)
    ]


def known_shares(proportions: pd.DataFrame) -> pd.DataFrame:
    """Shares of the cell types among what the reference knows: without ``unknown``, rows sum to 1 again.

    A spot that is unknown altogether gets equal shares, the answer that claims nothing.
    """
    shares = proportions[[name for name in type_columns(proportions) if name != UNKNOWN]]
    if UNKNOWN not in proportions:
        return shares
    total = shares.sum(axis=1)
    return shares.div(total.where(total > 0), axis=0).fillna(1 / max(shares.shape[1], 1))


def _broken(path: str | Path, contract: AnnDataContract | TableContract, what: str) -> InputError:
    return InputError(
        "broken_contract",
        f"{path} breaks the contract '{contract.name}': {what}.",
        f"The stage {contract.written_by} should have written it; run that again with this version.",
    )
