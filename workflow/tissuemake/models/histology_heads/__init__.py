"""Heads: what is read off the embeddings of H&E tiles, whoever made them, fitted on a cohort."""
