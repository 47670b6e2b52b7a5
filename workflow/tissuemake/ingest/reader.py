"""The public face of ingest: a row of the sheet becomes a reader, or an ``ingested.h5ad``."""

from importlib import import_module
from pathlib import Path

from tissuemake.contracts import INGESTED, write_anndata
from tissuemake.errors import InputError
from tissuemake.ingest.base import Reader
from tissuemake.sheets import Sample
from tissuemake.sources import unset_variables

# Module and class by assay; a module is imported when its assay is asked for, because each pulls its own
# libraries and a job reads one platform.
READERS = {
    "visium": ("visium", "VisiumReader"),
    "visium_hd": ("visium_hd", "VisiumHDReader"),
    "xenium": ("xenium", "XeniumReader"),
    "st": ("spatial_transcriptomics", "SpatialTranscriptomicsReader"),
    "h5ad": ("anndata_files", "H5adReader"),
    "spatialdata": ("spatialdata_files", "SpatialDataReader"),
}


def open_reader(row: Sample) -> Reader:
    """Return the reader of the row's platform, with version and layout detected.

    Only names and small metadata are looked at, so this takes milliseconds.

    Parameters
    ----------
    row
        A row of ``samples.tsv`` whose paths lie on this machine (``row.located()``).

    Raises
    ------
    InputError
        ``missing_path``, ``missing_matrix``, ``missing_positions``, ``several_sections``, ``unknown_layout``…
    """
    if row.assay not in READERS:
        raise InputError(
            "unknown_assay",
            f"Sample '{row.sample}': assay '{row.assay}' is unknown.",
            f"Known: {', '.join(READERS)}.",
        )
    for column in ("path", "spots", "image", "alignment"):
        value = getattr(row, column)
        if value and not Path(value).exists():
            raise InputError(
                "missing_path",
                f"Sample '{row.sample}': {column} '{value}' does not exist.",
                f"{unset_variables(value)}Correct the column {column} of the sheet; relative paths start at "
                "the run folder.",
            )
    module, name = READERS[row.assay]
    return getattr(import_module(f"tissuemake.ingest.{module}"), name)(row)


def ingest_sample(row: Sample, output: str | Path) -> None:
    """Read the sample of `row` and write ``ingested.h5ad`` (contract INGESTED), whole or not at all."""
    write_anndata(open_reader(row).read(), output, INGESTED)
