"""Genes that were not measured, or measured thinly."""
