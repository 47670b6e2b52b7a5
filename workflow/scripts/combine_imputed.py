"""Take each gene from the method that is better at it in this sample."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.imputation.combined import combine_imputed

    combine_imputed(
        {Path(path).stem: Path(path) for path in snakemake.input.imputed},
        Path(snakemake.output.imputed),
    )
