"""Make a tissue with known truth."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.simulate.vendor_folders import simulate_tissue

    simulate_tissue(
        Path(snakemake.output.truth).parent,
        seed=snakemake.params.seed,
        spots=snakemake.params.spots,
        zones=snakemake.wildcards.zones,
        programmes=snakemake.params.programmes,
    )
