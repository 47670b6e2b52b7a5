"""The cell types of the simulated tissue: lineage, RNA content, and how their nuclei look in H&E."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CellType:
    """One cell type.

    Parameters
    ----------
    major
        Lineage, the coarser level of the hierarchy.
    rna
        RNA content relative to an average cell.
    nucleus_um
        Semi-axes of the nucleus (long, short), µm.
    haematoxylin
        Optical density of the nucleus in the haematoxylin channel.
    aligned
        Whether the long axis follows the fibres of the tissue around it.
    cytoplasm_um, cytoplasm_eosin, cytoplasm_haematoxylin
        Radius of the visible cytoplasm (µm) and what it adds to either stain.
    """

    name: str
    major: str
    rna: float
    nucleus_um: tuple[float, float]
    haematoxylin: float
    aligned: bool
    cytoplasm_um: float
    cytoplasm_eosin: float
    cytoplasm_haematoxylin: float


CELL_TYPES: tuple[CellType, ...] = (
    CellType(
        "Luminal epithelial",
        "Epithelial",
        1.6,
        (4.7, 3.9),
        0.72,
        False,
        7.5,
        0.10,
        0.14,
    ),
    CellType(
        "Basal epithelial",
        "Epithelial",
        1.1,
        (4.4, 2.7),
        0.98,
        False,
        5.5,
        0.06,
        0.20,
    ),
    CellType(
        "Fibroblast",
        "Stromal",
        0.75,
        (6.0, 1.6),
        0.92,
        True,
        4.0,
        0.12,
        0.0,
    ),
    CellType(
        "Endothelial",
        "Stromal",
        0.6,
        (5.2, 1.3),
        1.0,
        True,
        3.0,
        0.05,
        0.05,
    ),
    CellType(
        "Smooth muscle",
        "Stromal",
        0.95,
        (7.6, 1.7),
        0.74,
        True,
        5.0,
        0.18,
        0.0,
    ),
    CellType(
        "Adipocyte",
        "Stromal",
        0.85,
        (3.6, 1.1),
        0.95,
        False,
        0.0,
        0.0,
        0.0,
    ),
    CellType(
        "T cell",
        "Immune",
        0.5,
        (2.9, 2.7),
        1.45,
        False,
        3.4,
        0.0,
        0.05,
    ),
    CellType(
        "B cell",
        "Immune",
        0.55,
        (3.3, 3.1),
        1.30,
        False,
        3.9,
        0.0,
        0.08,
    ),
    CellType(
        "Plasma cell",
        "Immune",
        1.4,
        (3.1, 2.7),
        1.22,
        False,
        5.2,
        0.04,
        0.34,
    ),
    CellType(
        "Macrophage",
        "Immune",
        1.2,
        (4.6, 2.9),
        0.66,
        False,
        8.0,
        0.02,
        -0.03,
    ),
)
NAMES: tuple[str, ...] = tuple(kind.name for kind in CELL_TYPES)
MAJOR: dict[str, str] = {kind.name: kind.major for kind in CELL_TYPES}
