"""A view of a delivery for Vitessce (https://vitessce.io): its config, over the delivered SpatialData store as it is.

The config follows view config schema 1.0.16 and its file type ``spatialdata.zarr.zip``, so that nothing is unpacked.
Vitessce reads by URL: ``tissuemake serve DELIVERY`` answers on the address that the config names.
"""

import anndata as ad
import pandas as pd

from tissuemake.reporting.palette import categorical

FILE = "vitessce.json"
SCHEMA = "1.0.16"
PORT = 8000
SITE = "https://vitessce.io"
# Colourings by name of the column, the most telling first.
SETS = ("cell_type", "dominant_type_", "domain_", "annotation_")
MOST_SETS = 12
OPACITY = 0.8


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
            "obsSets": [{"name": spoken(name), "path": f"tables/table/obs/{name}"} for name in groups],
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
    shown = {"obsType": thing} | ({"obsColorEncoding": "cellSetSelection"} if groups else {})
    if circles:  # the radius in full-resolution pixels, the unit of the store's coordinates
        radius = float(scales.get("spot_diameter_fullres", 1.0)) / 2
        layers = {"spotLayer": {**shown, "spatialLayerOpacity": OPACITY, "spatialSpotRadius": radius}}
    else:
        channel = {
            **shown,
            "spatialTargetC": 0,
            "spatialChannelOpacity": OPACITY,
            "spatialSegmentationFilled": True,
        }
        layers = {"segmentationLayer": {"fileUid": None, "segmentationChannel": channel}}
    if image:
        layers = {"imageLayer": {"photometricInterpretation": "RGB"}, **layers}
    shared, scopes = _coordination(layers, thing)
    shared["obsSetColor"] = {"A": set_colours(adata.obs[groups])}
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
        meta[scope] = {kind: [scope]}
        by[scope] = {}
        _add_layer(kind, values, scope, space, by[scope])
    space |= {"metaCoordinationScopes": meta, "metaCoordinationScopesBy": by}
    return space, {"metaCoordinationScopes": list(meta), "metaCoordinationScopesBy": list(by)}


def set_colours(groups: pd.DataFrame) -> list[dict]:
    """Return a colour for every group: a cell type has the same in all columns, and many can be told apart."""
    types = {name: str(name).startswith(("cell_type", "dominant_type_")) for name in groups}
    shared = sorted(
        {str(label) for name, typed in types.items() if typed for label in groups[name].cat.categories}
    )
    found = []
    for name, typed in types.items():
        labels = [str(label) for label in groups[name].cat.categories]
        order = shared if typed else labels
        palette = dict(zip(order, categorical(len(order)), strict=True))
        for label in labels:
            colour = [int(palette[label][i : i + 2], 16) for i in (1, 3, 5)]
            found.append({"path": [spoken(str(name)), label], "color": colour})
    return found


def spoken(column: str) -> str:
    """What a column of groups is called in the viewer."""
    return column.replace("_", " ")


def _add_layer(kind: str, values: dict, scope: str, space: dict, by: dict) -> None:
    """Add a layer's values to the shared `space` and its scopes to `by`; a dict among them is a level below it."""
    space[kind] = {scope: "__dummy__"}
    by[kind] = {}
    for name, value in values.items():
        nested = isinstance(value, dict)
        by[kind][name] = {scope: [scope] if nested else scope}
        if nested:
            _add_layer(name, value, scope, space, by)
        else:
            space.setdefault(name, {})[scope] = value


def _layout(scopes: dict, grouped: bool) -> list[dict]:
    own = {"dataset": "A", "obsType": "A", "obsSetColor": "A"}
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
