"""Genes of a sample in a model's vocabulary: ids, symbols, case, former symbols, orthologs; and refusals."""

import logging

import pandas as pd
import pytest

from tissuemake.errors import InputError
from tissuemake.gene_aliases import BUILT_IN, read_aliases
from tissuemake.gene_matching import match_vocabulary
from tissuemake.genes import match_genes

# Enough plain symbols of either organism that it can be read off the names.
HUMAN = ("EPCAM", "KRT8", "CD3E", "PTPRC", "MS4A1", "ACTB", "GAPDH", "COL1A1", "CD14", "LYZ")
MOUSE = tuple(name.capitalize() for name in HUMAN)


def genes(*names: str, **ids: str) -> pd.DataFrame:
    index = pd.Index([*names, *(name for name in ids if name not in names)], dtype=str)
    return pd.DataFrame({"gene_id": [ids.get(name, "") for name in index]}, index=index)


def named(match, left: pd.DataFrame, right: pd.DataFrame) -> dict[str, str]:
    return dict(zip(left.index[match.left], right.index[match.right], strict=True))


def test_each_way_finds_its_gene_and_is_counted():
    left = genes(*HUMAN, "c1orf112", "SEPT7", "GONE", OLD="ENSG00000000007.3")
    right = genes(*HUMAN[::-1], "C1orf112", "SEPTIN7", NEW="ENSG00000000007")
    match = match_genes(left, right)
    found = named(match, left, right)
    assert found["OLD"] == "NEW" and found["c1orf112"] == "C1orf112" and found["SEPT7"] == "SEPTIN7"
    assert "GONE" not in found
    assert match.ways == {"id": 1, "symbol": len(HUMAN), "case": 1, "alias": 1}


def test_former_symbols_of_both_lists_meet_and_mouse_ones_are_their_own():
    left, right = genes(*MOUSE, "Sept7", "Atp5md"), genes(*MOUSE, "7-Sep", "Usmg5")
    assert named(match_genes(left, right), left, right)["Atp5md"] == "Usmg5"
    assert named(match_genes(left, right), left, right)["Sept7"] == "7-Sep"
    left, right = genes(*MOUSE, "Hist1h1c"), genes(*MOUSE, "H1f2")
    assert named(match_genes(left, right), left, right)["Hist1h1c"] == "H1f2"


def test_case_and_former_symbols_do_not_cross_organisms():
    left, right = genes(*MOUSE, "Sept7"), genes(*HUMAN, "SEPTIN7")
    assert len(match_genes(left, right).left) == 0


def test_a_former_symbol_is_not_used_where_two_genes_could_be_meant():
    left = genes(*HUMAN, "SEPT7", "7-SEP")
    right = genes(*HUMAN, "SEPTIN7")
    assert set(named(match_genes(left, right), left, right)) == set(HUMAN)
    # The list that has both names means two genes.
    left = genes(*HUMAN, "QARS", "QARS1")
    right = genes(*HUMAN, "QARS1")
    assert named(match_genes(left, right), left, right)["QARS1"] == "QARS1"
    assert "QARS" not in named(match_genes(left, right), left, right)


def test_different_ids_are_different_genes_whatever_their_former_symbols():
    left, right = genes(*HUMAN, SEPT7="ENSG00000000001"), genes(*HUMAN, SEPTIN7="ENSG00000000002")
    assert "SEPT7" not in named(match_genes(left, right), left, right)


def test_built_in_aliases_are_facts_of_one_meaning():
    table = pd.read_csv(BUILT_IN, sep="\t", dtype=str, keep_default_na=False)
    assert set(table["organism"]) == {"", "human", "mouse"}
    assert not table.duplicated(["alias", "organism"]).any()
    for organism in ("human", "mouse"):
        rows = table[table["organism"].isin(["", organism])]
        assert len(read_aliases(organism=organism)) == len(rows), "a row of the table is never used"
    assert read_aliases(organism="human")["MARCH1"] == "MARCHF1"
    assert "TAZ" not in read_aliases(organism="human")  # TAFAZZIN once, and WWTR1 to everybody


def test_a_persons_table_adds_replaces_and_drops_what_is_doubtful(tmp_path):
    path = tmp_path / "aliases.csv"
    path.write_text("alias,symbol\nmyGene,CD3E\nSEPT7,CD14\nTWO,ACTB\nTWO,LYZ\nEPCAM,KRT8\nKRT8,EPCAM\n")
    found = read_aliases(path, "human")
    assert (found["MYGENE"], found["SEPT7"], found["SEPT6"]) == ("CD3E", "CD14", "SEPTIN6")
    assert not {"TWO", "EPCAM", "KRT8"} & set(found)
    left, right = genes(*(name for name in HUMAN if name != "CD3E"), "MyGene"), genes(*HUMAN)
    assert named(match_genes(left, right, path), left, right)["MyGene"] == "CD3E"


