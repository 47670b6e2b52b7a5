"""What can be read off H&E? Every encoder and head beside every baseline: `python tests/benchmarks/histology.py`.

Prints one table and writes every number to results/evaluation/histology.parquet; --write puts the table into
HISTOLOGY.md. What is done is kept in --work: a run that was cut goes on where it stopped. Sections and features of
colour lie there directly, what has a network in it in a folder named as the preset. Delete a folder there to run its
part again (``scores``: all scores; ``embeddings``, ``pretrained``, ``fine_tuned``).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import kept_run

SCRIPT = kept_run.Script("histology", page="HISTOLOGY.md", work="histology")


def main() -> None:
    """Run, print, write."""
    given = kept_run.parse(kept_run.command_line(SCRIPT, __doc__, separator=","))
    from benchmarks.histology_encoders import Bench
    from benchmarks.histology_gains import gains, render_gains
    from benchmarks.histology_run import TESTS, run, run_in_processes
    from benchmarks.histology_table import render, summary
    from benchmarks.kept_tables import start_log

    start_log()
    tests, seeds, only = (
        kept_run.chosen_tests(given, TESTS),
        kept_run.chosen_seeds(given),
        kept_run.chosen_methods(given),
    )
    bench = Bench(given.data, given.work, given.preset, steps=given.steps)
    if given.jobs > 1:
        run_in_processes(bench, tests, seeds, only, seeds[0], given.jobs)
    rows = run(bench, tests, seeds, only, seeds[0])
    rows = kept_run.write_scores(rows, kept_run.output_of(SCRIPT, given, bench.own), SCRIPT)
    kept_run.show(f"{render(summary(rows))}\n\n{render_gains(gains(rows))}", given, SCRIPT)


if __name__ == "__main__":
    main()
