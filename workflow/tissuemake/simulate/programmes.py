"""Planted pathway programmes: sets of genes whose activity follows a border, the zones, or a field of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.ndimage import distance_transform_edt

from tissuemake.errors import InputError
from tissuemake.simulate.expression import Biology, redraw
from tissuemake.simulate.gene_catalogue import gene_catalogue
from tissuemake.simulate.signalling import known_pairs
from tissuemake.simulate.tissue import GRID_UM, Section, stream
from tissuemake.simulate.zones import smooth_noise

MEMBERS = 20  # genes of a programme
# What programmes follow, in turns. A border: highest at it, inside it, or some way outside it.
KINDS = ("front", "zone", "nuclei", "hidden", "inside", "zone", "nuclei", "outside")
BORDER_KINDS = ("front", "inside", "outside")
BORDER_ZONE = 0  # tumour, epithelium or gland: its edge towards all other tissue is the border
DECAY_UM = 120.0  # over which a programme of a border fades
AWAY_UM = 200.0  # where that outside the border is highest
FIELD_UM = 120.0  # smoothness of the fields
CELL_NOISE = 0.3  # of each cell, in standard deviations of the tissue
LIMIT = 2.5
_LEAST_SHARE = 5e-4  # of a cell's molecules: what is not expressed cannot be seen to change
# Natural-log change per unit of activity of how dark, and how large, nuclei are: what H&E shows of such a programme.
_DARKER, _LARGER = 0.22, 0.14


@dataclass(frozen=True)
class Programme:
    """One set of genes.

    Parameters
    ----------
    kind
        One of `KINDS`: ``nuclei`` is a field that H&E shows in the nuclei, ``hidden`` one that it shows nowhere.
    genes
        (members,) positions.
    loadings
        (members,) natural-log change per unit of activity.
    """

    name: str
    kind: str
    genes: np.ndarray
    loadings: np.ndarray

    @property
    def visible(self) -> bool:
        """Whether H&E shows it: in the tissue itself, or in the nuclei."""
        return self.kind != "hidden"


def plan_programmes(
    biology: Biology, seed: int, count: int, taken: Sequence[int] = ()
) -> tuple[Programme, ...]:
    """Choose the genes of `count` programmes; all plans of a seed share them, as they share the biology.

    Parameters
    ----------
    taken
        Positions of genes that play another part.

    Raises
    ------
    InputError
        ``bad_programmes`` when there are not as many genes without a part.
    """
    rng = stream(seed, "planted programmes")
    names = biology.genes.index
    free = (gene_catalogue()["role"].reindex(names) == "").to_numpy()
    free &= ~names.isin(known_pairs().to_numpy().ravel())
    free[list(taken)] = False
    most = int(free.sum()) // MEMBERS
    if not 0 < count <= most:
        raise InputError(
            "bad_programmes",
            f"programmes is {count}; {len(names)} genes have room for {most}.",
            f"Give a number from 0 to {most}, or more genes.",
        )
    genes = rng.permutation(np.flatnonzero(free))[: count * MEMBERS].reshape(count, MEMBERS)
    loadings = rng.uniform(0.5, 1.0, genes.shape)
    kinds = [KINDS[number % len(KINDS)] for number in range(count)]
    return tuple(
        Programme(f"PLANTED_{number + 1}_{kind.upper()}", kind, own, change)
        for number, (kind, own, change) in enumerate(zip(kinds, genes, loadings, strict=True))
    )


def member_genes(programmes: Sequence[Programme]) -> np.ndarray:
    """Positions of the members of the first programme, then of the second, …"""
    return np.concatenate([programme.genes for programme in programmes])


def border_distance(section: Section) -> np.ndarray:
    """Distance (h, w) in µm to the edge of zone `BORDER_ZONE` towards other tissue; negative inside the zone."""
    inside = section.zone == BORDER_ZONE
    other = (section.zone >= 0) & ~inside
    # Between the centres of two raster cells lies the border.
    away, deep = (distance_transform_edt(~part) - 0.5 for part in (inside, other))
    return np.where(inside, -deep, away) * GRID_UM


def activity_fields(
    section: Section, programmes: Sequence[Programme], rng: np.random.Generator
) -> np.ndarray:
    """Activity (programmes, h, w); over the tissue each has mean 0 and standard deviation 1.

    Fields of their own go with no zone, and with no field before them: on a small tissue two would by chance.
    """
    tissue = section.zone >= 0
    fields: list[np.ndarray] = []
    for programme in programmes:
        # Every kind draws, so that what one follows does not change the others.
        levels = rng.normal(0, 1, len(section.zones))
        field = smooth_noise(section.zone.shape, FIELD_UM / GRID_UM, rng)
        if programme.kind == "zone":
            field = levels[section.zone]
        elif programme.kind in BORDER_KINDS:
            field = border_field(programme.kind, border_distance(section))
        else:
            zones = [section.zone[tissue] == index for index in range(len(section.zones))]
            known = np.column_stack([*zones, *(before[tissue] for before in fields)]).astype(float)
            field[tissue] -= known @ np.linalg.lstsq(known, field[tissue], rcond=None)[0]
        spread = max(field[tissue].std(), 1e-9)
        fields.append(np.clip((field - field[tissue].mean()) / spread, -LIMIT, LIMIT))
    return np.array(fields)


def border_field(kind: str, distance: np.ndarray) -> np.ndarray:
    """What a programme of this kind is at a signed `distance` (µm) from the border, before it is standardised."""
    if kind == "front":
        return np.exp(-np.abs(distance) / DECAY_UM)
    if kind == "inside":
        return -np.tanh(distance / DECAY_UM)
    return np.exp(-((distance - AWAY_UM) ** 2) / (2 * (AWAY_UM / 2) ** 2))


def cell_activities(
    section: Section, cells: pd.DataFrame, fields: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Activity (cells, programmes): that of the place, and noise of each cell."""
    here = np.column_stack([section.sample(field, cells["x"], cells["y"]) for field in fields])
    return np.clip(here + rng.normal(0, CELL_NOISE, here.shape), -LIMIT, LIMIT)


