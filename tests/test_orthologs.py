"""A person's table of orthologs: one-to-one pairs only, and a table that cannot be used is named."""

import gzip

import pytest

from tissuemake.errors import InputError
from tissuemake.orthologs import read_orthologs


def test_only_one_to_one_pairs_stay(tmp_path):
    table = tmp_path / "orthologs.tsv"
    pairs = ["Tp53 \tTP53", "Tp53\tTP53", "Ccl21a\tCCL21", "Ccl21b\tCCL21", "Nat1\tNAT1", "Nat1\tNAT2"]
    table.write_text("\n".join(["mouse\thuman", *pairs, "Xist\t", "Nan\tNA"]) + "\n")
    assert read_orthologs(table, "human", "mouse").to_dict() == {"TP53": "Tp53", "NA": "Nan"}
    assert read_orthologs(table, "mouse", "human").to_dict() == {"Tp53": "TP53", "Nan": "NA"}


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("none.csv", None, "missing_orthologs", "none.csv"),
        ("$NO_SUCH_SHARE/o.csv", None, "missing_orthologs", "variable is not set: NO_SUCH_SHARE"),
        (
            "cut.csv.gz",
            gzip.compress(b"human,mouse\n" + bytes(range(256)) * 9, mtime=0)[:90],
            "unreadable_orthologs",
            "cut",
        ),
        ("noise.csv.gz", b"human,mouse\nTP53,Tp53\n", "unreadable_orthologs", "noise.csv.gz"),
        ("empty.csv", b"", "unreadable_orthologs", "empty.csv"),
        ("rat.csv", b"human,rat\nTP53,Tp53\n", "bad_orthologs", "'mouse'"),
    ],
    # Named by hand: an id made of the bytes would hold gzip's time stamp and differ between two workers.
    ids=["absent", "unset_variable", "cut", "not_gzip", "empty", "other_species"],
)
def test_a_table_that_cannot_be_used_is_named(tmp_path, name, content, code, said):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_orthologs(path, "human", "mouse")
    assert caught.value.code == code
    assert said in str(caught.value)
    assert "reference.orthologs" in caught.value.remedy


@pytest.mark.real
def test_the_published_table_maps_most_human_genes(data_dir):
    pairs = read_orthologs(data_dir / "genesets" / "mouse_human_orthologs.csv", "human", "mouse")
    assert len(pairs) == 17521
    assert pairs.index.is_unique and pairs.is_unique
    assert pairs["EPCAM"] == "Epcam"
