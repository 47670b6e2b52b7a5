"""Scores against truth, labels and hidden genes, beside trivial baselines."""
