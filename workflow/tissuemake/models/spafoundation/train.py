"""Self-distillation of a Vision Transformer on tiles, as `fit` trains it: student, teacher and what is watched."""

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from tissuemake.device import Device
from tissuemake.models.curve import Curve
from tissuemake.models.spafoundation.architecture import Preset
from tissuemake.models.spafoundation.collapse import WATCHED, refuse_collapse, spread_of_features
from tissuemake.models.spafoundation.losses import (
    centred,
    koleo,
    moved_centre,
    patch_loss,
    pixel_loss,
    sinkhorn,
    tile_loss,
)
from tissuemake.models.spafoundation.masks import block_masks
from tissuemake.models.spafoundation.network import Pupil, all_tokens
from tissuemake.models.spafoundation.views import draw_views
from tissuemake.models.streams import StepStream, step_seed
from tissuemake.models.trainable import Trainable
from tissuemake.models.training import fit

EXAM_BATCH = 64


class Lesson(NamedTuple):
    """Tiles of one step, uint8 (tiles, 3, height, width), and the seed of their views."""

    pixels: Tensor
    seed: int


@dataclass(frozen=True)
class Judgement:
    """What student and teacher made of one batch."""

    loss: Tensor
    target: Tensor  # the teacher's assignments of tiles, (2, tiles, prototypes)
    logits: Tensor  # its logits of tiles (2 * tiles, prototypes), and of patches
    patch_logits: Tensor
    features: Tensor  # its features of the first large view, (tiles, width)


