"""A view of a delivery for Vitessce (https://vitessce.io): its config, over the delivered SpatialData store as it is.

The config follows view config schema 1.0.16 and its file type ``spatialdata.zarr.zip``, so that nothing is unpacked.
Vitessce reads by URL: ``tissuemake serve DELIVERY`` answers on the address that the config names.
"""

import anndata as ad
import pandas as pd

FILE = "vitessce.json"
SCHEMA = "1.0.16"
PORT = 8000
SITE = "https://vitessce.io"
# Colourings by name of the column, the most telling first.
SETS = ("cell_type", "dominant_type_", "domain_", "annotation_")
MOST_SETS = 12


def view_config(sample: str, adata: ad.AnnData, *, circles: bool, port: int = PORT) -> dict:
    """Return the view of a delivered sample: tissue, layers, genes, and the groups that it can be coloured by.

    Parameters
    ----------
    adata
        As delivered: its ``obs`` names the groups, its ``uns`` says whether there is an image.
    circles
        Whether the store holds circles (`spatialdata_zarr`) or squares.
    port
        Of the server on this machine.
    """
    thing = str(adata.uns["tissuemake"].get("observation", "spot"))
    shapes = {"path": f"shapes/{thing}s", "tablePath": "tables/table", "region": f"{thing}s"}
    options: dict = {
        "obsSpots" if circles else "obsSegmentations": shapes,
        "obsFeatureMatrix": {"path": "tables/table/X", "region": f"{thing}s"},
    }
    groups = group_columns(adata.obs)
    if groups:
        options["obsSets"] = {
            "obsSets": [
                {"name": name.replace("_", " "), "path": f"tables/table/obs/{name}"} for name in groups
            ],
            "tablePath": "tables/table",
            "region": f"{thing}s",
        }
    space = adata.uns["spatial"].get(sample, {})
    scales, image = space.get("scalefactors", {}), space.get("images", {}).get("hires") is not None
    if image:
        options["image"] = {"path": "images/image"}
    file = {
        "fileType": "spatialdata.zarr.zip",
        "url": f"http://localhost:{port}/{sample}.spatialdata.zarr.zip",
        "options": options,
        "coordinationValues": {"obsType": thing},
    }
    layers = {"spotLayer" if circles else "segmentationLayer": {"obsType": thing, "spatialLayerOpacity": 0.8}}
    shown = next(iter(layers.values()))
    if circles:  # in full-resolution pixels, the unit of the store's coordinates
        shown["spatialSpotRadius"] = float(scales.get("spot_diameter_fullres", 1.0)) / 2
    if groups:
        shown["obsColorEncoding"] = "cellSetSelection"
    if image:
        layers = {"imageLayer": {"photometricInterpretation": "RGB"}, **layers}
    shared, scopes = _coordination(layers, thing)
    return {
        "version": SCHEMA,
        "name": sample,
        "description": f"{adata.n_obs:,} {thing}s, {adata.n_vars:,} genes",
        "datasets": [{"uid": "A", "name": sample, "files": [file]}],
        "coordinationSpace": shared,
        "layout": _layout(scopes, bool(groups)),
        "initStrategy": "auto",
    }


def group_columns(obs: pd.DataFrame) -> list[str]:
    """Columns of groups, in the order in which they are worth a look; at most `MOST_SETS`."""
    names = [name for name in map(str, obs.columns) if isinstance(obs[name].dtype, pd.CategoricalDtype)]
    chosen = [
        name
        for start in SETS
        for name in names
        if name == start or (start[-1] == "_" and name.startswith(start))
    ]
    return chosen[:MOST_SETS]


def _coordination(layers: dict[str, dict], thing: str) -> tuple[dict, dict]:
    """Return the values that views share, and the scopes by which views of the tissue take part in the layers."""
    space: dict = {
        "dataset": {"A": "A"},
        "obsType": {"A": thing},
        "spatialTargetZ": {"A": 0},
        "spatialTargetT": {"A": 0},
    }
    meta, by = {}, {}
    for kind, values in layers.items():
        scope = f"init_A_{kind}"
        space[kind] = {scope: "__dummy__"}
        meta[scope] = {kind: [scope]}
        by[scope] = {kind: {name: {scope: scope} for name in values}}
        for name, value in values.items():
            space.setdefault(name, {})[scope] = value
    space |= {"metaCoordinationScopes": meta, "metaCoordinationScopesBy": by}
    return space, {"metaCoordinationScopes": list(meta), "metaCoordinationScopesBy": list(by)}


def _layout(scopes: dict, grouped: bool) -> list[dict]:
    own = {"dataset": "A", "obsType": "A"}
    tissue = {**own, "spatialTargetZ": "A", "spatialTargetT": "A", **scopes}
    views = [
        ("spatialBeta", tissue, (0, 0, 8, 12)),
        ("layerControllerBeta", tissue, (8, 0, 4, 4)),
        ("featureList", own, (8, 4, 4, 4)),
    ]
    views += [("obsSets", own, (8, 8, 4, 4))] if grouped else []
    return [
        {"component": name, "coordinationScopes": taken, **dict(zip("xywh", place, strict=True))}
        for name, taken, place in views
    ]
