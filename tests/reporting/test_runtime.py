"""What steps cost: benchmarks as Snakemake writes them, of this run's samples only."""

import json
import math

from tissuemake.reporting.runtime import by_stage, costs, read_benchmarks

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def write(folder, name, seconds, memory="100.0"):
    path = folder / f"{name}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEADER}{seconds}\t0:00:01\t{memory}\t1\t1\t1\t0\t0\t80\t1\n")


def test_jobs_are_told_by_where_their_benchmark_lies(tmp_path):
    for name in (
        "samples/a/imputed/sagefm",
        "samples/gone/check",
        "delivery/a",
        "references/atlas/check",
        "models/sagefm",
    ):
        write(tmp_path, name, 2)
    found = {(job.stage, job.sample) for job in read_benchmarks(tmp_path, {"a"})}
    assert found == {
        ("imputed/sagefm", "a"), ("delivery", "a"), ("reference: check", ""), ("model: sagefm", ""),
    }  # fmt: skip


def test_a_run_without_benchmarks_has_no_cost(tmp_path):
    assert read_benchmarks(tmp_path / "none", {"a"}) == []
    assert costs([])["stages"] == [] and costs([])["spent"] == {}


def test_stages_are_summed_and_the_dearest_stands_first(tmp_path):
    for i, (seconds, memory) in enumerate(((1, "50"), (3, "NA"), (8, "900"))):
        write(tmp_path, f"samples/s{i}/domains", seconds, memory)
    write(tmp_path, "samples/s0/check", 0.5, "-")
    first, second = by_stage(read_benchmarks(tmp_path, {"s0", "s1", "s2"}))
    assert (first["stage"], first["jobs"], first["median"], first["longest"], first["sum"]) == (
        "domains",
        3,
        3,
        8,
        12,
    )
    assert first["longest_sample"] == "s2" and first["share"] == 12 / 12.5
    assert (first["memory"], first["most_memory"]) == (475, 900)
    assert math.isnan(second["most_memory"])


def test_a_damaged_benchmark_says_nothing(tmp_path):
    write(tmp_path, "samples/a/check", 1)
    for name, text in (("empty", ""), ("cut", HEADER + "1.0\t0:00"), ("words", "s\tmax_rss\nx\ty\n")):
        (tmp_path / "samples" / "a" / f"{name}.tsv").write_text(text)
    (tmp_path / "samples" / "a" / "bytes.tsv").write_bytes(b"\xff\xfe")
    assert [job.stage for job in read_benchmarks(tmp_path, {"a"})] == ["check"]


def test_a_sample_has_its_sum_its_peak_and_its_steps(tmp_path):
    write(tmp_path, "samples/a/check", 1, "NA")
    write(tmp_path, "samples/a/domains", 4, "300")
    found = costs(read_benchmarks(tmp_path, {"a"}))
    assert found["spent"] == {"a": {"seconds": 5.0, "memory": 300.0}}
    # NaN is no JSON: a page that held it would show no steps at all.
    assert json.loads(found["steps"]) == {
        "stages": ["domains", "check"], "samples": {"a": [[0, 4.0, 300.0], [1, 1.0, None]]},
    }  # fmt: skip
