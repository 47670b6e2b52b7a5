"""A tissue with known truth, written as real vendor folders."""