def transcribe(
    molecules: sp.csr_matrix,
    shares: np.ndarray,
    activities: np.ndarray,
    programmes: Sequence[Programme],
    dispersion: np.ndarray,
    rng: np.random.Generator,
) -> sp.csr_matrix:
    """Draw the members of all programmes anew, by activity; other genes stay as they are.

    Parameters
    ----------
    molecules
        (cells, genes) drawn without programmes.
    shares
        (cells, members of the first programme, then of the second, …) expected share of a cell's molecules.
    activities
        (cells, programmes).
    dispersion
        (genes,) of the negative binomial.
    """
    genes = member_genes(programmes)
    change = np.hstack([activities[:, [i]] * programme.loadings for i, programme in enumerate(programmes)])
    mean = shares * np.maximum(_LEAST_SHARE / shares.mean(axis=0), 1) * np.exp(change)
    mean *= np.asarray(molecules.sum(axis=1), dtype=float)
    mean *= rng.gamma(1 / dispersion[genes], dispersion[genes], mean.shape)
    return redraw(molecules, genes, rng.poisson(mean).astype(np.int32))


def nuclear_change(activities: np.ndarray, programmes: Sequence[Programme]) -> dict[str, np.ndarray]:
    """Factors ``darker`` and ``larger`` (cells,) of the nuclei's density and axes, where H&E shows a field."""
    shown = [i for i, programme in enumerate(programmes) if programme.kind == "nuclei"]
    # In turns: two fields that change the same of a nucleus could not be told apart.
    darker, larger = (activities[:, shown[start::2]].sum(axis=1) for start in (0, 1))
    return {"darker": np.exp(_DARKER * darker), "larger": np.exp(_LARGER * larger)}


def describe_programmes(cells: ad.AnnData, activities: np.ndarray, programmes: Sequence[Programme]) -> None:
    """Write into `cells` what is true of them: activities, nuclei, and who the programmes are."""
    cells.obsm["programmes"] = activities.astype(np.float32)
    cells.uns["programmes"] = programme_table(programmes, cells.var_names)
    for name, factor in nuclear_change(activities, programmes).items():
        cells.obs[name] = factor


def programme_table(programmes: Sequence[Programme], genes: pd.Index) -> pd.DataFrame:
    """A row per programme: programme, kind, visible, genes (symbols between blanks)."""
    return pd.DataFrame(
        {
            "programme": [programme.name for programme in programmes],
            "kind": [programme.kind for programme in programmes],
            "visible": [programme.visible for programme in programmes],
            "genes": [" ".join(genes[programme.genes]) for programme in programmes],
        }
    )
