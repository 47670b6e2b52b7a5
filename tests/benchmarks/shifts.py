"""Simulated problems that ask for transfer: another tissue, a type that the atlas lacks, a small panel."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from benchmarks.problems import Atlas, Problem, counted
from benchmarks.simulated import (
    ATLAS_CELLS_PER_TYPE,
    GENES,
    MEDIAN_UMI,
    SHIFTS,
    SPOTS,
    STATES,
    TYPES,
    Biologies,
    atlas_of,
    biologies_of,
    changed,
    draw_cells,
    molecules_of,
    source_atlas,
    spots_problem,
    write_atlas,
)
from tissuemake.genes import match_genes
from tissuemake.simulate import cell_types
from tissuemake.simulate.expression import donor_effect, platform_efficiency, programme_states
from tissuemake.simulate.tissue import Section, place_cells, simulate_section, stream
from tissuemake.simulate.visium import SPOT_UM, capture_spots
from tissuemake.simulate.zones import smooth_noise

TARGET_DONORS = ("target donor 1", "target donor 2", "target donor 3", "target donor 4")
TARGET_ZONES = ("glandular", "infiltrated")
# Natural-log change of every type's genes from one tissue to the other, and of genes between platforms.
TISSUE_CHANGE = 0.2
PLATFORM_SHIFT = 0.6
# The target's own atlas was made with nearly the chemistry of its spots.
OWN_SHIFT = 0.3
# One for each seed: with a near relative in the atlas (epithelia, lymphocytes) and without.
ABSENT = ("Adipocyte", "T cell", "Luminal epithelial", "Plasma cell", "Endothelial")
PANEL_SIZES = (100, 200, 300)
PANEL_MARKERS = 60


@lru_cache(maxsize=2)
def target_biologies(seed: int) -> Biologies:
    """The types of `seed` as they are in the other tissue."""
    first, second = biologies_of(seed)
    change = stream(seed, "target tissue").normal(0, TISSUE_CHANGE, first.profiles.shape)
    return changed(first, change), changed(second, change)


def target_atlas(seed: int, work: Path) -> Atlas:
    """An atlas of the target tissue itself: what retraining there would learn from."""
    efficiency = platform_efficiency(seed, "visium", GENES, PLATFORM_SHIFT)
    efficiency = efficiency * platform_efficiency(seed, "target cells", GENES, OWN_SHIFT)

    def write(path: Path) -> None:
        cells = draw_cells(target_biologies(seed), seed, TARGET_DONORS, ATLAS_CELLS_PER_TYPE, uneven=True)
        write_atlas(cells, biologies_of(seed)[0].genes, efficiency, seed, path)

    return atlas_of(f"target-{seed}", work, write)


@lru_cache(maxsize=1)
def transfer(seed: int, work: Path) -> tuple[Problem, Problem]:
    """One section of another tissue, donor and platform: with the source's atlas, and with its own.

    The section is a simulated tissue with zones under a Visium array; its composition is that of the cells
    whose centre lies under a spot.
    """
    zones = TARGET_ZONES[seed % len(TARGET_ZONES)]
    section = simulate_section(seed, SPOTS, zones)
    cells = place_cells(section, seed)
    kinds = cells["cell_type"].to_numpy() * len(STATES) + _states(section, cells, seed)
    biologies = target_biologies(seed)
    donor = donor_effect(seed, "target section", biologies[0])
    programmes = programme_states(section, cells, seed)
    molecules = molecules_of(biologies, kinds, programmes, donor, stream(seed, "target molecules"))
    seen = capture_spots(section, cells, molecules, seed, PLATFORM_SHIFT, mean_umi=MEDIAN_UMI)
    composition = _under(seen.spots, cells, kinds)
    chosen = (seen.spots["in_tissue"].to_numpy() == 1) & (composition.sum(axis=1) > 0)
    names = seen.spots.index[chosen]
    counts = seen.counts[chosen].astype(np.float32)
    spots = counted(counts, names, biologies[0].genes)
    shares = composition[chosen] / composition[chosen].sum(axis=1, keepdims=True)
    truth = pd.DataFrame(shares, index=names, columns=TYPES)
    name = f"to {zones}"
    return (
        Problem(name, spots, source_atlas(seed, work), truth),
        Problem(name, spots, target_atlas(seed, work), truth),
    )


def _states(section: Section, cells: pd.DataFrame, seed: int) -> np.ndarray:
    """State of every cell: smooth over the tissue, by type, with noise."""
    rng = stream(seed, "states in tissue")
    state = rng.normal(0, 0.7, len(cells))
    for kind in range(len(cell_types.NAMES)):
        own = cells["cell_type"].to_numpy() == kind
        field = smooth_noise(section.zone.shape, 25, rng)
        state[own] += section.sample(field, cells["x"][own], cells["y"][own])
    return (state > 0).astype(int)


def _under(spots: pd.DataFrame, cells: pd.DataFrame, kinds: np.ndarray) -> np.ndarray:
    """Cells of each type (spots, types) whose centre lies under a spot."""
    here, there = cKDTree(spots[["x", "y"]]), cKDTree(cells[["x", "y"]])
    pairs = here.sparse_distance_matrix(there, SPOT_UM / 2, output_type="coo_matrix")
    composition = np.zeros((len(spots), len(TYPES)))
    np.add.at(composition, (pairs.row, kinds[pairs.col]), 1)
    return composition


def absent_type(seed: int) -> str:
    """The type that `unknown` leaves out of the atlas of this seed."""
    return ABSENT[seed % len(ABSENT)]


@lru_cache(maxsize=1)
def unknown(seed: int, work: Path) -> list[Problem]:
    """Spots half of which hold a type that the atlas lacks, on the atlas's platform and on a shifted one.

    The truth has the absent type's columns; the atlas has not.
    """
    absent = absent_type(seed)
    atlas = source_atlas(seed, work, without=absent)
    rng = stream(seed, "unknown")
    shares = rng.dirichlet(np.full(len(TYPES), 0.3), SPOTS)
    own = np.char.startswith(TYPES, f"{absent} ")
    shares[:, own] *= 1e-9
    shares /= shares.sum(axis=1, keepdims=True)
    holds = np.arange(SPOTS) < SPOTS // 2
    part = rng.uniform(0.05, 0.9, SPOTS)[:, None] * holds[:, None]
    shares = shares * (1 - part)
    shares[:, own] = part * rng.dirichlet(np.ones(own.sum()), SPOTS)
    problems = []
    for shift in SHIFTS:
        name = f"without {absent}, shift {shift:g}"
        problems.append(spots_problem(name, seed, atlas, shares, shift, stream(seed, name)))
    return problems


def panel(problem: Problem, size: int, rng: np.random.Generator) -> Problem:
    """The problem with only `size` genes measured: every type in turn adds one of its markers at random."""
    match = match_genes(problem.spots.var, problem.reference.var)
    place = dict(zip(problem.reference.var_names[match.right], match.left, strict=True))
    markers = problem.atlas.markers
    markers = markers[markers["gene"].isin(place.keys())].sort_values(["cell_type", "rank"])
    best = markers.groupby("cell_type", observed=True).head(PANEL_MARKERS)
    queues = [rng.permutation(part["gene"]) for _, part in best.groupby("cell_type", observed=True)]
    chosen: dict[str, None] = {}
    for turn in range(PANEL_MARKERS):
        for queue in queues:
            if turn < len(queue) and len(chosen) < size:
                chosen.setdefault(queue[turn])
    # A measured transcriptome with few markers: the rest of the panel is any other gene.
    others = [gene for gene in rng.permutation(list(place)) if gene not in chosen]
    genes = [*chosen, *others][:size]
    return problem.measuring(np.sort([place[gene] for gene in genes]), f"{problem.name}, {size} genes")
