"""Licences of what results come of, weights and gene sets, and whether they allow commercial use."""

import re
from collections.abc import Mapping

from tissuemake.reporting.models import Model

# Words of licences that forbid commercial use: CC BY-NC(-ND, -SA), "non-commercial", "academic research only".
RESTRICTED = re.compile(
    r"(?<![a-z])nc(?![a-z])|non[- ]?commercial|academic|research[- ](?:use[- ])?only", re.IGNORECASE
)
PERMISSIVE = re.compile(r"(apache|mit|bsd|isc|cc0|cc[ -]by[ -]\d)", re.IGNORECASE)


def commercial_use(licence: str, stated: object = None) -> bool | None:
    """Whether a licence allows commercial use: as `stated`, else by its words; None: neither says."""
    if stated is not None:
        return bool(stated)
    if RESTRICTED.search(licence):
        return False
    return True if PERMISSIVE.match(licence) else None


def licences(
    encoders: Mapping[str, Mapping], models: Mapping[str, Model], records: Mapping[str, Mapping]
) -> list[dict]:
    """Return ``what``, ``licence`` and ``commercial_use`` of encoders, models and gene sets.

    Parameters
    ----------
    encoders
        Name → record, with ``licence`` and, where it is stated, ``commercial``.
    models
        Name → folder as read; its card says the licence.
    records
        Provenance of steps; those with a ``library`` name its licence.
    """
    found = [
        (f"encoder '{name}'", str(record.get("licence") or ""), record.get("commercial"))
        for name, record in encoders.items()
        if name not in models
    ]
    for name, model in models.items():
        said = [line for line in model.card.get("Licence", []) if isinstance(line, str)]
        stated = model.config.get("commercial")
        found.append((f"weights of '{name}'", " ".join(said).removesuffix("."), stated))
    for record in records.values():
        if record.get("library"):
            licence = str(record.get("licence") or "")
            found.append(
                (f"gene sets: {record['library']}", "" if licence == "not stated" else licence, None)
            )
    return [
        {"what": what, "licence": licence, "commercial_use": commercial_use(licence, stated)}
        for what, licence, stated in dict.fromkeys(found)
    ]
