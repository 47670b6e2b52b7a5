"""Vendor folders become one AnnData: a version-aware reader per platform."""

from tissuemake.ingest.reader import ingest_sample, open_reader

__all__ = ["ingest_sample", "open_reader"]
