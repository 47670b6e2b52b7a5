"""Stage: a single-cell atlas becomes a reference: counts, types, signatures, markers."""
