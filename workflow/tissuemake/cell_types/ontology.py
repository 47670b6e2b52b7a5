"""Names of cell types in the Cell Ontology, where they are one of its names or of the names in use; never a guess."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

TABLE = Path(__file__).with_name("cell_ontology.tsv")
# A name may leave out "cell", as "Endothelial" does, if what is left is a word: "B" alone could be anything.
SHORTEST = 4
CELL = "cell"


@dataclass(frozen=True)
class Term:
    """A class of the Cell Ontology; both empty where a name has none."""

    id: str = ""
    name: str = ""


def find_term(cell_type: str) -> Term:
    """Return the term that `cell_type` names, whatever its case, hyphens and plural; the empty one for no or two."""
    return known_names().get(plain(cell_type), Term())


@cache
def known_names() -> dict[str, Term]:
    """Term by plain name; names that two terms share are left out."""
    table = pd.read_csv(TABLE, sep="\t", comment="#", keep_default_na=False, dtype=str)
    found: dict[str, set[Term]] = {}
    for row in table.itertuples():
        for name in (row.name, *filter(None, row.synonyms.split("|"))):
            found.setdefault(plain(name), set()).add(Term(row.id, row.name))
    return {name: terms.pop() for name, terms in found.items() if len(terms) == 1}


def plain(name: str) -> str:
    """The words of a name: lower case, singular, without what joins them and without a closing "cell"."""
    # CD4+ and CD4- say something; a hyphen between words, or a comma, does not.
    signed = re.sub(r"(?<=[a-z0-9])[-\u2010-\u2212](?=\s|$|,|/|cd\d)", " minus ", str(name).lower())
    words = re.sub(r"[^a-z0-9+]+", " ", signed).split()
    words = [
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
        for word in words
    ]
    short = " ".join(words[:-1])
    return short if words and words[-1] == CELL and len(short) >= SHORTEST else " ".join(words)
