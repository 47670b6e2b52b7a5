"""Shell: teach the last layers of a pretrained encoder expression on a cohort's spots; the result is an encoder again.

Few spots teach many weights badly: layers below stand still, spots are turned and restained, what is learnt are the
few directions of expression of `ridge`, and training stops by sections that it does not see. Heads are then fitted on
the new encoder's embeddings as on any other's; the embeddings name the donors it was taught by, and on these no head
is scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from tissuemake.contracts import FILTERED, read_annotations
from tissuemake.device import given_device
from tissuemake.errors import InputError
from tissuemake.evaluation.splits import spatial_blocks
from tissuemake.files import sha256
from tissuemake.histology.encoders.network import scaled
from tissuemake.histology.tile_store import TileStore
from tissuemake.models.card import model_card
from tissuemake.models.checkpoints import discard_checkpoints
from tissuemake.models.curve import Curve
from tissuemake.models.histology_heads.cohort_genes import Cohort, Slide, cohorts, read_slides
from tissuemake.models.histology_heads.ridge import BLOCKS, SECTION, expression_directions
from tissuemake.models.schedule import Schedule
from tissuemake.models.spafoundation.architecture import Architecture
from tissuemake.models.spafoundation.network import build_backbone
from tissuemake.models.spafoundation.pooling import pooled
from tissuemake.models.spafoundation.views import recolour, restain, standardise
from tissuemake.models.store import load_model, save_model
from tissuemake.models.streams import StepStream
from tissuemake.models.trainable import Trainable
from tissuemake.models.training import fit

BATCH = 64
STAIN, COLOUR = 0.15, 0.1
SCHEDULE = Schedule(
    steps=200, learning_rate=3e-4, warmup=0.1, weight_decay=0.05, clip=1.0, validate_every=20, patience=4
)
INTENDED_USE = (
    "Features of H&E tiles from which expression is read, "
    "for tissue like that of the sections it was taught on."
)
FAILURE_MODES = (
    "It saw the expression of the sections below: a score on them, or on their donors, is no held-out score.",
    "From few sections it may be no better than the encoder it began as: compare both on a section of its own.",
)


class Spots(NamedTuple):
    """Tiles of spots, uint8 (n, 3, edge, edge), and where they stand in each direction of expression (n, rank)."""

    pixels: Tensor
    target: Tensor


@dataclass(frozen=True)
class Encoder:
    """What a model folder says: its `config`, and `state` of the backbone."""

    config: dict
    state: dict


class Finetuner(Trainable):
    """A backbone whose last `layers` learn, and a linear head on its pooled tokens."""

    def __init__(self, encoder: Encoder, layers: int, directions: int) -> None:
        super().__init__()
        config = encoder.config
        self.backbone = build_backbone(Architecture(**config["architecture"]))
        self.backbone.load_state_dict(encoder.state)
        self.backbone.requires_grad_(False)
        for part in [*self.backbone.layers[-layers:], self.backbone.layernorm] if layers else []:
            part.requires_grad_(True)
        self.pooling = config.get("pooling", "cls")
        self.register_buffer("mean", torch.tensor(config["mean"]))
        self.register_buffer("sd", torch.tensor(config["sd"]))
        edge = config["architecture"]["image_px"]
        width = pooled(self.backbone, torch.zeros(1, 3, edge, edge), self.pooling, 1).shape[1]
        self.level = nn.BatchNorm1d(width, affine=False)
        self.head = nn.Linear(width, directions)
        nn.init.zeros_(self.head.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Directions (n, rank) of images (n, 3, edge, edge) in 0 to 1."""
        seen = pooled(self.backbone, standardise(images, self.mean, self.sd), self.pooling, 1)
        return self.head(self.level(seen))

    def training_step(self, spots: tuple[Tensor, Tensor], index: int) -> Tensor:
        return functional.mse_loss(self(spots[0]), spots[1])

    def validation_step(self, spots: Spots, index: int) -> None:
        self.log("valid_loss", functional.mse_loss(self(spots.pixels / 255), spots.target))


