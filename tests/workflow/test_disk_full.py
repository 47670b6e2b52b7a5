"""A full disk stops a job with a message that names the file; with room again the run completes."""

import pytest

from run_folder import ROOT, make_run_folder, share_tissue, snakemake
from small_disk import small_disk

pytestmark = pytest.mark.workflow
ROOMY = 400_000  # kB


@pytest.fixture
def disk(tmp_path):
    """A run folder whose results lie on a file system of their own, and a way to change its size."""
    with small_disk(tmp_path / "run" / "results", ROOMY) as resize:
        if resize is None:
            pytest.skip("mounting a small file system needs root")
        yield tmp_path / "run", resize


def test_full_disk_is_named_and_nothing_is_lost(disk, demo):
    folder, resize = disk
    header, row = (ROOT / "config" / "samples.tsv").read_text().splitlines()[:2]
    (folder / "elsewhere").mkdir()
    make_run_folder(folder / "elsewhere", samples=f"{header}\n{row}\n")
    (folder / "elsewhere" / "config").rename(folder / "config")
    share_tissue(demo, folder)
    used = sum(path.stat().st_size for path in (folder / "results").rglob("*") if path.is_file())
    resize(used // 1024 + 2048)

    full = snakemake(folder)
    said = full.stdout + full.stderr
    assert full.returncode != 0
    assert "No space left on the device while writing" in said and "REMEDY Free space" in said
    assert not list((folder / "results" / "samples").rglob("*partial*"))

    resize(ROOMY)
    done = snakemake(folder)
    assert done.returncode == 0, done.stderr[-4000:]
    assert (folder / "results" / "delivery" / "demo-visium" / "manifest.json").is_file()
