"""Score all methods on spots made of a sample's cells."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.evaluation.pseudo_spot_scores import score_pseudo_spots

    answers = {}
    for path in map(Path, snakemake.input.proportions):
        answers.setdefault(path.parent.name, {})[path.stem] = path
    score_pseudo_spots(
        snakemake.wildcards.sample,
        answers,
        {Path(path).parent.name: Path(path) for path in snakemake.input.truths},
        Path(snakemake.output.scores),
        reference=Path(str(snakemake.input.reference)) if snakemake.input.reference else None,
        labelled=not snakemake.params.row["truth"],
        seed=snakemake.params.seed,
    )
