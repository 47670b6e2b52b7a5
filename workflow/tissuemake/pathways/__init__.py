"""Pathway scores of spots from their measured expression, over any library of gene sets."""
