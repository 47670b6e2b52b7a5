"""A single-cell atlas becomes a reference: filtered counts, signatures, markers."""
