"""Simulated Visium sections of the image benchmarks: no more of a tissue is written than is asked about."""

from pathlib import Path

import pandas as pd

from tissuemake.histology.tiles import tile_slide
from tissuemake.ingest import ingest_sample
from tissuemake.quality.filter import filter_spots
from tissuemake.sheets import Sample
from tissuemake.simulate.staining import render
from tissuemake.simulate.truth import write_programmes, write_spot_truth
from tissuemake.simulate.vendor_folders import cell_table, simulate_cells
from tissuemake.simulate.visium import SPOT_UM, capture_spots, write_visium

# Standard deviation of the natural-log efficiency of genes.
GENE_SHIFT = 0.6


def write_section(
    folder: Path,
    name: str,
    *,
    seed: int,
    spots: int,
    zones: str,
    mpp: float = 0.5,
    grid: bool = True,
    overlap: float = 0.0,
    programmes: int = 0,
) -> None:
    """Write the sample `name` as the workflow prepares it, and its truth, into `folder`.

    Parameters
    ----------
    folder
        Gets ``filtered.h5ad``, ``tiles.arrow``, and of the truth ``zones.tsv`` (label by barcode) and ``cells.h5ad``
        (molecules of every cell, before the platform caught any); with planted `programmes` also ``programmes.gmt``,
        ``programmes.tsv``, ``visium_programmes.tsv`` (activity by barcode) and ``visium_border.tsv``.
    mpp
        µm per pixel of the slide.
    grid, overlap
        Of the tiles.
    """
    section, cells = simulate_cells(seed=seed, spots=spots, zones=zones, programmes=programmes)
    table = cell_table(cells)
    capture = capture_spots(section, table, cells.X, seed, GENE_SHIFT)
    write_visium(folder / "visium", capture, cells.var, render(section, table, seed, mpp), mpp)
    cells.write_h5ad(folder / "cells.h5ad", compression="gzip", compression_opts=1)
    if programmes:
        planted = cells.uns["programmes"]
        write_programmes(folder, planted)
        write_spot_truth(folder, "visium", section, capture, list(planted["programme"]), SPOT_UM)
    labels = section.zone_names(section.zone_at(capture.spots["x"], capture.spots["y"]))
    zone = pd.DataFrame({"label": labels}, index=capture.spots.index)
    zone[capture.spots["in_tissue"] == 1].to_csv(folder / "zones.tsv", sep="\t", index_label="barcode")
    visium = folder / "visium"
    # Tiles come from the slide; the picture in `outs` is coarser, and colour would be asked about less than there is.
    slide = str(visium / "tissue_image.tif")
    row = Sample(name, "visium", str(visium), image=slide, organism="human", donor=name)
    ingest_sample(row, folder / "ingested.h5ad")
    filter_spots(folder / "ingested.h5ad", folder / "filtered.h5ad", None, overrides={})
    tile_slide(folder / "ingested.h5ad", folder / "tiles.arrow", grid=grid, overlap=overlap)
