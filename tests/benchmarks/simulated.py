"""Simulated problems: spots of known composition from donors, tissues and platforms that the atlas has not seen.

Cells come from the same generator as the simulated vendor folders (`tissuemake.simulate`), each of its ten types
in two states, as atlases have subtypes: with ten types alone NNLS stands at r .96. Every problem is a function of
its seed alone; the atlas of a seed is one file that all of its tests share, so that one training serves them all.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.fingerprint import of_code
from benchmarks.problems import Atlas, Problem, counted, prepared_atlas
from tissuemake import simulate
from tissuemake.sheets import Reference
from tissuemake.simulate import cell_types
from tissuemake.simulate.expression import (
    PROGRAMME_NAMES,
    Biology,
    build_biology,
    calibrate,
    donor_effect,
    draw_molecules,
    platform_efficiency,
    thin,
)
from tissuemake.simulate.tissue import stream

GENES = 1500
SPOTS = 500
MEDIAN_UMI = 3000
MOST_CELLS = 30  # under a spot, from 1 on
AMBIENT = 0.015
CELL_UMI = 1600
ATLAS_CELLS_PER_TYPE = 40  # and donor, on average
POOL_CELLS_PER_TYPE = 60
ATLAS_DONORS = ("atlas donor 1", "atlas donor 2", "atlas donor 3", "atlas donor 4")
TEST_DONORS = ("test donor 1", "test donor 2", "test donor 3")
SHIFTS = (0.0, 1.0)
STATES = ("A", "B")
# Natural-log difference between the states of a type, in this share of the genes.
STATE_CHANGE = 0.9
STATE_GENES = 0.2
TYPES = np.array([f"{name} {state}" for name in cell_types.NAMES for state in STATES])

# The biology of either state.
Biologies = tuple[Biology, Biology]


@dataclass(frozen=True)
class Cells:
    """Molecules (cells, genes) before any platform saw them, with type and donor of each cell."""

    molecules: sp.csr_matrix
    kinds: np.ndarray
    donors: np.ndarray


@lru_cache(maxsize=2)
def biologies_of(seed: int, genes: int = GENES) -> Biologies:
    """What all donors, tissues and platforms of a seed have in common, for cells in state A and in state B."""
    first = build_biology(seed, genes)
    rng = stream(seed, "states")
    change = rng.normal(0, STATE_CHANGE, first.profiles.shape) * (
        rng.random(first.profiles.shape) < STATE_GENES
    )
    return first, changed(first, change)


def changed(biology: Biology, change: np.ndarray) -> Biology:
    """The same biology with every type's profile changed by ``exp(change)`` (types, genes)."""
    profiles = biology.profiles * np.exp(change)
    return replace(biology, profiles=profiles / profiles.sum(axis=1, keepdims=True))


