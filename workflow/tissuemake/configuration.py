"""Ground floor: the config file against its schema: defaults filled in, unknown keys refused by name."""

import copy
import os
from pathlib import Path

import jsonschema
import yaml

from tissuemake.errors import InputError
from tissuemake.sheets import check_source, nearest

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
        `check_source` for ``reference.orthologs``.
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
    check_source(completed["reference"]["orthologs"], "reference.orthologs", "config")
    return completed


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
