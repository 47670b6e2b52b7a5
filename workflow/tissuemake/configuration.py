"""Ground floor: the config file against its schema: defaults filled in, unknown keys refused by name."""

import copy
import os
from collections.abc import Collection
from pathlib import Path

import jsonschema
import yaml

from tissuemake.errors import InputError
from tissuemake.hub import HUB_ID
from tissuemake.pins import PRETRAIN
from tissuemake.sheets import check_source, nearest
from tissuemake.sources import unset_variables

# The value of `perturbation.pairs` that asks for the table inside the package of that name.
BUNDLED_PAIRS = "liana"
SCHEMAS = Path(__file__).resolve().parents[1] / "schemas"


def read_schema(name: str) -> dict:
    """Read ``workflow/schemas/{name}.schema.yaml``."""
    return yaml.safe_load((SCHEMAS / f"{name}.schema.yaml").read_text(encoding="utf-8"))


def complete_config(config: dict, schema: dict | None = None) -> dict:
    """Return `config` with every default filled in.

    Raises
    ------
    InputError
        ``unknown_key`` with the nearest valid one; ``bad_value`` with what the schema expects; those of
        `check_source` for the tables of ``reference``.
    """
    schema = schema or read_schema("config")
    _refuse_unknown(config, schema, "")
    completed = _with_defaults(config, schema)
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(completed))
    if error is not None:
        key = ".".join(str(part) for part in error.absolute_path)
        described = error.schema.get("description", "")
        raise InputError(
            "bad_value",
            f"config: {key or 'the file'} is {error.instance!r}: {error.message}.",
            f"Correct it{': ' + described if described else '.'}",
        )
    for name in ("samples", "references"):
        completed[name] = os.path.expandvars(completed[name])
    for name in ("orthologs", "aliases"):
        check_source(completed["reference"][name], f"reference.{name}", "config")
    check_source(completed["perturbation"]["pairs"], "perturbation.pairs", "config")
    check_source(completed["pathways"]["gene_sets"], "pathways.gene_sets", "config")
    for settings in completed["models"].values():
        settings["weights"] = _within_run(os.path.expandvars(settings["weights"]))
    for name in ("weights", "heads"):
        completed["histology"][name] = _within_run(os.path.expandvars(completed["histology"][name]))
    completed["report"]["history"] = [os.path.expandvars(path) for path in completed["report"]["history"]]
    return completed


def check_models(models: dict, references: set[str]) -> None:
    """Refuse models that cannot be made or loaded, before anything runs.

    Parameters
    ----------
    models
        The part ``models`` of a completed config.
    references
        Names in the sheet of references.

    Raises
    ------
    InputError
        ``unknown_reference``, ``missing_weights``, each naming the key.
    """
    for name, settings in models.items():
        reference, weights = settings.get("reference", ""), settings["weights"]
        if reference and reference not in references:
            known = sorted(references)
            near = f"Did you mean '{nearest(reference, known)}'? " if known else ""
            raise InputError(
                "unknown_reference",
                f"config: models.{name}.reference is '{reference}', which is no row of the sheet of references.",
                f"{near}Known: {', '.join(known) or 'none'}. Empty means each sample's own.",
            )
        if weights == PRETRAIN or Path(weights).is_dir() or HUB_ID.fullmatch(weights):
            continue
        if name == "spafoundation" and is_checkpoint(weights) and Path(weights).is_file():
            continue
        near = f"Did you mean '{PRETRAIN}'? " if "/" not in weights else unset_variables(weights)
        raise InputError(
            "missing_weights",
            f"config: models.{name}.weights is '{weights}', which is neither a folder nor a hub id.",
            f"{near}Write '{PRETRAIN}', the folder of a model (relative to the run folder), or owner/name.",
        )


def is_checkpoint(weights: str) -> bool:
    """Whether `weights` name a published checkpoint, which is converted before it is used."""
    return Path(weights).suffix in (".pth", ".pt")


