"""A sample that fails after its check leaves a page that says why; mended, the next run completes."""

from dataclasses import fields

import pytest

from broken_folders import SAMPLE, visium
from run_folder import make_run_folder, snakemake
from tissuemake.sheets import Sample

pytestmark = pytest.mark.workflow


def test_late_failure_is_a_red_row_until_it_is_mended(tmp_path):
    columns = [column.name for column in fields(Sample)]
    row = visium(tmp_path / "data")
    sheet = "\t".join(columns) + "\n" + "\t".join(row.get(name, "") for name in columns) + "\n"
    run = make_run_folder(tmp_path / "run", sheet, "reference\tpath\tlabel_key\torganism\n")
    config = run / "config" / "config.yaml"
    before = config.read_text()
    config.write_text(before + "filter: {min_genes: 100000}\n")

    failed = snakemake(run)
    page = run / "results" / "report" / "unfinished.html"
    assert failed.returncode != 0
    assert "results/report/unfinished.html" in failed.stdout + failed.stderr
    assert SAMPLE in page.read_text() and "min_genes" in page.read_text()
    assert not (run / "results" / "report" / "index.html").exists()

    config.write_text(before)
    done = snakemake(run)
    assert done.returncode == 0, done.stderr[-4000:]
    assert (run / "results" / "report" / "index.html").is_file() and not page.exists()
