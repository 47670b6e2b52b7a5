"""Cell types get a term of the Cell Ontology by a name of it, whatever the spelling, and never by a guess."""

import re

import pandas as pd
import pytest

from tissuemake.cell_types import ontology
from tissuemake.cell_types.ontology import Term, find_term, known_names, plain


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("T cell", "CL:0000084"),
        ("T cells", "CL:0000084"),
        ("t-cell", "CL:0000084"),
        ("T_Cells", "CL:0000084"),
        ("Macrophages", "CL:0000235"),
        ("Endothelial", "CL:0000115"),
        ("Smooth muscle", "CL:0000192"),
        ("CD8+ T cells", "CL:0000625"),
        ("CD4-positive, alpha-beta T cell", "CL:0000624"),
        ("Adipocyte", "CL:0000136"),
        ("NK cells", "CL:0000623"),
        ("Microglia", "CL:0000129"),
    ],
)
def test_case_hyphens_and_plural_do_not_matter(name, term):
    assert find_term(name).id == term


@pytest.mark.parametrize(
    "name",
    [
        "HSC",
        "B",
        "T",
        "Luminal epithelial",
        "cancer",
        "Macrophage 2",
        "CD8 B cell",
        "CD4- T cell",
        "CD8\u2212 T cells",
        "CD4+ CD8+ T cell",
        "CD4-CD8- T cell",
        "",
        "cell",
        "Pvalb",
    ],
)
def test_names_that_are_no_names_of_one_term_get_none(name):
    assert find_term(name) == Term()


def test_a_name_of_two_terms_is_left_out(tmp_path, monkeypatch):
    table = tmp_path / "terms.tsv"
    table.write_text("# made up\nid\tname\tsynonyms\nCL:1\tstar cell\tHSC\nCL:2\tblood maker\tHSC\n")
    monkeypatch.setattr(ontology, "TABLE", table)
    known_names.cache_clear()
    try:
        assert find_term("HSC") == Term() and find_term("Blood makers").id == "CL:2"
    finally:
        known_names.cache_clear()


def test_every_id_is_an_id_once_and_every_name_finds_it_again():
    table = pd.read_csv(ontology.TABLE, sep="\t", comment="#", keep_default_na=False, dtype=str)
    assert all(re.fullmatch(r"CL:\d{7}", own) for own in table["id"]) and table["id"].is_unique
    names = [
        (row.id, name)
        for row in table.itertuples()
        for name in (row.name, *filter(None, row.synonyms.split("|")))
    ]
    assert {own for own, name in names if find_term(name).id != own} == set()
    # Two spellings in one row that read alike would be one too many.
    assert len({plain(name) for _, name in names}) == len(known_names())
