"""Vendor folders become one AnnData: a version-aware reader per platform."""
