"""Predict genes, and score the prediction on hidden ones."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.imputation import impute

    files = {
        name: Path(str(snakemake.input.get(name))) if snakemake.input.get(name) else None
        for name in ("reference", "signatures", "proportions")
    }
    impute(
        snakemake.params.method,
        Path(snakemake.input.filtered),
        **files,
        output=Path(snakemake.output.imputed),
        seed=snakemake.params.seed,
        held_out_genes=snakemake.params.held_out_genes,
        aliases=snakemake.params.get("aliases") or None,
    )
