"""What a layer and a group of layers are: a named value, or class, per spot that the tissue can be coloured by."""

from dataclasses import dataclass, field

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.reporting.palette import categorical

# The group that others are compared with.
MEASURED = "Genes, measured"


@dataclass(frozen=True)
class Layer:
    """One colouring. `values`: float per spot, or codes into `categories` (-1: none).

    `floor` and `ceiling` end the colours where several layers must be comparable (NaN: where their own values say).
    `key` is what the layer is of, by which another group's layer of the same is found (empty: its label).
    `slices_in` names the group whose layers, labelled as the categories, are the slices of pies;
    `spread_in` the group whose layer of the same label holds the standard deviations of these values.
    """

    label: str
    values: np.ndarray
    unit: str = ""
    categories: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    floor: float = np.nan
    ceiling: float = np.nan
    key: str = ""
    slices_in: str = ""
    spread_in: str = ""


@dataclass(frozen=True)
class Points:
    """Places of their own, finer than the spots, drawn as squares that touch.

    `xy` (n, 2) and `step`, the edge of a square, are full-resolution pixels; `spots` (n,) says which row of the
    sample a place lies in, -1 for none.
    """

    xy: np.ndarray
    step: float
    spots: np.ndarray


@dataclass(frozen=True)
class Group:
    """Layers that stand together in the viewer's first list; their values are of the spots, or of `points`."""

    label: str
    layers: list[Layer] = field(default_factory=list)
    note: str = ""
    points: Points | None = None


def class_layer(
    label: str,
    values: pd.Series,
    order: list[str] | None = None,
    colours: dict[str, str] | None = None,
    slices_in: str = "",
) -> Layer:
    """Return a categorical layer; without `colours`, the order of `order` (or natural order) gives them."""
    text = values.astype("object").where(values.notna()).map(str, na_action="ignore")
    names = order or sorted(text.dropna().unique(), key=natural)
    codes = pd.Categorical(text, categories=names).codes
    given = [colours[name] for name in names] if colours else categorical(len(names))
    return Layer(label, codes.astype(int), "", tuple(names), tuple(given), slices_in=slices_in)


def natural(text: str) -> tuple:
    """Sort key under which "10" follows "9"."""
    return (0, int(text), "") if text.isdigit() else (1, 0, text)


def column(adata: ad.AnnData, gene: str) -> np.ndarray:
    """One gene's values as a dense vector."""
    values = adata[:, gene].X
    return np.asarray(values.todense() if sp.issparse(values) else values, dtype=float).ravel()
