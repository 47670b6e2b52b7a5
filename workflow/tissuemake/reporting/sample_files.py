"""The files of one sample, read and checked, and what made each of them."""

from dataclasses import dataclass, field

import anndata as ad
import pandas as pd

from tissuemake.reporting.decisions import decisions
from tissuemake.reporting.from_image import FromImage
from tissuemake.reporting.licences import licences
from tissuemake.reporting.models import Model, facts_of
from tissuemake.reporting.pathways import Pathways
from tissuemake.reporting.spot_models import SpotModels

# What a training took says nothing of the model that it made; the hash stands under its own name.
NOT_OF_A_MODEL = ("time of training", "trained on", "sha256 of the weights")


@dataclass(frozen=True)
class SampleFiles:
    """The files of one sample, read and checked."""

    check: dict
    filtered: ad.AnnData
    proportions: dict[str, pd.DataFrame]
    imputed: dict[str, ad.AnnData]
    domains: pd.DataFrame
    statistics: dict[str, pd.DataFrame]
    evaluation: pd.DataFrame
    attributions: dict[str, pd.DataFrame] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    markers: pd.DataFrame | None = None
    image: FromImage = field(default_factory=FromImage)
    tiles: dict = field(default_factory=dict)
    reference: dict = field(default_factory=dict)
    spots: SpotModels = field(default_factory=SpotModels)
    pathways: Pathways = field(default_factory=Pathways)
    cell_types: pd.DataFrame | None = None
    pseudo_spots: pd.DataFrame | None = None


def step_records(found: SampleFiles) -> dict[str, dict]:
    """Step → provenance record, from every file that carries one."""
    records = {"Tiles": found.tiles.get("record", {})}
    for method, table in found.proportions.items():
        records[f"Deconvolution, {method}"] = table.attrs.get("tissuemake", {})
    if found.cell_types is not None:
        records["Cell types"] = found.cell_types.attrs.get("tissuemake", {})
    for name, encoder in found.image.encoders.items():
        records[f"Embedding of tiles, {name}"] = encoder.record
    for method, data in found.imputed.items():
        step = "Expression from the image" if method in found.image.expression else "Imputation"
        records[f"{step}, {method}"] = dict(data.uns["tissuemake"])
    for name, table in found.image.tumor.items():
        records[f"Tumour, {name}"] = table.attrs.get("tissuemake", {})
    for name, data in found.image.fine.items():
        records[f"Finer map, {name}"] = dict(data.uns["tissuemake"])
    for (step, name), record in {**found.spots.records(), **found.pathways.records()}.items():
        records[f"{step.capitalize()}, {name}"] = record
    records["Domains"] = found.domains.attrs.get("tissuemake", {})
    for name, table in found.statistics.items():
        records[name.replace("_", " ").capitalize()] = table.attrs.get("tissuemake", {})
    records["Evaluation"] = found.evaluation.attrs.get("tissuemake", {})
    return {step: record for step, record in records.items() if record}


def decided(sample: str, found: SampleFiles, row: dict) -> dict:
    """Return the content of ``decisions.json``."""
    records = step_records(found)
    reference = (
        {"name": row["reference"], "facts": found.reference.get("facts", {})} if row.get("reference") else {}
    )
    models = {
        name: {"weights_sha256": model.weights_sha256}
        | {key: value for key, value in facts_of(model) if key not in NOT_OF_A_MODEL}
        for name, model in found.models.items()
    }
    encoders = {
        name: {**encoder.record, "licence": encoder.licence} for name, encoder in found.image.encoders.items()
    }
    return decisions(
        sample,
        found.filtered,
        check=found.check,
        records=records,
        domains=found.domains,
        reference=reference,
        models=models,
        licences=licences(encoders, found.models, records),
    )
