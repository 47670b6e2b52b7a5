"""Does the image help where counts are thin? Counts alone, image alone and both, beside NNLS (`python fusion.py`).

For every seed a world of its own: biology, atlas, platform, a cohort of two donors with a section of each plan, and
the sections of a third donor to score. The network is pretrained on the atlas, the gate taught on the cohort; neither
meets a composition of a section. Beside the gate stands its control: the same gate taught and asked with the tiles of
other spots, which can learn how far to trust thin counts, but sees nothing.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.fusion_data import TYPES, Section, World, atlas_of, cohort_of, thinned  # noqa: E402
from tissuemake.deconvolution import nnls  # noqa: E402
from tissuemake.device import given_device  # noqa: E402
from tissuemake.evaluation.metrics import pearson, rmse  # noqa: E402
from tissuemake.models.sparank.architecture import PRESETS  # noqa: E402
from tissuemake.models.sparank.distil import train_gate  # noqa: E402
from tissuemake.models.sparank.fusion import ImageGate  # noqa: E402
from tissuemake.models.sparank.model import Reference, SpaRank  # noqa: E402
from tissuemake.models.sparank.section import survey  # noqa: E402
from tissuemake.models.sparank.thin_sections import TiledSection  # noqa: E402
from tissuemake.models.sparank.train import train_network  # noqa: E402
from tissuemake.reference.mixtures import Cells  # noqa: E402
from tissuemake.reference.signatures import depth_normalised, mean_by_type, nonzero_medians  # noqa: E402

DEPTHS = (50, 100, 200, 500, 1000, 2000, None)
HELD_OUT = "atlas_donor_3"


@dataclass(frozen=True)
class Taught:
    """What was trained for one seed."""

    network: SpaRank
    reference: Reference
    gate: ImageGate
    control: ImageGate


def train(world: World, folder: Path) -> tuple[Taught, list[Section]]:
    """Pretrain on the world's atlas, teach gate and control on its cohort; the sections to score beside them."""
    seed, device = world.seed, given_device(0)
    atlas = atlas_of(world, folder)
    counts = sp.csr_matrix(atlas.X).astype(np.float32)
    normalised = depth_normalised(counts)
    signature = mean_by_type(normalised, atlas.obs["cell_type"], atlas.var_names)[list(TYPES)].to_numpy()
    medians = np.nan_to_num(nonzero_medians(normalised), nan=1.0)
    reference = Reference(
        torch.tensor(signature, dtype=torch.float32),
        torch.tensor(medians, dtype=torch.float32),
        torch.arange(len(TYPES)),
    )
    codes = pd.Categorical(atlas.obs["cell_type"], list(TYPES)).codes
    held_out = (atlas.obs["donor_id"] == HELD_OUT).to_numpy()
    cells = [
        Cells(
            torch.from_numpy(counts[rows].toarray()),
            torch.from_numpy(codes[rows].astype(np.int64)),
            len(TYPES),
        )
        for rows in (~held_out, held_out)
    ]
    # Checkpoints are left: a run that was cut goes on.
    options = {"device": device, "seed": seed, "progress": False, "identity": {"world": world}}
    network, _ = train_network(
        *cells, reference, PRESETS["tiny"], checkpoints=folder / f"network-{world.name}", **options
    )
    first = 1000 * (seed + 1)
    cohort = cohort_of(world, folder, {"cohort donor 1": first, "cohort donor 2": first + 10})
    gates = []
    for name, tiled in (("gate", _tiled), ("control", _shuffled)):
        sections = [tiled(section) for section in cohort]
        gate, _ = train_gate(
            network, reference, sections, checkpoints=folder / f"{name}-{world.name}", **options
        )
        gates.append(gate)
    return Taught(network, reference, *gates), cohort_of(world, folder, {"test donor": first + 20})


def _tiled(section: Section, images: np.ndarray | None = None) -> TiledSection:
    images = torch.from_numpy(section.embedding if images is None else images)
    counts = torch.from_numpy(section.counts.toarray())
    return TiledSection(section.donor, counts, torch.ones(counts.shape[1], dtype=torch.bool), images)


def _shuffled(section: Section) -> TiledSection:
    order = np.random.default_rng(0).permutation(len(section.embedding))
    return _tiled(section, section.embedding[order])


@torch.no_grad()
def answers(taught: Taught, section: Section, depth: int | None) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Composition (spots, types) by every way to look at a section at a median depth, and the gate."""
    network, reference = taught.network, taught.reference
    counts = thinned(section.counts, depth, np.random.default_rng(0))
    dense = torch.from_numpy(counts.toarray())
    measured = torch.ones(dense.shape[1], dtype=torch.bool)
    z = network.encode(dense, measured, reference, survey(dense, measured, reference.signature))
    tiled, shuffled = _tiled(section), _shuffled(section)
    totals, panel = dense.sum(dim=1), torch.tensor(1.0)
    fused, gate = taught.gate(z, totals, panel, tiled.images)
    blind, _ = taught.control(z, totals, panel, shuffled.images)
    image = taught.gate.project(taught.gate.standardised(tiled.images))
    said = {"counts alone": z, "image alone": image, "both": fused, "both, other tiles": blind}
    shares = {name: network.head(each).mean[:, :-1].numpy() for name, each in said.items()}
    shares["nnls"] = nnls.fit(counts, reference.signature.numpy().astype(float))
    return {
        name: each / each.sum(axis=1, keepdims=True).clip(1e-9) for name, each in shares.items()
    }, gate.numpy()


def score(world: World, folder: Path) -> pd.DataFrame:
    """Rows seed, section, depth, method, r (mean over types), rmse, gate (mean over spots)."""
    taught, sections = train(world, folder)
    rows = []
    for section in sections:
        for depth in DEPTHS:
            found, gate = answers(taught, section, depth)
            for method, shares in found.items():
                r = float(np.nanmean(pearson(shares, section.composition)))
                row = {"seed": world.seed, "section": section.name, "depth": depth or "all", "method": method}
                row |= {"r": r, "rmse": rmse(shares, section.composition)}
                rows.append(row | {"gate": float(gate.mean()) if method == "both" else np.nan})
    return pd.DataFrame(rows)


def main() -> None:
    """Score the seeds and print medians over seeds of the means over sections."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, required=True, help="Folder for what is kept.")
    options = parser.parse_args()
    rows = pd.concat(
        [score(World(seed=seed), options.work) for seed in range(options.seeds)], ignore_index=True
    )
    rows.astype({"depth": str}).to_parquet(options.work / "fusion.parquet")
    by_seed = rows.groupby(["seed", "depth", "method"], sort=False)[["r", "rmse", "gate"]].mean()
    print(f"Median over {options.seeds} seeds of the mean over three sections of a donor not seen before.\n")
    for name in ("r", "rmse"):
        table = by_seed[name].groupby(["depth", "method"], sort=False).median().unstack()
        print(f"{name}\n{table.round(3).to_string()}\n")
    gates = by_seed["gate"].groupby("depth", sort=False).median()
    print("gate, 1 leans on the counts alone\n" + gates.round(2).to_string())
    gain = by_seed["r"].unstack()
    print("\ngain in r by the image, lowest and highest seed")
    print(
        (gain["both"] - gain["counts alone"])
        .groupby("depth", sort=False)
        .agg(["min", "max"])
        .round(3)
        .to_string()
    )


if __name__ == "__main__":
    main()