class Distiller(Trainable):
    """Student and teacher; both stand in the state, the teacher as the mean of students past."""

    undecayed = ("cls_token", "mask_token", "position_embeddings")
    keeps = "last"
    watched = WATCHED

    def __init__(self, preset: Preset, mean: Tensor, sd: Tensor) -> None:
        super().__init__()
        self.preset = preset
        self.student = Pupil(preset.architecture, preset.distillation)
        self.teacher = deepcopy(self.student).requires_grad_(False)
        shape = preset.architecture
        self.painter = nn.Linear(shape.width, 3 * shape.patch**2) if preset.distillation.pixels else None
        self.register_buffer("mean", mean.float())
        self.register_buffer("sd", sd.float())
        self.register_buffer("tile_centre", torch.zeros(preset.distillation.prototypes))
        self.register_buffer("patch_centre", torch.zeros(preset.distillation.prototypes))

    def training_step(self, lesson: Lesson, index: int) -> Tensor:
        said = self._judge(lesson)
        if self.preset.distillation.centring == "centre":
            momentum = self.preset.distillation.centre_momentum
            self.tile_centre.copy_(moved_centre(self.tile_centre, said.logits, momentum))
            self.patch_centre.copy_(moved_centre(self.patch_centre, said.patch_logits, momentum))
        return said.loss

    def _judge(self, lesson: Lesson) -> Judgement:
        recipe, shape = self.preset.distillation, self.preset.architecture
        generator = Generator(lesson.pixels.device).manual_seed(lesson.seed)
        large, small = draw_views(
            lesson.pixels, shape.image_px, self.preset.views, self.mean, self.sd, generator
        )
        masked, positions, weights = block_masks(
            len(large), shape.image_px // shape.patch, recipe.mask, recipe.mask_spread, generator
        )
        taken = positions[:, :, None].expand(-1, -1, shape.width)
        with torch.no_grad():
            self.teacher.eval()
            tokens = all_tokens(self.teacher.backbone, large)
            logits = self.teacher.tile_head(tokens[:, 0])
            patch_logits = self.teacher.patch_head(tokens[:, 1:].gather(1, taken))
            target, patch_target = self._targets(logits, patch_logits, weights)
            features = tokens[: len(lesson.pixels), 0]
        seen = all_tokens(self.student.backbone, large, masked)
        tiles = [seen[:, 0]]
        if len(small):
            tiles.append(all_tokens(self.student.backbone, small)[:, 0])
        said = self.student.tile_head(torch.cat(tiles)).unflatten(0, (-1, len(lesson.pixels)))
        hidden = seen[:, 1:].gather(1, taken)
        said_patches = self.student.patch_head(hidden)
        loss = tile_loss(target, said, recipe.student_temperature)
        loss = loss + patch_loss(patch_target, said_patches, weights, recipe.student_temperature)
        if self.painter is not None:
            loss = loss + recipe.pixels * pixel_loss(large, self.painter(hidden), positions, weights)
        if recipe.koleo:
            halves = seen[:, 0].chunk(2)
            loss = loss + recipe.koleo * (koleo(halves[0]) + koleo(halves[1])) / 2
        return Judgement(loss, target, logits, patch_logits.flatten(0, 1), features)

    def _targets(self, logits: Tensor, patch_logits: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's assignments of tiles (2, tiles, prototypes) and of hidden patches."""
        recipe, heat = self.preset.distillation, self.temperature
        if recipe.centring == "sinkhorn":
            tiles = torch.stack([sinkhorn(half, heat) for half in logits.chunk(2)])
            patches = sinkhorn(patch_logits.flatten(0, 1), heat, (weights > 0).float().flatten())
            return tiles, patches.view_as(patch_logits)
        tiles = centred(logits, self.tile_centre, heat)
        return torch.stack(tiles.chunk(2)), centred(patch_logits, self.patch_centre, heat)

    @property
    def temperature(self) -> float:
        """Of the teacher, at this step."""
        start, end = self.preset.distillation.teacher_temperature
        rise = max(self.preset.distillation.temperature_rise * self.schedule.steps, 1)
        return start + (end - start) * min(self.step / rise, 1.0)

    def _cosine(self, between: tuple[float, float]) -> float:
        start, end = between
        return end + (start - end) * (1 + math.cos(math.pi * min(self.step / self.schedule.steps, 1.0))) / 2

    def on_train_batch_start(self, batch: Lesson, index: int) -> None:
        """Weight decay rises; the group of biases and norms keeps its 0."""
        self.optimizers().param_groups[0]["weight_decay"] = self._cosine(
            self.preset.distillation.weight_decay
        )

    def on_after_backward(self) -> None:
        """Let the prototypes stand still at first: they would run away from noise."""
        if self.step < self.preset.distillation.frozen * self.schedule.steps:
            for head in self.student.heads():
                head.prototypes.grad = None

    @torch.no_grad()
    def on_train_batch_end(self, outputs: object, batch: Lesson, index: int) -> None:
        """Move the teacher a little towards the student."""
        momentum = self._cosine(self.preset.distillation.momentum)
        theirs, ours = list(self.teacher.parameters()), list(self.student.parameters())
        torch._foreach_lerp_(theirs, ours, 1 - momentum)

    def on_validation_epoch_start(self) -> None:
        self._seen: list[Judgement] = []

    def validation_step(self, lesson: Lesson, index: int) -> None:
        said = self._judge(lesson)
        self._seen.append(said)
        self.log("valid_loss", said.loss, batch_size=len(lesson.pixels))

    def on_validation_epoch_end(self) -> None:
        """Watch for collapse on all held-out tiles together."""
        target = torch.cat([said.target.flatten(0, 1) for said in self._seen])
        features = torch.cat([said.features for said in self._seen])
        for name, value in spread_of_features(target, features).items():
            self.log(name, value)
        self._seen = []

    def examine(self, columns: Mapping[str, list]) -> None:
        """Stop a run that has collapsed."""
        settled = round(self.schedule.warmup * self.schedule.steps)
        refuse_collapse(columns, self.preset.distillation.prototypes, settled)


def train_encoder(
    read: Callable[[Tensor], Tensor],
    tiles: int,
    held_out: Tensor,
    preset: Preset,
    mean: Tensor,
    sd: Tensor,
    *,
    checkpoints: Path,
    device: Device,
    seed: int,
    workers: int = 0,
    on_device: bool = False,
    identity: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> tuple[Distiller, Curve]:
    """Teach an encoder on tiles without labels.

    Parameters
    ----------
    read
        Returns uint8 (n, 3, tile_px, tile_px) of the tiles at the given positions (n,), 0 to `tiles` - 1.
    held_out
        uint8 tiles that are scored but not learnt from.
    mean, sd
        (3,) of pixels in 0 to 1, by which images are standardised.
    workers, on_device
        As of `StepStream`.

    Returns
    -------
    distiller
        On the CPU, in evaluation mode, with the last weights: a self-set task that gets harder as the teacher
        gets better has no best loss.
    curve
        As `models.training.fit`, with the columns of `collapse.WATCHED`.
    """
    torch.manual_seed(step_seed("network", seed, 0, 0))

    def lesson(step: int, generator: Generator) -> Lesson:
        rows = torch.randint(
            tiles, (preset.distillation.batch,), device=generator.device, generator=generator
        )
        return Lesson(read(rows), int(torch.randint(2**62, (), device=generator.device, generator=generator)))

    exam = [
        Lesson(part, step_seed("exam", seed, number, 0))
        for number, part in enumerate(held_out.split(EXAM_BATCH))
        if len(part) > 1
    ]
    distiller = Distiller(preset, mean, sd)
    curve = fit(
        distiller,
        StepStream(lesson, workers=workers, on_device=on_device),
        exam,
        preset.schedule,
        checkpoints=checkpoints,
        device=device,
        seed=seed,
        identity={"preset": preset, **(identity or {})},
        progress=progress,
    )
    return distiller, curve
