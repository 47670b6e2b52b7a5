"""A full disk stops a job with a message that names the file; with room again the run completes."""

import os
import subprocess

import pytest

from run_folder import ROOT, make_run_folder, share_tissue, snakemake

pytestmark = pytest.mark.workflow


@pytest.fixture
def small_disk(tmp_path):
    """A run folder whose results lie on a file system of their own, and a way to change its size."""
    folder = tmp_path / "run"
    (folder / "results").mkdir(parents=True)

    def resize(megabytes: int, *more: str) -> int:
        options = ",".join((*more, f"size={megabytes}m"))
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder / "results")]
        return subprocess.run(command, capture_output=True, check=False).returncode

    if os.geteuid() != 0 or resize(400):
        pytest.skip("mounting a small file system needs root")
    yield folder, resize
    subprocess.run(["umount", str(folder / "results")], check=False)


def test_full_disk_is_named_and_nothing_is_lost(small_disk, demo):
    folder, resize = small_disk
    header, row = (ROOT / "config" / "samples.tsv").read_text().splitlines()[:2]
    (folder / "elsewhere").mkdir()
    make_run_folder(folder / "elsewhere", samples=f"{header}\n{row}\n")
    (folder / "elsewhere" / "config").rename(folder / "config")
    share_tissue(demo, folder)
    used = sum(path.stat().st_size for path in (folder / "results").rglob("*") if path.is_file())
    assert resize(used // 2**20 + 2, "remount") == 0

    full = snakemake(folder)
    said = full.stdout + full.stderr
    assert full.returncode != 0
    assert "No space left on the device while writing" in said and "REMEDY Free space" in said
    assert not list((folder / "results" / "samples").rglob("*partial*"))

    assert resize(400, "remount") == 0
    done = snakemake(folder)
    assert done.returncode == 0, done.stderr[-4000:]
    assert (folder / "results" / "delivery" / "demo-visium" / "manifest.json").is_file()
