"""Judge a single-cell reference before work is spent on it."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.quality.check_reference import check_reference
    from tissuemake.sheets import Reference

    sources = [Path(path) for path in (*snakemake.input.source, *snakemake.input.labels)]
    check_reference(
        Reference(**snakemake.params.row),
        Path(snakemake.output.check),
        receipts=[path for path in sources if path.suffix == ".json"],
        min_cells=snakemake.params.min_cells,
    )
