"""Libraries of gene sets are read, refused with the line, and found in either organism."""

import gzip

import pandas as pd
import pytest

from tissuemake.errors import InputError
from tissuemake.pathways.gene_sets import matched_sets, read_gene_sets

HUMAN = ["TP53", "EGFR", "MYC", "CD3D", "CD8A", "KRT8", "PTPRC", "VEGFA"]
MOUSE = ["Trp53", "Egfr", "Myc", "Cd3d", "Cd8a", "Krt8", "Ptprc", "Vegfa"]


def test_a_gmt_is_read_plain_and_gzipped(tmp_path):
    text = "A\thttps://example.org\tTP53\tEGFR\tTP53\t\n\nB\t\tMYC,1.0\tCD3D\n"
    plain, packed = tmp_path / "s.gmt", tmp_path / "s.gmt.gz"
    plain.write_text(text)
    with gzip.open(packed, "wt") as handle:
        handle.write(text)
    assert read_gene_sets(plain) == {"A": ["TP53", "EGFR"], "B": ["MYC", "CD3D"]}
    assert read_gene_sets(packed) == read_gene_sets(plain)


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        (None, "missing_gene_sets", "does not exist"),
        ("", "bad_gene_sets", "no gene sets"),
        ("A\t\tTP53\nB\tonly a description\n", "bad_gene_sets", "line 2"),
        ("A\t\tTP53\nA\t\tMYC\n", "bad_gene_sets", "line 2: the set 'A' stands there twice"),
    ],
)
def test_what_is_wrong_is_said_with_the_key(tmp_path, text, code, says):
    path = tmp_path / "s.gmt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_gene_sets(path)
    assert caught.value.code == code
    assert says in caught.value.message
    assert "pathways.gene_sets" in caught.value.remedy


def test_a_damaged_gzip_is_said(tmp_path):
    path = tmp_path / "s.gmt.gz"
    path.write_bytes(gzip.compress(b"A\t\tTP53\n" * 50)[:-20])
    with pytest.raises(InputError) as caught:
        read_gene_sets(path)
    assert caught.value.code == "unreadable_gene_sets"


def test_sets_with_few_measured_genes_are_left_out_and_named(caplog):
    caplog.set_level("WARNING")
    sets = {"LARGE": HUMAN, "SMALL": [*HUMAN[:2], "NOTHERE1", "NOTHERE2", "NOTHERE3"]}
    found = matched_sets(sets, pd.Index(HUMAN))
    assert found == {"LARGE": sorted(HUMAN)}
    assert "SMALL (2)" in caplog.text
    assert set(matched_sets(sets, pd.Index(HUMAN), fewest=2)) == {"LARGE", "SMALL"}


def test_ensembl_ids_and_former_symbols_are_found():
    genes = pd.DataFrame({"gene_id": ["ENSG00000141510", "", ""]}, index=["TP53", "H2AZ1", "AARS1"])
    found = matched_sets({"A": ["ENSG00000141510", "H2AFZ", "AARS"]}, genes, organism="human", fewest=3)
    assert found == {"A": ["AARS1", "H2AZ1", "TP53"]}


def test_human_sets_serve_mouse_by_orthologs_alone(tmp_path):
    with pytest.raises(InputError) as caught:
        matched_sets({"A": HUMAN}, pd.Index(MOUSE))
    assert caught.value.code == "orthologs_missing"
    table = tmp_path / "orthologs.csv"
    pairs = [f"{mouse},{human}" for mouse, human in zip(MOUSE, HUMAN, strict=True)]
    # Two orthologs: the gene belongs to neither.
    table.write_text("\n".join(["mouse,human", *pairs, "Myc2,MYC"]))
    found = matched_sets({"A": HUMAN}, pd.Index(MOUSE), orthologs=table)
    assert found == {"A": sorted(set(MOUSE) - {"Myc"})}


def test_a_library_of_which_nothing_is_measured_is_refused():
    with pytest.raises(InputError) as caught:
        matched_sets({"A": HUMAN}, pd.Index(["ABCA1", "ABCA2", "ABCA3", "ABCA4", "ABCA7"]))
    assert caught.value.code == "no_gene_sets"
    assert "A (0)" in caught.value.message
