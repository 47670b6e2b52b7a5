"""Find tissue domains."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.domains.cluster import cluster_domains

    cluster_domains(
        Path(snakemake.input.filtered),
        Path(snakemake.output.domains),
        resolution=snakemake.params.resolution,
        domains=snakemake.params.domains,
        seed=snakemake.params.seed,
        embeddings={Path(path).stem: Path(path) for path in snakemake.input.embeddings},
        spot_embeddings={Path(path).stem: Path(path) for path in snakemake.input.spot_embeddings},
    )
