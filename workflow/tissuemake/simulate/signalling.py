"""Signalling between cells: ligands of sender cells that raise the targets of receiver cells around them."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.ndimage import gaussian_filter

from tissuemake.errors import InputError
from tissuemake.simulate import cell_types
from tissuemake.simulate.expression import Biology, redraw
from tissuemake.simulate.gene_catalogue import gene_catalogue
from tissuemake.simulate.tissue import GRID_UM, Section, stream
from tissuemake.simulate.zones import smooth_noise

REACH_UM = 80.0  # standard deviation of the Gaussian with which a ligand spreads
FOCUS_UM = 50.0  # smoothness of the fields that switch senders on
STATES = 8  # states of senders, each with genes of its own; a state sends several ligands
COMPANIONS = 24  # genes of a state beside its ligands
TARGETS = 3  # genes that a receptor raises besides, weakly, itself
_ON = 1.0  # natural-log change of ligands and companions per unit of the state
_ELSEWHERE = 0.3  # level of a ligand in cells that do not send it
_TARGET_GAIN, _RECEPTOR_GAIN = 3.0, 0.75  # relative increase at the mean exposure of the section
_LEAST_SHARE = 5e-4  # of a cell's molecules: what is not expressed cannot be seen to signal
LINEAGES = tuple(dict.fromkeys(kind.major for kind in cell_types.CELL_TYPES))


@dataclass(frozen=True)
class Signal:
    """One ligand and its receptor, the genes downstream, and who sends and receives.

    Parameters
    ----------
    state
        Number of the state in which senders express the ligand.
    ligand, receptor, targets
        Positions of the genes.
    receiver
        Lineage.
    planted
        Whether receivers answer. Otherwise all is as in a planted signal but for the answer.
    """

    state: int
    ligand: int
    receptor: int
    targets: tuple[int, ...]
    receiver: str
    planted: bool

    @property
    def downstream(self) -> list[int]:
        """The receptor, which is raised weakly, and its targets."""
        return [self.receptor, *self.targets]


@dataclass(frozen=True)
class Signalling:
    """All signals of a seed.

    Parameters
    ----------
    senders
        Lineage of each state.
    companions
        (states, companions) positions of the genes that mark it.
    """

    senders: tuple[str, ...]
    companions: np.ndarray
    signals: tuple[Signal, ...]

    @property
    def genes(self) -> np.ndarray:
        """Positions of all genes that take part, each once."""
        own = [gene for signal in self.signals for gene in (signal.ligand, *signal.downstream)]
        return np.concatenate([self.companions.ravel(), own])


@cache
def known_pairs() -> pd.DataFrame:
    """Ligand-receptor pairs of the catalogue that play no other part; no gene is in two of them.

    A subset of the consensus resource of LIANA (Dimitrov et al., Nature Communications 2022).
    """
    path = files("tissuemake.simulate") / "ligand_receptor_pairs.tsv"
    with path.open(encoding="utf-8") as handle:
        return pd.read_csv(handle, sep="\t")


def plan_signals(biology: Biology, seed: int, planted: int) -> Signalling:
    """Choose `planted` signals and as many that look alike but are not answered.

    All plans of a seed share the signals, as they share the biology.

    Raises
    ------
    InputError
        ``bad_signals`` when the catalogue has not as many pairs or genes.
    """
    rng = stream(seed, "signals")
    names = biology.genes.index
    pairs = known_pairs()
    pairs = pairs[pairs["ligand"].isin(names) & pairs["receptor"].isin(names)]
    in_pairs = names.isin(known_pairs().to_numpy().ravel())
    free = np.flatnonzero((gene_catalogue()["role"].reindex(names) == "").to_numpy() & ~in_pairs)
    most = min(len(pairs), (len(free) - STATES * COMPANIONS) // TARGETS) // 2
    if not 0 < planted <= most:
        raise InputError(
            "bad_signals",
            f"signals is {planted}; {len(names)} genes have room for {max(most, 0)}, each beside one not answered.",
            f"Give a number from 0 to {max(most, 0)}, or more genes.",
        )
    free = rng.permutation(free)
    companions, free = np.split(free, [STATES * COMPANIONS])
    senders = [str(name) for name in rng.choice(LINEAGES, STATES)]
    chosen = pairs.iloc[rng.permutation(len(pairs))[: 2 * planted]]
    signals = []
    for number, pair in enumerate(chosen.itertuples()):
        state = number // 2 % STATES
        signals.append(
            Signal(
                state=state,
                ligand=int(names.get_loc(pair.ligand)),
                receptor=int(names.get_loc(pair.receptor)),
                targets=tuple(map(int, free[TARGETS * number : TARGETS * (number + 1)])),
                receiver=str(rng.choice([name for name in LINEAGES if name != senders[state]])),
                # Who is planted alternates, so that every state sends as many of either kind.
                planted=number % 2 == 0,
            )
        )
    return Signalling(tuple(senders), companions.reshape(STATES, COMPANIONS), tuple(signals))


def send_signals(
    section: Section,
    cells: pd.DataFrame,
    molecules: sp.csr_matrix,
    shares: np.ndarray,
    signalling: Signalling,
    dispersion: np.ndarray,
    rng: np.random.Generator,
) -> sp.csr_matrix:
    """Draw the genes of `signalling` anew, with senders that are on in places and receivers that answer.

    Parameters
    ----------
    cells
        As of ``place_cells``.
    molecules
        (cells, genes) drawn without signals; other genes stay as they are.
    shares
        (cells, genes that take part) expected share of a cell's molecules without signals.
    dispersion
        (genes,) of the negative binomial.
    """
    genes = signalling.genes
    column = {int(gene): number for number, gene in enumerate(genes)}
    lineage = np.array([kind.major for kind in cell_types.CELL_TYPES])[cells["cell_type"]]
    mean = shares * np.maximum(_LEAST_SHARE / shares.mean(axis=0), 1)
    mean *= np.asarray(molecules.sum(axis=1), dtype=float)
    mean *= rng.gamma(1 / dispersion[genes], dispersion[genes], mean.shape)
    for number, sender in enumerate(signalling.senders):
        ligands = [column[signal.ligand] for signal in signalling.signals if signal.state == number]
        sends = lineage == sender
        mean[:, ligands] *= np.where(sends, 1, _ELSEWHERE)[:, None]
        on = np.where(sends, np.exp(_ON * _state(section, cells, rng)), 1)
        mean[:, ligands + [column[gene] for gene in signalling.companions[number]]] *= on[:, None]
    for signal in signalling.signals:
        if signal.planted:
            exposure = exposure_to(mean[:, column[signal.ligand]], section, cells)
            answer = np.where(lineage == signal.receiver, exposure, 0)[:, None]
            gain = np.array([_RECEPTOR_GAIN] + [_TARGET_GAIN] * TARGETS)
            mean[:, [column[gene] for gene in signal.downstream]] *= 1 + answer * gain
    return redraw(molecules, genes, rng.poisson(mean).astype(np.int32))


def _state(section, cells, rng):
    """How far each cell is in a state, if it can be: a field of its own, and noise per cell."""
    field = smooth_noise(section.zone.shape, FOCUS_UM / GRID_UM, rng)
    state = section.sample(field, cells["x"], cells["y"]) + rng.normal(0, 0.3, len(cells))
    return np.clip(state, -2.5, 2.5)


def exposure_to(ligand: np.ndarray, section: Section, cells: pd.DataFrame) -> np.ndarray:
    """Ligand (cells,) that reaches each cell from all others, a Gaussian of distance, over its mean."""
    rows, cols = ((cells[axis] / GRID_UM).astype(int) for axis in ("y", "x"))
    raster = np.zeros(section.zone.shape)
    np.add.at(raster, (rows, cols), ligand)
    width = REACH_UM / GRID_UM
    seen = gaussian_filter(raster, width, mode="constant")[rows, cols]
    seen = np.maximum(seen - ligand / (2 * np.pi * width**2), 0)
    return seen / max(seen.mean(), 1e-12)


def signal_table(signalling: Signalling, genes: pd.Index) -> pd.DataFrame:
    """A row per ligand and gene downstream: ligand, receptor, target, sender, receiver, planted, gain.

    ``gain`` is the relative increase of the target in receivers at the section's mean exposure, 0 if not planted;
    the receptor is a target of its own, a weak one.
    """
    rows = [
        {
            "ligand": genes[signal.ligand],
            "receptor": genes[signal.receptor],
            "target": genes[target],
            "sender": signalling.senders[signal.state],
            "receiver": signal.receiver,
            "planted": signal.planted,
            "gain": (_RECEPTOR_GAIN if target == signal.receptor else _TARGET_GAIN) * signal.planted,
        }
        for signal in signalling.signals
        for target in signal.downstream
    ]
    return pd.DataFrame(rows)
