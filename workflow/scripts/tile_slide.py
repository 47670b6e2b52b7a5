"""Cut H&E tiles of a fixed physical size."""

from pathlib import Path

from tissuemake.logs import logged

with logged(snakemake.log[0]):
    from tissuemake.histology.tiles import tile_slide

    tile_slide(
        Path(snakemake.input.ingested),
        Path(snakemake.output.tiles),
        tile_um=snakemake.params.size_um,
        tile_px=snakemake.params.size_px,
        grid=snakemake.params.grid,
        overlap=snakemake.params.overlap,
        stain_normalization=snakemake.params.stain_normalization,
        processes=snakemake.threads,
    )
