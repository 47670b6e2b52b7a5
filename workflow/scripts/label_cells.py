"""Give every cell or bin one type, or unknown."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.cell_types.label import label_cells

    label_cells(
        Path(snakemake.input.filtered),
        Path(snakemake.output.cell_types),
        methods=snakemake.params.methods,
        reference=Path(str(snakemake.input.reference)) if snakemake.input.reference else None,
        proportions={Path(path).stem: Path(path) for path in snakemake.input.proportions},
        sure=snakemake.params.sure,
        aliases=snakemake.params.aliases or None,
        seed=snakemake.params.seed,
    )