def finetune_expression(
    sections: Sequence[tuple[Path, Path, Path]],
    model: Path | str,
    output: Path,
    *,
    checkpoints: Path,
    seed: int = 0,
    gpus: int = 0,
    layers: int = 2,
    schedule: Schedule = SCHEDULE,
) -> None:
    """Teach the last `layers` of the encoder in `model` expression, and write it as a model folder of the same kind.

    Training stops by the last donor's sections, of a lone donor by the last section, of a lone section by a block.

    Parameters
    ----------
    sections
        ``filtered.h5ad``, embeddings by `model` and tiles. All of one organism.
    checkpoints
        Where a killed training goes on from; removed when the model is written.

    Raises
    ------
    InputError
        Those of `cohort_genes.read_slides` and `store.load_model`; ``mixed_organisms``; ``training_diverged``.
    """
    state, config = load_model(model, "spafoundation")
    found = cohorts(read_slides([section[:2] for section in sections]))
    if len(found) > 1:
        raise InputError(
            "mixed_organisms",
            f"Sections of {', '.join(cohort.organism for cohort in found)} cannot teach one encoder expression.",
            "Fine-tune on the sections of one organism at a time.",
        )
    edge = config["architecture"]["image_px"]
    taught, scored = _lessons(found[0], _tiles_by_sample(sections), edge, seed)
    torch.manual_seed(seed)
    network = Finetuner(Encoder(config, state), layers, taught.target.shape[1])
    curve = fit(
        network,
        StepStream(lambda step, generator: _draw(taught, generator)),
        [Spots(*part) for part in zip(*(part.split(BATCH) for part in scored), strict=True)],
        schedule,
        checkpoints=checkpoints,
        device=given_device(gpus),
        seed=seed,
        identity={"state": [float(value.double().sum()) for value in state.values()], "layers": layers},
    )
    hashes = {
        f"{Path(path).parent.name}/{Path(path).name}": sha256(path) for group in sections for path in group
    }
    earlier = config.get("fine_tuned", {}).get("donors", {})
    donors = earlier | {slide.image.sample: slide.image.donor for slide in found[0].slides}
    kept = {key: value for key, value in config.items() if key not in ("format", "weights")}
    kept |= {"fine_tuned": {"donors": donors, "layers": layers, "seed": seed}}
    save_model(output, network.backbone.state_dict(), kept, _card(config, hashes, curve), curve)
    discard_checkpoints(Path(checkpoints))


def _tiles_by_sample(sections: Sequence[tuple[Path, Path, Path]]) -> dict[str, Path]:
    return {
        str(read_annotations(filtered, FILTERED).uns["tissuemake"]["sample"]): Path(tiles)
        for filtered, _, tiles in sections
    }


def _lessons(cohort: Cohort, tiles: dict[str, Path], edge: int, seed: int) -> tuple[Spots, Spots]:
    """Spots to learn from and spots to stop by."""
    sections = cohort.sections(cohort.variable())
    groups = [section.group for section in sections]
    if len(set(groups)) > 1:
        held_out = [np.full(len(section.values), section.group == groups[-1]) for section in sections]
    else:
        held_out = [spatial_blocks(section.positions, BLOCKS, seed) == 0 for section in sections]
    target = torch.tensor(expression_directions(sections, SECTION), dtype=torch.float32)
    pixels = torch.cat([_pixels(slide, tiles[slide.image.sample], edge) for slide in cohort.slides])
    asked = torch.from_numpy(np.concatenate(held_out))
    return Spots(pixels[~asked], target[~asked]), Spots(pixels[asked], target[asked])


def _pixels(slide: Slide, path: Path, edge: int) -> Tensor:
    """Tiles of the spots that have one, uint8 (n, 3, edge, edge)."""
    names = slide.image.tiles.obs_names[slide.image.row[slide.image.seen]]
    with TileStore(path) as store:
        pixels = torch.from_numpy(store.pixels(store.table.index.get_indexer(names))).permute(0, 3, 1, 2)
    return scaled(pixels.float(), edge).round().to(torch.uint8)


def _draw(spots: Spots, generator: Generator) -> tuple[Tensor, Tensor]:
    """A batch, each tile turned, mirrored and restained."""
    rows = torch.randint(len(spots.target), (BATCH,), generator=generator)
    images = spots.pixels[rows].float() / 255
    turn, mirrored = (
        torch.randint(4, (BATCH,), generator=generator),
        torch.rand(BATCH, generator=generator) < 0.5,
    )
    for turns in range(1, 4):
        images[turn == turns] = torch.rot90(images[turn == turns], turns, (2, 3))
    images[mirrored] = images[mirrored].flip(3)
    images = recolour(restain(images, STAIN, generator), COLOUR, generator)
    return images, spots.target[rows]


def _card(config: dict, hashes: dict[str, str], curve: Curve) -> str:
    return model_card(
        f"SpaFoundation ({config.get('preset', 'imported')}), fine-tuned on expression",
        kind="spafoundation",
        intended_use=INTENDED_USE,
        training_data=hashes,
        preset=str(config.get("preset", "imported")),
        curve=curve,
        scores={"squared error of directions of expression, on the sections it stopped by": curve.best},
        failure_modes=FAILURE_MODES,
        licence="That of the images and of the encoder it began as: weights are derived from both.",
    )
