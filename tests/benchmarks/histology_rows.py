"""What the metrics and rows of the image benchmarks mean."""

from benchmarks.score_rows import COLUMNS, Row, as_table, rows

__all__ = ["COLUMNS", "Row", "as_table", "rows"]

# Which metrics are better when larger; others have no winner.
HIGHER = (
    "PCC top 250",
    "PCC top 50",
    "depth-adjusted PCC top 250",
    "depth-adjusted PCC top 50",
    "over ceiling top 250",
    "over ceiling top 50",
    "r",
    "AUROC",
    "AUPRC",
    "ARI",
    "NMI",
    "ARI as shipped",
    "NMI as shipped",
)
# Rows that know what no head knows; they are no rivals.
CEILING = "noise ceiling"
# Of values between spots: they read the section's spots, as every method there does, and no image.
NEAREST, LINEAR, SMOOTH = "nearest spot", "linear interpolation", "smooth field without image"
INTERPOLATIONS = (NEAREST, LINEAR, SMOOTH)
# Of domains: what is read, and answers that read nothing, or no image.
ALONE, WITH_EXPRESSION = "image alone", "with expression"
ONE_DOMAIN, BLOCKS = "one domain for all", "blocks of positions"
PCA, SPATIAL = "expression alone, pca", "expression alone, spatial"
WITHOUT_IMAGE = (ONE_DOMAIN, BLOCKS, PCA, SPATIAL)
# Read the measured expression of the very section that they predict.
INFORMED = ("neighbour mean", "library size", CEILING)
