"""Does the spatial graph model use space? SAGE-FM beside every baseline: `python tests/benchmarks/spatial_graph.py`.

Prints one table and writes every number, with seconds and peak memory, to results/evaluation/spatial_graph.parquet;
--write puts the table into SPATIAL.md. What is done is kept in --work: a run that was cut goes on where it stopped.
Delete a file in ``scores`` there to ask again, a folder in ``models`` (and the .json beside it) to train again.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import kept_run

SCRIPT = kept_run.Script("spatial_graph", page="SPATIAL.md", work="spatial")


def main() -> None:
    """Run, print, write."""
    parser = kept_run.command_line(SCRIPT, __doc__)
    parser.add_argument("--kept", action="store_true", help="show what was measured before, measure nothing")
    given = kept_run.parse(parser)
    from benchmarks.kept_tables import start_log
    from benchmarks.spatial_run import MODULES, TESTS, run
    from benchmarks.spatial_table import overview, render, summary

    start_log()
    tests, seeds, only = (
        kept_run.chosen_tests(given, TESTS),
        kept_run.chosen_seeds(given),
        kept_run.chosen_methods(given),
    )
    bench = kept_run.Bench(given.data, given.work, given.preset, given.steps)
    if given.jobs > 1 and not given.kept:
        kept_run.run_in_processes(bench, MODULES, tests, seeds, only, given.jobs)
    rows = run(bench, tests, seeds, only, measure=not given.kept)
    if rows.empty:
        sys.exit("nothing to show: no such method in these tests, or nothing was measured yet")
    output = kept_run.output_of(SCRIPT, given, bench.own)
    table = summary(kept_run.write_scores(rows, output, SCRIPT))
    kept_run.show(f"{overview(table)}\n\n{render(table)}", given, SCRIPT)


if __name__ == "__main__":
    main()