def uses_of_sagefm(config: dict) -> list[str]:
    """What a completed config asks of the spatial graph model, as the settings that ask for it."""
    asked = {
        "imputation.methods holds 'sagefm'": "sagefm" in config["imputation"]["methods"],
        "domains.embeddings holds 'sagefm'": "sagefm" in config["domains"]["embeddings"],
        f"perturbation.pairs is '{config['perturbation']['pairs']}'": config["perturbation"]["pairs"],
    }
    return [setting for setting, is_set in asked.items() if is_set]


def check_cohort(config: dict, cohort: Collection[str]) -> None:
    """Refuse to train on images or spots when no sample is there to train on.

    Parameters
    ----------
    config
        A completed config.
    cohort
        Samples that the sheet marks ``pretrain``.

    Raises
    ------
    InputError
        ``no_cohort``, naming the key that asks for the training.
    """
    sparank, encoders = config["models"]["sparank"], list(config["histology"]["encoders"])
    asked = []
    if "sparank" in config["deconvolution"]["methods"] and sparank["images"]:
        encoders.append(sparank["images"])
        if sparank["weights"] == PRETRAIN:
            asked.append(f"models.sparank.images is '{sparank['images']}'")
    pathways, quadflow = config["pathways"], config["models"]["quadflow"]
    if pathways["gene_sets"] and pathways["predict"] and quadflow["weights"] != PRETRAIN:
        encoders.append(quadflow["encoder"])
    if "spafoundation" in encoders and config["models"]["spafoundation"]["weights"] == PRETRAIN:
        asked.append("the encoder 'spafoundation' has models.spafoundation.weights 'pretrain'")
    pictures = " with an H&E image" if asked else ""
    if config["models"]["sagefm"]["weights"] == PRETRAIN:
        asked += [f"{use} with models.sagefm.weights 'pretrain'" for use in uses_of_sagefm(config)]
    if asked and not cohort:
        raise InputError(
            "no_cohort",
            f"config: {' and '.join(asked)}, but no sample is marked 'pretrain'.",
            f"Write 'yes' in the column 'pretrain' of samples{pictures}, give weights, or leave it out.",
        )


def check_heads(histology: dict) -> None:
    """Refuse a folder of heads or encoders that is not there.

    Raises
    ------
    InputError
        ``missing_weights``, naming the key.
    """
    for key in ("weights", "heads"):
        folder = histology[key]
        if folder and not Path(folder).is_dir():
            raise InputError(
                "missing_weights",
                f"config: histology.{key} is '{folder}', which is no folder.",
                f"{unset_variables(folder)}Correct the path (relative ones start at the run folder), or empty it.",
            )


def check_history(history: list[str], own: str) -> None:
    """Refuse quality tables of earlier runs that are not there, or the one that this run writes (`own`).

    Raises
    ------
    InputError
        ``missing_history``, ``own_history``, naming the key.
    """
    for path in history:
        if Path(path).resolve() == Path(own).resolve():
            raise InputError(
                "own_history",
                f"config: report.history names '{path}', which this run writes itself.",
                "Leave it out, or name a copy of it; samples that stand in both count once.",
            )
        if not Path(path).is_file():
            raise InputError(
                "missing_history",
                f"config: report.history names '{path}', which is no file.",
                f"{unset_variables(path)}Name the quality.tsv of another run, or leave it out.",
            )


def _within_run(path: str) -> str:
    """Return a path below the run folder relative to it, so that naming a model that was made here changes no job."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _refuse_unknown(config: object, schema: dict, prefix: str) -> None:
    known = schema.get("properties")
    if known is None or not isinstance(config, dict):
        return
    for name, value in config.items():
        if name not in known:
            raise InputError(
                "unknown_key",
                f"config: the key '{prefix}{name}' is unknown.",
                f"Did you mean '{prefix}{nearest(str(name), list(known))}'? Known here: {', '.join(known)}.",
            )
        _refuse_unknown(value, known[name], f"{prefix}{name}.")


def _with_defaults(config: object, schema: dict) -> object:
    if schema.get("type") != "object" or not isinstance(config, dict):
        return config
    filled = dict(config)
    for name, part in schema.get("properties", {}).items():
        if filled.get(name) is None and "default" in part:
            filled[name] = copy.deepcopy(part["default"])
        if name in filled:
            filled[name] = _with_defaults(filled[name], part)
    return filled
