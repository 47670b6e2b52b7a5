"""The header decides what separates columns."""

import gzip

import pytest

from tissuemake.delimited import read_by_barcode, read_delimited


@pytest.mark.parametrize("mark", ["\t", ",", ";"])
@pytest.mark.parametrize("gzipped", [False, True])
def test_separator_is_that_of_the_header(mark, gzipped, tmp_path):
    text = f'\ufeffbarcode{mark}label\ns1{mark}"T cell, CD4+; naive"\ns2{mark}"a b c"\n'
    path = tmp_path / ("table.txt.gz" if gzipped else "table.txt")
    path.write_bytes(gzip.compress(text.encode()) if gzipped else text.encode())
    table = read_delimited(path, index_col=0)
    assert table.index.name == "barcode"
    assert table["label"].to_dict() == {"s1": "T cell, CD4+; naive", "s2": "a b c"}


def test_a_damaged_gzip_is_an_error_of_the_file(tmp_path):
    body = bytearray(gzip.compress(b"barcode\tlabel\n" + bytes(range(97, 123)) * 50))
    body[10] = 0xFF  # no such kind of block: zlib.error
    (tmp_path / "t.tsv.gz").write_bytes(body)
    with pytest.raises(OSError):
        read_delimited(tmp_path / "t.tsv.gz")


def test_commas_in_unquoted_names_of_a_tsv(tmp_path):
    (tmp_path / "t.tsv").write_text("barcode\tlabel\ns1\tCD4+, naive\n")
    assert read_delimited(tmp_path / "t.tsv")["label"].tolist() == ["CD4+, naive"]


@pytest.mark.parametrize("header", ["barcode\tn\tm", "\tn\tm", "n\tm"])
def test_barcodes_stay_as_they_are_written(tmp_path, header):
    (tmp_path / "t.tsv").write_text(f"{header}\n007\t1\tx\n1e5\t2\tx\n")
    table = read_by_barcode(tmp_path / "t.tsv")
    assert table["n"].to_dict() == {"007": "1", "1e5": "2"}
