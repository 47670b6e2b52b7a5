"""What was decided for a sample, in one file: thresholds, dropped spots, normalisation, methods, models, versions."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import anndata as ad
import pandas as pd

from tissuemake import files
from tissuemake.errors import InputError
from tissuemake.reporting.pages import plain

FILE = "decisions.json"
FORMAT = 1
# The parts of the file, in order. `report_sample` writes it, deliveries hold it, other facilities compare with it.
PARTS = (
    "format", "sample", "input", "filter", "normalisation", "reference", "steps", "domains", "models", "licences",
    "seeds", "devices", "versions",
)  # fmt: skip
COUNTS_PER = 10_000.0
# What a step measured of itself, or says at length elsewhere, is no decision.
NOT_DECIDED = ("versions", "seconds", "peak_memory_mb", "hierarchy")
ABOUT = (
    "assay", "organism", "tissue", "donor", "software", "chemistry", "layout", "observation", "lattice", "pitch_um",
    "spot_diameter_um",
)  # fmt: skip
FACTS = (
    "n_observations",
    "n_genes",
    "median_counts",
    "microns_per_pixel",
    "gene_overlap",
    "image_px",
    "fingerprint",
)


def decisions(
    sample: str,
    adata: ad.AnnData,
    *,
    check: Mapping,
    records: Mapping[str, Mapping],
    domains: pd.DataFrame,
    reference: Mapping | None = None,
    models: Mapping[str, Mapping] | None = None,
    licences: Iterable[Mapping] = (),
) -> dict:
    """Return the `PARTS` of ``decisions.json``, as plain values of JSON.

    Parameters
    ----------
    adata
        ``filtered.h5ad``: its ``uns`` holds thresholds and dropped spots; its values are not looked at.
    check
        ``check.json``.
    records
        ``"Step"`` or ``"Step, method"`` → provenance record, in the order in which they ran.
    domains
        ``domains.parquet``, for how many there are.
    reference
        ``name``, and ``facts`` of its ``check.json`` where that is known.
    models
        Name → ``weights_sha256`` and facts of a model folder.
    licences
        ``what``, ``licence`` and ``commercial_use`` (False: forbidden, None: not known) of weights and gene sets.
    """
    about, facts = dict(adata.uns["tissuemake"]), dict(check.get("facts", {}))
    filtered = dict(about.get("filter", {}))
    steps: dict[str, dict] = {}
    for name, record in records.items():
        step, _, method = name.partition(", ")
        method = method or str(record.get("method", "default"))
        kept = {key: value for key, value in record.items() if key not in NOT_DECIDED}
        steps.setdefault(step.lower().replace(" ", "_"), {})[method] = kept
    reasons = pd.Series(adata.uns["dropped"]["reason"], dtype=str)
    versions: dict[str, set] = {}
    for record in (about, *records.values()):
        for package, version in dict(record.get("versions") or {}).items():
            versions.setdefault(str(package), set()).add(str(version))
    content = {
        "format": FORMAT,
        "sample": sample,
        "input": {key: about.get(key, "") for key in ABOUT} | {key: facts.get(key) for key in FACTS},
        "filter": {
            **filtered,
            "n_kept": adata.n_obs,
            "n_dropped": len(reasons),
            # A spot with two reasons counts under both.
            "dropped": reasons.str.split("; ").explode().value_counts().to_dict(),
            "thresholds": adata.uns.get("quality", {}),
        },
        "normalisation": {
            "counts_per": filtered.get("counts_per", COUNTS_PER),
            "transform": "log1p",
            "n_genes": adata.n_vars,
        },
        "reference": reference or {},
        "steps": steps,
        "domains": {str(name): int(domains[name].dropna().nunique()) for name in domains},
        "models": models or {},
        "licences": list(licences),
        "seeds": sorted(
            {int(record["seed"]) for record in records.values() if record.get("seed") is not None}
        ),
        "devices": sorted({str(record["device"]) for record in records.values() if record.get("device")}),
        "versions": {package: sorted(found) for package, found in sorted(versions.items())},
    }
    return plain(content)


def read_decisions(path: str | Path) -> dict:
    """Read ``decisions.json``, or that of a delivered folder.

    Raises
    ------
    InputError
        ``bad_decisions`` when it is none.
    """
    path = Path(path)
    path = path / FILE if path.is_dir() else path
    try:
        content = files.read_json(path)
        missing = [part for part in PARTS if part not in content]
    except (OSError, ValueError, TypeError) as error:
        missing, content = [f"{type(error).__name__}: {error}"], {}
    if missing or content["format"] != FORMAT:
        raise InputError(
            "bad_decisions",
            f"{path} is no {FILE} of format {FORMAT} (missing: {', '.join(missing) or 'nothing'}).",
            f"Give a delivered folder or its {FILE}, as report_sample writes it.",
        )
    return content


def differences(first: dict, second: dict) -> list[tuple[str, str, str]]:
    """Return key, value and other value of all that differs; what one of them lacks is an empty text."""
    flat = [dict(_leaves(content)) for content in (first, second)]
    keys = list(dict.fromkeys([*flat[0], *flat[1]]))
    rows = [(key, flat[0].get(key, ""), flat[1].get(key, "")) for key in keys]
    return [row for row in rows if row[1] != row[2]]


def _leaves(content: object, prefix: str = "") -> Iterable[tuple[str, str]]:
    if isinstance(content, dict) and content:
        for key, value in content.items():
            yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(content, list):
        yield prefix, ", ".join(str(item) for item in content)
    else:
        yield prefix, "" if content is None else str(content)
