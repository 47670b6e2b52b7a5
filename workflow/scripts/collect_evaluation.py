"""One table of scores per task."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.evaluation.protocols import collect_evaluation

    collect_evaluation(
        [Path(path) for path in snakemake.input.tables],
        {task: Path(path) for task, path in snakemake.output.items()},
    )
