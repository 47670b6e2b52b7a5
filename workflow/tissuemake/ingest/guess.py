"""Which assay wrote a folder, from the names in it."""

from pathlib import Path

from tissuemake.errors import InputError

# The first pattern that matches anywhere in the upper two levels decides.
PATTERNS = (
    ("xenium", ("experiment.xenium", "cell_feature_matrix.h5", "transcripts.parquet")),
    ("visium_hd", ("binned_outputs", "square_0??um", "segmented_outputs")),
    ("visium", ("*tissue_positions*", "spatial", "*feature_bc_matrix*")),
)


def guess_assay(path: str | Path) -> str:
    """Return the assay for a vendor folder or file.

    Raises
    ------
    InputError
        ``unknown_layout`` when nothing in it is known.
    """
    path = Path(path)
    if path.name.endswith((".zarr", ".zarr.zip")):
        return "spatialdata"
    if path.suffix == ".h5ad":
        return "h5ad"
    if path.name.endswith((".tsv", ".tsv.gz", ".csv", ".csv.gz")):
        return "st"
    for assay, patterns in PATTERNS:
        if any(next(path.glob(up + pattern), None) for pattern in patterns for up in ("", "*/")):
            return assay
    raise InputError(
        "unknown_layout",
        f"{path} looks like no vendor folder that tissuemake knows.",
        "Name the assay with --assay, or point to the folder that holds the matrix.",
    )
