"""Pathways from H&E and from expression beside every baseline: `python tests/benchmarks/pathways.py`.

Prints one table and writes every number, with seconds and peak memory, to results/evaluation/pathways.parquet;
--write puts the table into PATHWAYS.md. What is done is kept in --work: a run that was cut goes on where it stopped.
Delete a file in ``scores`` of the preset's folder to ask again; a folder in ``models`` and in ``answers`` (and the
.json beside each) to train again.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import kept_run

SCRIPT = kept_run.Script("pathways", page="PATHWAYS.md", work="pathways")
MODULES = {
    "pathways from H&E": "benchmarks.pathways_her2st",
    "genes": "benchmarks.pathways_genes",
    "planted programmes": "benchmarks.pathways_simulated",
    "ablations": "benchmarks.pathways_her2st",
    "scale": "benchmarks.pathways_scale",
}


def main() -> None:
    """Run, print, write."""
    parser = kept_run.command_line(SCRIPT, __doc__)
    parser.add_argument("--kept", action="store_true", help="show what was measured before, measure nothing")
    given = kept_run.parse(parser)
    from benchmarks.kept_tables import start_log
    from benchmarks.pathways_table import overview, render, summary

    start_log()
    tests = kept_run.chosen_tests(given, tuple(MODULES))
    seeds, only = kept_run.chosen_seeds(given), kept_run.chosen_methods(given)
    bench = kept_run.Bench(given.data, given.work, given.preset, given.steps)
    if given.jobs > 1 and not given.kept:
        kept_run.run_in_processes(bench, MODULES, tests, seeds, only, given.jobs)
    rows = kept_run.run(bench, MODULES, tests, seeds, only, measure=not given.kept)
    if rows.empty:
        sys.exit("nothing to show: no such method in these tests, or nothing was measured yet")
    output = kept_run.output_of(SCRIPT, given, bench.own)
    table = summary(kept_run.write_scores(rows, output, SCRIPT))
    kept_run.show(f"{overview(table)}\n\n{render(table)}", given, SCRIPT)


if __name__ == "__main__":
    main()
