"""The sheets a person fills in: what is accepted, what is set aside, what stops the run."""

import pytest

from tissuemake import sources
from tissuemake.errors import InputError
from tissuemake.sheets import Reference, Sample, read_references, read_samples, target_organism


def write(tmp_path, *rows, header="sample\tassay\tpath\treference\tmpp"):
    sheet = tmp_path / "samples.tsv"
    sheet.write_text("\n".join([header, *rows]) + "\n")
    return sheet


def test_good_row_is_typed_and_blank_cells_are_empty(tmp_path):
    sheet = write(tmp_path, "# a comment", "", "a\tvisium\t$HOME/x \tatlas\t0.5")
    row = read_samples(sheet, {"atlas"}).rows["a"]
    assert (row.mpp, row.reference, row.image, row.pretrain) == (0.5, "atlas", "", False)
    assert not row.located().path.startswith("$")


def test_array_units_are_hundreds_of_um(tmp_path):
    assert read_samples(write(tmp_path, "a\tst\tp\t\t200")).rows["a"].mpp == 200


def test_a_tab_too_many_at_the_ends_of_rows_moves_nothing(tmp_path):
    rows = read_samples(write(tmp_path, "a\tvisium\tp\t\t\t\t", "b\tst\tq\t\t\t\t")).rows
    assert {name: (row.assay, row.path) for name, row in rows.items()} == {
        "a": ("visium", "p"),
        "b": ("st", "q"),
    }


def test_lines_are_counted_as_an_editor_does(tmp_path):
    sheet = write(tmp_path, "# a comment", "", "a\tvisum\tp")
    assert "samples.tsv line 4" in read_samples(sheet).rejected["a"]["message"]


@pytest.mark.parametrize(
    ("rows", "header", "code", "said"),
    [
        (["a\tvisium\tp\tx"], "sample\tassay\tpath", "unreadable_sheet", "line 2 has 4 cells"),
        (["a\tvisium\tp\tx"], "sample\tassay\tpath\tpath", "duplicate_column", "'path' stands twice"),
    ],
)
def test_a_sheet_whose_cells_are_ambiguous_is_refused(tmp_path, rows, header, code, said):
    with pytest.raises(InputError, match=said) as caught:
        read_samples(write(tmp_path, *rows, header=header))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("stated", "organism"),
    [
        (["mouse", "mouse"], "mouse"),
        (["human"], "human"),
        (["mouse", "human"], "human"),
        (["mouse", ""], "human"),
        ([""], "human"),
        ([], "human"),
    ],
)
def test_a_reference_serves_the_organism_that_all_its_samples_state(stated, organism):
    reference = Reference("atlas", "x.h5ad", "cell_type", "human")
    samples = [Sample(str(i), "st", "p", organism=o, reference="atlas") for i, o in enumerate(stated)]
    samples.append(Sample("other", "st", "p", organism="mouse", reference="another"))
    assert target_organism(reference, samples) == organism


def test_urls_keep_their_pinned_hash(tmp_path):
    url = "https://example.org/a.h5#sha256=" + "0" * 64
    row = read_samples(write(tmp_path, f"a\th5ad\t{url}\t\t")).rows["a"]
    assert row.path == url
    assert row.located().path == f"results/downloads/{sources.key(url)}/a.h5"


@pytest.mark.parametrize(
    ("row", "code", "said"),
    [
        ("../x\tvisium\tp\t\t", "bad_name", "'../x'"),
        ("a b\tvisium\tp\t\t", "bad_name", "'a b'"),
        ("<script>\tvisium\tp\t\t", "bad_name", "'<script>'"),
        ("a\tvisum\tp\t\t", "unknown_assay", "'visium'"),
        ("a\tvisium\t\t\t", "missing_value", "path"),
        ("a\tvisium\tp\tatlsa\t", "unknown_reference", "'atlas'"),
        ("a\tvisium\tp\t\t-3", "bad_mpp", "'-3'"),
        ("a\tvisium\tp\t\t1001", "bad_mpp", "between 0.01 and 1000"),
        ("a\tvisium\tp\t\thalf", "bad_mpp", "'half'"),
        ("a\tvisium\tsimulated://layerd/visium\t\t", "unknown_simulation", "simulated://layered"),
        ("a\tvisium\thttps://example.org/x.h5#sha256=12\t\t", "bad_hash", "64 hex"),
    ],
)
def test_bad_row_is_set_aside_and_the_others_stay(tmp_path, row, code, said):
    sheet = read_samples(write(tmp_path, row, "good\tvisium\tp\t\t"), {"atlas"})
    assert list(sheet.rows) == ["good"]
    (finding,) = sheet.rejected.values()
    assert finding["code"] == code and finding["remedy"]
    assert said in finding["message"] + finding["remedy"]
    assert "samples.tsv line 2" in finding["message"]


def test_duplicates_are_both_set_aside(tmp_path):
    sheet = read_samples(write(tmp_path, "a\tvisium\tp\t\t", "a\tst\tq\t\t", "b\tst\tq\t\t"))
    assert list(sheet.rows) == ["b"]
    assert list(sheet.rejected) == ["line-2", "line-3"]
    assert {finding["sample"] for finding in sheet.rejected.values()} == {"a"}


@pytest.mark.parametrize(
    ("header", "rows", "code", "said"),
    [
        ("sample\tassay\tpath\tmmp", ["a\tst\tp\t1"], "unknown_column", "'mpp'"),
        ("sample\tassay", ["a\tst"], "missing_column", "'path'"),
        ("sample\tassay\tpath", [], "empty_sheet", "no rows"),
        ("", [], "empty_sheet", "samples.tsv"),
    ],
)
def test_sheet_that_cannot_be_understood_stops_the_run(tmp_path, header, rows, code, said):
    with pytest.raises(InputError) as caught:
        read_samples(write(tmp_path, *rows, header=header))
    assert caught.value.code == code
    assert said in str(caught.value)


def test_missing_sheet_names_the_file(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.tsv"):
        read_samples(tmp_path / "nowhere.tsv")


def test_reference_sheet_may_be_empty_but_not_wrong(tmp_path):
    sheet = tmp_path / "references.tsv"
    sheet.write_text("reference\tpath\tlabel_key\torganism\n")
    assert read_references(sheet).rows == {}
    sheet.write_text("reference\tpath\tlabel_key\torganism\nr\tx.h5ad\tcell_type\tmous\n")
    with pytest.raises(InputError, match="'mouse'"):
        read_references(sheet)
