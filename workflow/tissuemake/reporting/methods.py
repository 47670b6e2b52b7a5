"""The methods paragraph: what ran on a sample, in plain sentences with its numbers, and what to cite for it.

Everything is said from ``decisions.json``, so that the text can claim nothing that did not run.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import yaml

from tissuemake import files
from tissuemake.reporting import method_sentences as sentences
from tissuemake.reporting.pages import ASSETS

MARK = re.compile(r"\[@([^\]\s]+)\]")
FORBIDDEN, UNKNOWN = "No commercial use", "Commercial use: not known"


@dataclass(frozen=True)
class Citation:
    """An entry of the list at the end: its number, what to cite, its DOI and licence where known."""

    number: int
    text: str
    doi: str = ""
    licence: str = ""

    @property
    def url(self) -> str:
        """Where the DOI leads; empty for what has none."""
        if self.doi.startswith("arXiv:"):
            return f"https://arxiv.org/abs/{self.doi.removeprefix('arXiv:')}"
        return f"https://doi.org/{self.doi}" if self.doi.startswith("10.") else ""


@dataclass(frozen=True)
class Licence:
    """Of weights or gene sets that results come of; `flag` says what is forbidden or not known."""

    what: str
    licence: str
    flag: str = ""

    @property
    def forbidden(self) -> bool:
        """Whether commercial use is."""
        return self.flag == FORBIDDEN


@dataclass(frozen=True)
class Methods:
    """Title → paragraph with numbers in brackets, the citations in their order, and licences."""

    paragraphs: dict[str, str]
    citations: list[Citation] = field(default_factory=list)
    licences: list[Licence] = field(default_factory=list)


@cache
def known_citations() -> dict[str, dict]:
    """Return the citations that come with the package, by key."""
    return yaml.safe_load((ASSETS / "citations.yaml").read_text(encoding="utf-8"))


def methods(decided: dict) -> Methods:
    """Return the methods text of what `decisions.decisions` says."""
    paragraphs = {title: said for title, say in SECTIONS.items() if (said := say(decided))}
    order: dict[str, int] = {}
    numbered = {title: _number(text, order) for title, text in paragraphs.items()}
    citations = [_citation(key, number, decided) for key, number in order.items()]
    return Methods(numbered, citations, _licences(decided))


SECTIONS: dict[str, Callable[[dict], str]] = {
    "Data": sentences.data,
    "Quality control and normalisation": sentences.quality,
    "Cell types": sentences.cell_types,
    "Imputed genes": sentences.imputation,
    "Tissue domains and spatial statistics": sentences.domains,
    "Stained image": sentences.image,
    "Spatial graph model": sentences.spot_models,
    "Pathways": sentences.pathways,
    "Software": sentences.software,
}


def _number(text: str, order: dict[str, int]) -> str:
    return MARK.sub(lambda found: f"[{order.setdefault(found[1], len(order) + 1)}]", text)


def _citation(key: str, number: int, decided: dict) -> Citation:
    """A known citation, or, of a published encoder, what its record names as its paper."""
    known = known_citations().get(key)
    if known:
        return Citation(number, known["text"], known.get("doi", ""), known.get("licence", ""))
    name = key.removeprefix("encoder:")
    record = decided["steps"].get("embedding_of_tiles", {}).get(name, {})
    return Citation(
        number, f"Tile encoder '{name}', as published by its authors.", str(record.get("reference", ""))
    )


def _licences(decided: dict) -> list[Licence]:
    flags = {False: FORBIDDEN, None: UNKNOWN, True: ""}
    return [
        Licence(entry["what"], entry["licence"] or "not stated", flags[entry["commercial_use"]])
        for entry in decided["licences"]
    ]


def markdown(decided: dict) -> str:
    """Return the methods text of a delivery; names that users gave cannot become markup."""
    made = methods(decided)
    lines = [f"# Methods: {_safe(decided['sample'])}", ""]
    lines += [
        "Written by the workflow from what it recorded (`decisions.json`). Read it before you print it.",
        "",
    ]
    for title, text in made.paragraphs.items():
        lines += [f"## {title}", "", _safe(text), ""]
    if made.licences:
        lines += ["## Licences of weights and gene sets", ""]
        for entry in made.licences:
            flag = f" **{entry.flag.upper() if entry.forbidden else entry.flag}**" if entry.flag else ""
            lines.append(f"- {_safe(entry.what)}: {_safe(entry.licence)}.{flag}")
        lines.append("")
    lines += ["## References", ""]
    for entry in made.citations:
        source = f" <{entry.url}>" if entry.url else ""
        licence = f" Licence: {entry.licence}." if entry.licence else ""
        lines.append(f"{entry.number}. {_safe(entry.text)}{source}{licence}")
    return "\n".join(lines) + "\n"


def write_methods(decided: dict, output: str | files.Path) -> None:
    """Write ``methods.md``."""
    files.write_text(markdown(decided).encode("utf-8", "replace").decode("utf-8"), output)


def _safe(text: object) -> str:
    """`text` on one line, with what markdown or a browser would read as markup spelt out."""
    line = " ".join(str(text).split()).replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*|]|(?<!\w)_|_(?!\w)|(?<=\])\()", r"\\\1", line)
