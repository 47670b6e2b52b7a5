"""What is measured of large inputs, each in a process of its own: our steps, spatialdata-io's reader, scanpy's.

As a script: ``python ingest_tasks.py TASK INPUT OUTPUT``.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

MATRIX = "cell_feature_matrix.h5"


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock and of the processors, peak memory in MB, of a whole process with its imports."""

    seconds: float
    cpu_seconds: float
    megabytes: float


def measured(task: str, source: Path, output: Path) -> Cost:
    """Run `task` on `source` in a new process, and remove what it wrote."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    command = [sys.executable, __file__, task, str(source), str(output)]
    started = time.perf_counter()
    # The kernel's own maximum of a child begins at what its parent held: the task says what it held itself.
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        told = process.stdout.read().split()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        said = errors.read()
    seconds = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{task} of {source} left with {process.returncode}: {said[-2000:]}")
    shutil.rmtree(output, ignore_errors=True)
    cpu = used.ru_utime + used.ru_stime
    return Cost(round(seconds, 1), round(cpu, 1), int(told[-1]) // 1024)


def row(source: Path, assay: str, **cells: str):
    """A row of the sheet for `source`."""
    from tissuemake.sheets import Sample

    return Sample(sample="large", assay=assay, path=str(source), organism="human", **cells)


def ingest_xenium(source: Path, output: Path) -> None:
    from tissuemake.ingest import ingest_sample

    ingest_sample(row(source, "xenium"), output / "ingested.h5ad")


def ingest_transcripts(source: Path, output: Path) -> None:
    """The bundle without its matrix: every transcript is counted."""
    bundle = output / "bundle"
    bundle.mkdir()
    for path in source.iterdir():
        if path.name != MATRIX:
            (bundle / path.name).symlink_to(path.resolve())
    ingest_xenium(bundle, output)


def check_xenium(source: Path, output: Path) -> None:
    _check(row(source, "xenium"), output)


def check_hd_2um(source: Path, output: Path) -> None:
    _check(row(source, "visium_hd", bin_um="2"), output)


def check_hd_8um(source: Path, output: Path) -> None:
    _check(row(source, "visium_hd", bin_um="8"), output)


def _check(sample, output: Path) -> None:
    import json

    from tissuemake.quality.check import check_sample

    check_sample(sample, output / "check.json")
    verdict = json.loads((output / "check.json").read_text())
    if verdict["status"] == "fail":
        raise SystemExit(str(verdict["findings"]))


def ingest_hd_2um(source: Path, output: Path) -> None:
    from tissuemake.ingest import ingest_sample

    ingest_sample(row(source, "visium_hd", bin_um="2"), output / "ingested.h5ad")


def spatialdata_io(source: Path, output: Path) -> None:
    """Everything but rasters and pictures, written as the store that analyses start from."""
    from spatialdata_io import xenium

    told = dict.fromkeys(("cells_labels", "nucleus_labels", "morphology_mip", "morphology_focus"), False)
    xenium(source, aligned_images=False, **told).write(output / "whole.zarr")


def spatialdata_io_table(source: Path, output: Path) -> None:
    """Cells and counts alone, which is what we read."""
    from spatialdata_io import xenium

    told = dict.fromkeys(("cells_labels", "nucleus_labels", "morphology_mip", "morphology_focus"), False)
    told |= dict.fromkeys(("cells_boundaries", "nucleus_boundaries", "transcripts", "aligned_images"), False)
    xenium(source, **told).write(output / "table.zarr")


def scanpy_matrix(source: Path, output: Path) -> None:
    """The matrix file alone, and the h5ad of it."""
    import scanpy

    adata = scanpy.read_10x_h5(source / MATRIX)
    adata.var_names_make_unique()
    adata.write_h5ad(output / "matrix.h5ad")


def scanpy_hd_2um(source: Path, output: Path) -> None:
    """The matrix file alone, read and not written."""
    import scanpy

    scanpy.read_10x_h5(source / "binned_outputs/square_002um/filtered_feature_bc_matrix.h5")


def tissue_mask(source: Path, output: Path) -> None:
    """The mask on which tiles are laid."""
    from tissuemake.histology.slide import open_slide
    from tissuemake.histology.tile_plan import THUMBNAIL
    from tissuemake.histology.tissue import tissue_mask as mask

    with open_slide(source) as slide:
        mask(slide.thumbnail(THUMBNAIL)[0])


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    globals()[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
    status = Path("/proc/self/status").read_text()
    print(status.partition("VmHWM:")[2].split()[0])
