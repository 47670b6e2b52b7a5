"""Score a sample against truth, labels or hidden genes, beside baselines."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.evaluation.protocols import evaluate_sample

    row = snakemake.params.row
    evaluate_sample(
        row["sample"],
        Path(snakemake.input.filtered),
        proportions={Path(path).stem: Path(path) for path in snakemake.input.proportions},
        imputed={Path(path).stem: Path(path) for path in snakemake.input.imputed},
        domains=Path(snakemake.input.domains),
        signatures=Path(str(snakemake.input.signatures)) if snakemake.input.signatures else None,
        truth=row["truth"],
        labels=row["labels"],
        source_path=row["path"],
        output=Path(snakemake.output.evaluation),
        seed=snakemake.params.seed,
        tumor={Path(path).stem: Path(path) for path in snakemake.input.tumor},
        tumor_labels=snakemake.params.tumor_labels,
        ignored_labels=snakemake.params.ignored_labels,
        cell_types=next(map(Path, snakemake.input.cell_types), None),
        annotation={Path(path).stem: Path(path) for path in snakemake.input.annotation},
        pathways={Path(path).stem: Path(path) for path in snakemake.input.pathways},
    )
