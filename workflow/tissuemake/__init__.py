"""tissuemake: spatial transcriptomics from vendor folder to report. Knows no Snakemake."""

__version__ = "0.1.0"
