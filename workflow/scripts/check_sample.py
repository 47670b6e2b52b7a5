"""Judge a sample before work is spent on it."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.quality.check import check_sample
    from tissuemake.sheets import Reference, Sample

    reference, orthologs = snakemake.params.reference, snakemake.params.orthologs
    aliases = snakemake.params.aliases
    tables = (*snakemake.input.orthologs, *snakemake.input.aliases)
    sources = [Path(path) for path in (*snakemake.input.sources, *tables)]
    check_sample(
        Sample(**snakemake.params.row),
        Path(snakemake.output.check),
        reference=Reference(**reference) if reference else None,
        reference_check=Path(snakemake.input.reference_check) if reference else None,
        receipts=[path for path in sources if path.suffix == ".json"],
        organism=snakemake.params.organism,
        orthologs=Path(orthologs) if orthologs else None,
        aliases=Path(aliases) if aliases else None,
        min_counts=snakemake.params.min_counts,
    )
