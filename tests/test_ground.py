"""The ground floor: whole files or none, contracts that refuse, genes that add up."""

import errno

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from tissuemake import contracts
from tissuemake.errors import InputError
from tissuemake.files import atomic, read_json, write_json
from tissuemake.genes import guess_organism, match_genes, tidy_genes


def test_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic(target) as partial:
        partial.write_text("new")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_partial_of_a_killed_process_is_replaced(tmp_path):
    (tmp_path / ".a.partial.json").write_text("{")
    write_json({"a": 1}, tmp_path / "a.json")
    assert read_json(tmp_path / "a.json") == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("write failed, errno 28: No space left on device"),
    ],
)
def test_full_disk_names_the_file(tmp_path, error):
    with pytest.raises(InputError) as caught, atomic(tmp_path / "big.h5ad"):
        raise error
    assert caught.value.code == "disk_full"
    assert "big.h5ad" in caught.value.message


def test_counts_that_are_not_counts_break_the_contract(tmp_path):
    spots = ad.AnnData(
        sp.csr_matrix(np.array([[1, 0.5]], dtype=np.float32)),
        obs=pd.DataFrame({"in_tissue": [True]}, index=["s"]),
        var=pd.DataFrame({"gene_id": ["", ""]}, index=["A", "B"]),
        obsm={"spatial": np.zeros((1, 2))},
        uns={"spatial": {}, "tissuemake": {}},
    )
    with pytest.raises(InputError, match="not counts"):
        contracts.write_anndata(spots, tmp_path / "x.h5ad", contracts.INGESTED)
    assert not list(tmp_path.iterdir())


def test_proportions_must_sum_to_one_and_provenance_comes_back(tmp_path):
    shares = pd.DataFrame({"T": [0.25, 1.0], "B": [0.75, 0.0], "T_sd": [0.1, 0.1]}, index=["s1", "s2"])
    path = tmp_path / "nnls.parquet"
    contracts.write_table(shares, path, contracts.PROPORTIONS, {"method": "nnls"})
    back = contracts.read_table(path, contracts.PROPORTIONS)
    assert contracts.type_columns(back) == ["T", "B"]
    assert back.attrs["tissuemake"] == {"method": "nnls"}
    with pytest.raises(InputError, match="sum to 1"):
        contracts.write_table(shares * 2, path, contracts.PROPORTIONS)
    unknown = shares.assign(T=[0.15, 0.9], unknown=0.1, gate=[0.9, 0.4])
    contracts.write_table(unknown, path, contracts.PROPORTIONS)
    assert contracts.type_columns(unknown) == ["T", "B", "unknown"]


def with_unknown() -> pd.DataFrame:
    columns = {"T": [0.2, 0.0], "B": [0.2, 0.0], "unknown": [0.6, 1.0]}
    spread = {"T_sd": [0.1, 0.1], "B_sd": [0.1, 0.1], "unknown_sd": [0.2, 0.2], "gate": [0.5, np.nan]}
    return pd.DataFrame({**columns, **spread}, index=["s1", "s2"])


def test_unknown_is_part_of_a_composition_and_the_gate_is_not(tmp_path):
    path = tmp_path / "sparank.parquet"
    contracts.write_table(with_unknown(), path, contracts.PROPORTIONS)
    back = contracts.read_table(path, contracts.PROPORTIONS)
    assert contracts.type_columns(back) == ["T", "B", "unknown"]
    assert np.isnan(back["gate"].iloc[1])


@pytest.mark.parametrize(
    ("column", "said"), [("gate", "between 0 and 1"), ("B_sd", "negative"), ("T", "sum to 1")]
)
def test_a_composition_out_of_its_bounds_breaks_the_contract(tmp_path, column, said):
    wrong = with_unknown()
    wrong[column] = -0.5
    with pytest.raises(InputError, match=said):
        contracts.write_table(wrong, tmp_path / "x.parquet", contracts.PROPORTIONS)


def test_known_shares_leave_unknown_out_and_sum_to_one():
    known = contracts.known_shares(with_unknown())
    assert list(known) == ["T", "B"]
    assert known.loc["s1"].tolist() == [0.5, 0.5] and known.loc["s2"].tolist() == [0.5, 0.5]
    plain = with_unknown()[["T", "B"]]
    assert contracts.known_shares(plain).equals(plain)


def test_duplicate_genes_are_summed_and_namesakes_kept_apart():
    counts = sp.csr_matrix(np.array([[1, 2, 4, 8, 16]], dtype=np.float32))
    ids = ["ENSG00000000001.2", "ENSG00000000001", "ENSG00000000002", "", ""]
    var = pd.DataFrame({"gene_id": ids}, index=["A", "A", "A", "B", "B"])
    tidy = tidy_genes(ad.AnnData(counts, var=var))
    named = dict(zip(tidy.var_names, tidy.X.toarray()[0], strict=True))
    assert named == {"A": 3, "A (ENSG00000000002)": 4, "B": 24}
    assert list(tidy.var["gene_id"]) == ["ENSG00000000001", "ENSG00000000002", ""]


def test_a_gene_without_id_stays_apart_from_its_namesake_with_one():
    var = pd.DataFrame({"gene_id": ["ENSG00000000001", ""]}, index=["A", "A"])
    tidy = tidy_genes(ad.AnnData(sp.csr_matrix(np.ones((1, 2), np.float32)), var=var))
    assert list(tidy.var_names) == ["A", "A (no id)"]


@pytest.mark.parametrize("name", ["t.parquet", "t.h5ad"])
def test_a_file_that_is_cut_short_is_named(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=name):
        if name.endswith("parquet"):
            contracts.read_table(path, contracts.DOMAINS)
        else:
            contracts.read_anndata(path, contracts.FILTERED)


def test_genes_match_by_id_before_symbol():
    left = pd.DataFrame({"gene_id": ["ENSG1", "", "ENSG3"]}, index=["OLD", "B", "C"])
    right = pd.DataFrame({"gene_id": ["", "ENSG1", ""]}, index=["OLD", "NEW", "B"])
    match = match_genes(left, right)
    assert list(match.left) == [0, 1] and list(match.right) == [1, 2]
    assert match.left_rate == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("names", "organism"),
    [
        (["EPCAM", "KRT8", "CD3E", "PTPRC", "MS4A1"], "human"),
        (["Epcam", "Krt8", "Cd3e", "Ptprc", "Ms4a1"], "mouse"),
        (["ENSMUSG00000000001.4"] * 5, "mouse"),
        (["ENSG00000000001"] * 5, "human"),
        (["g1", "g2"], ""),
    ],
)
def test_organism_is_read_off_the_names(names, organism):
    assert guess_organism(pd.Index(names)) == organism