@pytest.mark.parametrize(
    ("text", "code"),
    [(None, "missing_aliases"), ("old,new\na,b\n", "bad_aliases"), (b"\xff\xfe\x00", "unreadable_aliases")],
)
def test_a_wrong_table_of_aliases_names_the_key(tmp_path, text, code):
    path = tmp_path / "aliases.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        read_aliases(path)
    assert caught.value.code == code and "reference.aliases" in caught.value.remedy


@pytest.fixture
def orthologs(tmp_path):
    path = tmp_path / "orthologs.csv"
    pairs = [*zip(MOUSE, HUMAN, strict=True), ("March1", "MARCH1"), ("Many1", "MANY"), ("Many2", "MANY")]
    path.write_text("mouse,human\n" + "".join(f"{mouse},{human}\n" for mouse, human in pairs))
    return path


def test_between_organisms_only_one_to_one_orthologs_count(orthologs):
    left, right = genes(*MOUSE, "Marchf1", "Many1", "H19"), genes(*HUMAN[::-1], "MARCH1", "MANY", "H19")
    match = match_vocabulary(left, right, orthologs=orthologs)
    assert named(match, left, right) == {**dict(zip(MOUSE, HUMAN, strict=True)), "Marchf1": "MARCH1"}
    assert match.ways == {"ortholog": len(HUMAN) + 1}


def test_without_orthologs_the_other_organism_is_refused_by_name():
    with pytest.raises(InputError) as caught:
        match_vocabulary(genes(*MOUSE), genes(*HUMAN), sample_name="sample 's'", model_name="model 'm'")
    assert caught.value.code == "orthologs_missing"
    assert "sample 's' is mouse, model 'm' is human" in caught.value.message


def test_a_panel_is_measured_by_its_own_length_and_the_rate_is_logged(caplog):
    vocabulary = genes(*HUMAN, *(f"OTHER{i}" for i in range(1000)))
    with caplog.at_level(logging.INFO):
        match = match_vocabulary(genes(*HUMAN), vocabulary)
    assert match.left_rate == 1.0
    assert "100.0% of the shorter list: 10 by symbol" in caplog.text


def test_too_few_shared_genes_name_both_sides_the_rate_and_examples():
    sample, vocabulary = (
        genes(*(f"PROBE{i}" for i in range(300)), *HUMAN),
        genes(*HUMAN, *(f"X{i}" for i in range(500))),
    )
    with pytest.raises(InputError) as caught:
        match_vocabulary(sample, vocabulary, sample_name="sample 's'", model_name="model 'm'")
    assert caught.value.code == "low_gene_overlap"
    for said in ("sample 's' (310 genes", "model 'm' (510 genes", "share 10 genes, 3.2%", "'PROBE0'", "'X0'"):
        assert said in caught.value.message
    assert "reference.aliases" in caught.value.remedy


def test_few_genes_are_too_few_though_they_are_half_of_the_panel():
    with pytest.raises(InputError, match="share 9 genes"):
        match_vocabulary(genes(*HUMAN[:9], *(f"P{i}" for i in range(9))), genes(*HUMAN))


@pytest.mark.real
def test_real_symbols_of_two_annotations_meet_as_their_ids_do(data_dir):
    import anndata as ad
    import scanpy as sc

    old = sc.read_10x_h5(
        next((data_dir / "visium" / "breast_cancer_338spots").rglob("filtered_feature_bc_matrix.h5"))
    )
    old.var_names_make_unique()
    left = pd.DataFrame({"gene_id": old.var["gene_ids"].to_numpy()}, index=old.var_names)
    new = ad.read_h5ad(data_dir / "sc_reference" / "pancreas_smartseq2_500cells.h5ad")
    right = pd.DataFrame({"gene_id": new.var_names}, index=new.var["feature_name"].astype(str).to_numpy())
    by_id = match_genes(left, right)
    by_name = match_genes(left.assign(gene_id=""), right.assign(gene_id=""))
    truth = dict(zip(by_id.left, by_id.right, strict=True))
    found = dict(zip(by_name.left, by_name.right, strict=True))
    assert by_name.ways["alias"] >= 80
    wrong = [left.index[i] for i in found if i in truth and truth[i] != found[i]]
    assert not wrong
