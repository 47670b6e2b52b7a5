"""Make spots of known composition of a sample's cells."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.evaluation.pseudo_spots import make_pseudo_spots

    make_pseudo_spots(
        Path(snakemake.input.filtered),
        Path(snakemake.output.spots),
        Path(snakemake.output.truth),
        truth=snakemake.params.row["truth"],
        cell_types=next(map(Path, snakemake.input.cell_types), None),
        lattice=snakemake.wildcards.lattice,
        panel=int(snakemake.wildcards.percent) / 100,
        seed=snakemake.params.seed,
    )
