"""How a delivery is looked at elsewhere: scanpy, squidpy, SpatialData, Vitessce, and Xenium Explorer."""

from pathlib import Path

import anndata as ad
import pandas as pd

from tissuemake import files
from tissuemake.delimited import no_formula
from tissuemake.reporting import vitessce
from tissuemake.reporting.spatialdata_zarr import are_circles

EXPLORER = "xenium_explorer_{}.csv"


def write_views(sample: str, adata: ad.AnnData, output: Path) -> list[Path]:
    """Write into `output` what viewers need beside the h5ad and the SpatialData store; return the files.

    ``vitessce.json``, and for Xenium a ``xenium_explorer_COLUMN.csv`` for each grouping of its cells.
    """
    config = output / vitessce.FILE
    files.write_json(vitessce.view_config(sample, adata, circles=are_circles(adata)), config)
    groups = explorer_groups(adata)
    for name, table in groups.items():
        with files.atomic(output / EXPLORER.format(name)) as partial:
            table.apply(no_formula).to_csv(partial, index=False)
    return [config, *(output / EXPLORER.format(name) for name in groups)]


def explorer_groups(adata: ad.AnnData) -> dict[str, pd.DataFrame]:
    """Return by column a table ``cell_id``, ``group``, as Xenium Explorer imports groups of cells.

    Only of Xenium: other assays have no bundle that it opens. Cells without a group are left out.
    """
    if str(adata.uns["tissuemake"].get("assay")) != "xenium":
        return {}
    found = {}
    for name in vitessce.group_columns(adata.obs):
        groups = adata.obs[name].dropna()
        table = pd.DataFrame({"cell_id": groups.index.astype(str), "group": groups.astype(str).to_numpy()})
        if len(table):
            found[name] = table
    return found


def how_to_open(sample: str, adata: ad.AnnData) -> dict[str, str]:
    """Return the lines that open and plot the delivery; they differ without an image."""
    image = bool(adata.uns["spatial"].get(sample, {}).get("images"))
    domains = [str(name) for name in adata.obs if str(name).startswith("domain_")]
    colour = "domain_spatial" if "domain_spatial" in domains else max(domains, default="total_counts")
    lines = {
        "scanpy": f"sc.pl.spatial(sc.read_h5ad('{sample}.h5ad'), color='{colour}'"
        + (")" if image else ", img_key=None)"),
        "squidpy": f"sq.pl.spatial_scatter(ad.read_h5ad('{sample}.h5ad'), color='{colour}'"
        + (")" if image else ", shape=None)"),
        "spatialdata": f"unzip {sample}.spatialdata.zarr.zip -d {sample}.zarr; "
        f"spatialdata.read_zarr('{sample}.zarr')",
        "vitessce": "tissuemake serve FOLDER",
    }
    groups = [EXPLORER.format(name) for name in explorer_groups(adata)]
    if groups:
        lines["xenium explorer"] = f"open experiment.xenium; Cell Groups: upload {groups[0]}"
    return lines
