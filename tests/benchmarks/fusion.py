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

from benchmarks.fingerprint import of_code  # noqa: E402
from benchmarks.fusion_data import TYPES, Section, World, atlas_of, cohort_of, thinned  # noqa: E402
from tissuemake.deconvolution import nnls  # noqa: E402
from tissuemake.device import given_device  # noqa: E402
from tissuemake.evaluation.metrics import pearson, rmse  # noqa: E402
from tissuemake.models.sparank.architecture import PRESETS  # noqa: E402
from tissuemake.models.sparank.atlas import as_reference, part, split_donors  # noqa: E402
from tissuemake.models.sparank.distil import train_gate  # noqa: E402
from tissuemake.models.sparank.fusion import ImageGate  # noqa: E402
from tissuemake.models.sparank.intervals import calibrated_sd, coverage, fit_intervals  # noqa: E402
from tissuemake.models.sparank.model import Reference, SpaRank  # noqa: E402
from tissuemake.models.sparank.predict import Answer, compose  # noqa: E402
from tissuemake.models.sparank.thin_sections import TiledSection  # noqa: E402
from tissuemake.models.sparank.train import exam, train_network  # noqa: E402

PACKAGE = HERE.parents[1] / "workflow" / "tissuemake"
CODE = of_code(PACKAGE / "models", PACKAGE / "reference", PACKAGE / "simulate")
DEPTHS = (50, 100, 200, 500, 1000, 2000, None)


@dataclass(frozen=True)
class Taught:
    """What was trained for one seed."""

    network: SpaRank
    reference: Reference
    intervals: list[float]
    gate: ImageGate
    control: ImageGate


def train(world: World, folder: Path) -> tuple[Taught, list[Section]]:
    """Pretrain on the world's atlas, teach gate and control on its cohort; the sections to score beside them."""
    seed, device = world.seed, given_device(0)
    atlas = atlas_of(world, folder)
    atlas.obs["donor"] = atlas.obs["donor_id"]
    atlas.X = sp.csr_matrix(atlas.X).astype(np.float32)
    genes, types = np.arange(atlas.n_vars), sorted(TYPES)
    kept, held_out, _ = split_donors(atlas, seed)
    taught, examined = (part(cells, genes, types, atlas[kept]) for cells in (atlas[kept], atlas[held_out]))
    # Checkpoints are left: a run that was cut goes on.
    options = {"device": device, "seed": seed, "progress": False, "identity": {"world": world, "code": CODE}}
    preset = PRESETS["tiny"]
    network, _ = train_network(
        taught.cells,
        examined.cells,
        taught.reference,
        examined.reference,
        preset,
        checkpoints=folder / f"network-{world.name}",
        **options,
    )
    intervals = fit_intervals(network, exam(examined.cells, examined.reference, preset.spots, seed + 1, 24))
    reference = as_reference(atlas, genes, types)
    first = 1000 * (seed + 1)
    cohort = cohort_of(world, folder, {"cohort donor 1": first, "cohort donor 2": first + 10})
    gates = []
    for name, tiled in (("gate", _tiled), ("control", _shuffled)):
        sections = [tiled(section) for section in cohort]
        gate, _ = train_gate(
            network, reference, sections, checkpoints=folder / f"{name}-{world.name}", **options
        )
        gates.append(gate)
    return Taught(network, reference, intervals, *gates), cohort_of(world, folder, {"test donor": first + 20})


def _tiled(section: Section, images: np.ndarray | None = None) -> TiledSection:
    images = torch.from_numpy(section.embedding if images is None else images)
    counts = torch.from_numpy(section.counts.toarray())
    return TiledSection(section.donor, counts, torch.ones(counts.shape[1], dtype=torch.bool), images)


def _shuffled(section: Section) -> TiledSection:
    order = np.random.default_rng(0).permutation(len(section.embedding))
    return _tiled(section, section.embedding[order])


@torch.no_grad()
def answers(taught: Taught, section: Section, depth: int | None) -> dict[str, Answer]:
    """What every way to look at a section at a median depth says."""
    counts = torch.from_numpy(thinned(section.counts, depth, np.random.default_rng(0)).toarray())
    measured = torch.ones(counts.shape[1], dtype=torch.bool)
    asked = (taught.network, counts, measured, taught.reference, taught.intervals)
    own, others = _tiled(section).images, _shuffled(section).images
    said = taught.network.head(taught.gate.project(taught.gate.standardised(own)))
    return {
        "counts alone": compose(*asked),
        "image alone": Answer(said.mean, calibrated_sd(said, taught.intervals), None),
        "both": compose(*asked, gate=taught.gate, images=own),
        "both, other tiles": compose(*asked, gate=taught.control, images=others),
        "nnls": Answer(
            _nnls(taught.reference, counts), torch.full((len(counts), len(TYPES) + 1), torch.nan), None
        ),
    }


def _nnls(reference: Reference, counts: torch.Tensor) -> torch.Tensor:
    found = nnls.fit(sp.csr_matrix(counts.numpy()), reference.signature.numpy().astype(float))
    return torch.from_numpy(np.column_stack([found, np.zeros(len(found))]))


def score(world: World, folder: Path) -> pd.DataFrame:
    """Rows seed, section, depth, method, r (mean over types), rmse, coverage, gate (mean over spots)."""
    taught, sections = train(world, folder)
    rows = []
    for section in sections:
        composition = section.composition[:, np.argsort(TYPES)]
        for depth in DEPTHS:
            for method, answer in answers(taught, section, depth).items():
                known = answer.mean[:, :-1].numpy()
                shares = known / known.sum(axis=1, keepdims=True).clip(1e-9)
                row = {"seed": world.seed, "section": section.name, "depth": depth or "all", "method": method}
                row["r"] = float(np.nanmean(pearson(shares, composition)))
                row["rmse"] = rmse(shares, composition)
                row["coverage"] = coverage(
                    answer.mean[:, :-1], answer.sd[:, :-1], torch.from_numpy(composition)
                )
                row["gate"] = np.nan if answer.gate is None else float(answer.gate.mean())
                rows.append(row)
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
    by_seed = rows.groupby(["seed", "depth", "method"], sort=False)[["r", "rmse", "coverage", "gate"]].mean()
    print(f"Median over {options.seeds} seeds of the mean over three sections of a donor not seen before.\n")
    for name in ("r", "rmse", "coverage"):
        table = by_seed[name].groupby(["depth", "method"], sort=False).median().unstack()
        print(f"{name}\n{table.round(3).to_string()}\n")
    gates = by_seed["gate"].unstack()["both"].groupby("depth", sort=False).median()
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