def molecules_of(
    biologies: Biologies,
    kinds: np.ndarray,
    programmes: np.ndarray,
    donor: np.ndarray,
    rng: np.random.Generator,
) -> sp.csr_matrix:
    """Molecules (cells, genes) of cells whose types are `kinds`, positions in `TYPES`."""
    parts, order = [], []
    for state, biology in enumerate(biologies):
        chosen = np.flatnonzero(kinds % len(STATES) == state)
        parts.append(draw_molecules(biology, kinds[chosen] // len(STATES), programmes[chosen], donor, rng))
        order.append(chosen)
    return sp.vstack(parts, format="csr")[np.argsort(np.concatenate(order))]


def draw_cells(
    biologies: Biologies, seed: int, donors: tuple[str, ...], per_type: int, uneven: bool
) -> Cells:
    """About `per_type` cells of every type from every donor; `uneven`: donors differ in composition."""
    parts, kinds = [], []
    for donor in donors:
        rng = stream(seed, f"cells of {donor}")
        shares = rng.dirichlet(np.full(len(TYPES), 5.0)) if uneven else np.full(len(TYPES), 1 / len(TYPES))
        numbers = np.maximum(np.rint(shares * per_type * len(TYPES)).astype(int), 12)
        own = np.repeat(np.arange(len(TYPES)), numbers)
        programmes = rng.normal(0, 0.8, (len(own), len(PROGRAMME_NAMES)))
        donor_own = donor_effect(seed, donor, biologies[0])
        parts.append(molecules_of(biologies, own, programmes, donor_own, rng))
        kinds.append(own)
    names = np.repeat(np.array(donors), [len(own) for own in kinds])
    return Cells(sp.vstack(parts, format="csr"), np.concatenate(kinds), names)


def write_atlas(cells: Cells, genes: pd.DataFrame, efficiency: np.ndarray, seed: int, path: Path) -> None:
    """Let a single-cell platform of the given efficiency (genes,) see `cells`, and write what it saw."""
    totals = np.asarray(cells.molecules.mean(axis=0)).ravel()
    rng = stream(seed, f"capture of {path.stem}")
    counts = thin(cells.molecules, calibrate(efficiency, totals, CELL_UMI), rng).astype(np.float32)
    obs = pd.DataFrame({"cell_type": TYPES[cells.kinds], "donor_id": cells.donors})
    obs.index = [f"cell_{i}" for i in range(len(obs))]
    path.parent.mkdir(parents=True, exist_ok=True)
    ad.AnnData(counts, obs=obs, var=genes).write_h5ad(path)


def atlas_of(name: str, work: Path, write: Callable[[Path], None]) -> Atlas:
    """Prepare the atlas that `write` writes, once for this version of the simulation."""
    version = of_code(Path(__file__), Path(simulate.__file__).parent)
    raw = work / "simulated" / f"{name}-{version}.h5ad"
    if not (work / "references" / raw.stem).is_dir():
        write(raw)
    row = Reference(raw.stem, str(raw), "cell_type", "human", donor_key="donor_id")
    return prepared_atlas(row, work / "references")


@lru_cache(maxsize=2)
def unseen_cells(seed: int, genes: int = GENES) -> Cells:
    """Cells of the donors who make test spots; none of them is in an atlas."""
    return draw_cells(biologies_of(seed, genes), seed, TEST_DONORS, POOL_CELLS_PER_TYPE, uneven=False)


def source_atlas(seed: int, work: Path, without: str = "", genes: int = GENES) -> Atlas:
    """The atlas of `seed`; `without` a type (both states), to ask for it later."""
    name = f"simulated-{seed}" + (f"-{genes}-genes" if genes != GENES else "")
    name += f"-without-{without.replace(' ', '_')}" if without else ""

    def write(path: Path) -> None:
        cells = draw_cells(biologies_of(seed, genes), seed, ATLAS_DONORS, ATLAS_CELLS_PER_TYPE, uneven=True)
        keep = np.array(cell_types.NAMES)[cells.kinds // len(STATES)] != without
        cells = Cells(cells.molecules[keep], cells.kinds[keep], cells.donors[keep])
        write_atlas(cells, biologies_of(seed, genes)[0].genes, np.ones(genes), seed, path)

    return atlas_of(name, work, write)


def balanced(rng: np.random.Generator, spots: int = SPOTS) -> np.ndarray:
    """Shares (spots, types): no type rules the tissue, every spot has its own few."""
    return rng.dirichlet(np.full(len(TYPES), 0.5), spots)


def skewed(rng: np.random.Generator) -> np.ndarray:
    """Shares (spots, types): one type is more than half of the tissue, the rarest a few in a thousand."""
    weights = rng.permutation(0.5 ** np.arange(1, len(TYPES) + 1))
    return rng.dirichlet(3 * weights / weights.sum() + 0.01, SPOTS)


COMPOSITIONS = {"balanced": balanced, "skewed": skewed}


def mix(cells: Cells, shares: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, sp.csr_matrix]:
    """Draw 1 to 30 cells for every spot, from one donor each: how many of each type, and their molecules."""
    sizes = np.rint(np.exp(rng.uniform(0, np.log(MOST_CELLS), len(shares)))).astype(int)
    composition = np.stack([rng.multinomial(size, part) for size, part in zip(sizes, shares, strict=True)])
    donors = np.unique(cells.donors)
    pools = {
        (donor, kind): np.flatnonzero((cells.donors == donor) & (cells.kinds == kind))
        for donor in donors
        for kind in range(len(TYPES))
    }
    rows, columns = [], []
    for spot, numbers in enumerate(composition):
        donor = donors[spot % len(donors)]
        for kind in np.flatnonzero(numbers):
            columns.append(rng.choice(pools[donor, kind], numbers[kind]))
            rows.append(np.full(numbers[kind], spot))
    place = np.concatenate(rows), np.concatenate(columns)
    member = sp.csr_matrix((np.ones(len(place[0])), place), shape=(len(shares), len(cells.kinds)))
    return composition, (member @ cells.molecules).tocsr()


def capture(molecules: sp.csr_matrix, efficiency: np.ndarray, rng: np.random.Generator) -> sp.csr_matrix:
    """What a spot array counts of `molecules` (spots, genes): the median spot `MEDIAN_UMI`, some of it ambient."""
    seen = molecules.toarray() * efficiency
    size = np.asarray(molecules.sum(axis=1)).ravel()
    # Spots with more cells are deeper, but less than in proportion: capture saturates.
    depth = MEDIAN_UMI * np.sqrt(size / np.median(size)) * np.exp(rng.normal(0, 0.35, len(size)))
    ambient = seen.sum(axis=0) / seen.sum()
    rate = (1 - AMBIENT) * seen / seen.sum(axis=1, keepdims=True) + AMBIENT * ambient
    return sp.csr_matrix(rng.poisson(rate * depth[:, None]).astype(np.float32))


def spots_problem(
    name: str,
    seed: int,
    atlas: Atlas,
    shares: np.ndarray,
    shift: float,
    rng: np.random.Generator,
    genes: int = GENES,
) -> Problem:
    """Spots of the test donors with about the given shares, on a platform `shift` away from the atlas's."""
    composition, molecules = mix(unseen_cells(seed, genes), shares, rng)
    efficiency = platform_efficiency(seed, "spots", genes, shift)
    names = pd.Index([f"spot_{i}" for i in range(len(shares))])
    spots = counted(capture(molecules, efficiency, rng), names, biologies_of(seed, genes)[0].genes)
    truth = pd.DataFrame(composition / composition.sum(axis=1, keepdims=True), index=names, columns=TYPES)
    return Problem(name, spots, atlas, truth)


@lru_cache(maxsize=1)
def four_cells(seed: int, work: Path) -> list[Problem]:
    """Balanced and skewed composition, on the atlas's platform and on one with a log-normal shift by gene."""
    atlas = source_atlas(seed, work)
    problems = []
    for composition, draw in COMPOSITIONS.items():
        shares = draw(stream(seed, composition))
        for shift in SHIFTS:
            name = f"{composition} shift {shift:g}"
            problems.append(spots_problem(name, seed, atlas, shares, shift, stream(seed, name)))
    return problems
