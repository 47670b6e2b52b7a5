"""Read a vendor folder into one AnnData."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.ingest import ingest_sample
    from tissuemake.sheets import Sample

    ingest_sample(Sample(**snakemake.params.row), Path(snakemake.output.ingested))
