"""A library is fetched, simulated or given; one that is known is attributed by its bytes."""

import gzip
import json

import pytest

from tissuemake import sources
from tissuemake.errors import InputError
from tissuemake.pathways import library
from tissuemake.pathways.gene_sets import read_gene_sets
from tissuemake.pathways.library import HALLMARK, attribution, fetched_library, library_source

TEXT = "A\t\tTP53\tEGFR\n"


def test_hallmark_is_a_pinned_url_and_anything_else_stays():
    source = library_source(HALLMARK)
    assert sources.is_remote(source) and sources.split_url(source)[1] == library.HALLMARK_SHA256
    assert library_source("sets.gmt") == "sets.gmt" and library_source("") == ""


def test_a_copy_of_hallmark_is_attributed_by_its_bytes(data_dir, tmp_path):
    found = attribution(data_dir / "genesets" / "h.all.human.symbols.gmt")
    assert found["licence"] == "CC BY 4.0" and "Broad Institute" in found["attribution"]
    (tmp_path / "mine.gmt").write_text(TEXT)
    assert attribution(tmp_path / "mine.gmt") == {
        "library": "mine.gmt",
        "licence": "not stated",
        "attribution": "",
    }
    assert attribution(tmp_path / "mine.gmt", "https://example.org/kegg.gmt")["library"] == "kegg.gmt"


def test_a_library_is_copied_byte_for_byte_or_unpacked(tmp_path):
    plain, packed, output = tmp_path / "s.gmt", tmp_path / "s.gmt.gz", tmp_path / "o" / "library.gmt"
    plain.write_text(TEXT)
    fetched_library(str(plain), "", output)
    assert output.read_text() == TEXT
    with gzip.open(packed, "wt") as handle:
        handle.write(TEXT)
    fetched_library(str(packed), "", output)
    assert read_gene_sets(output) == read_gene_sets(plain)


def test_a_download_that_failed_says_what_the_server_said(tmp_path):
    receipt = tmp_path / "receipt.json"
    receipt.write_text(json.dumps({"status": "failed", "message": "No route.", "remedy": "Try again."}))
    with pytest.raises(InputError) as caught:
        fetched_library(HALLMARK, receipt, tmp_path / "library.gmt")
    assert caught.value.code == "not_fetched"
    assert "No route." in caught.value.message and "pathways.gene_sets" in caught.value.remedy
    assert not (tmp_path / "library.gmt").exists()
