"""Training the image gate without truth: the model's own answer at full depth teaches it what to say of thin counts.

The network of counts is frozen. A section of the pretraining cohort is thinned to a random depth and a random panel;
what counts and tiles together say of its spots is held against what the network says of all their counts. So the gate
learns how far counts of a depth can be trusted, and the image what tissue looks like; no composition is needed.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from tissuemake.device import Device
from tissuemake.errors import InputError
from tissuemake.models.curve import Curve
from tissuemake.models.sparank.fusion import ImageGate
from tissuemake.models.sparank.model import Composition, Reference, SpaRank
from tissuemake.models.sparank.section import survey
from tissuemake.models.sparank.thin_sections import Batch, Distillation, ThinSections, TiledSection
from tissuemake.models.streams import StepStream, step_seed
from tissuemake.models.trainable import Trainable
from tissuemake.models.training import fit

ENCODED_AT_ONCE = 256
VALIDATION_BATCHES = 16


def train_gate(
    network: SpaRank,
    reference: Reference,
    sections: Sequence[TiledSection],
    *,
    plan: Distillation | None = None,
    checkpoints: Path,
    device: Device,
    seed: int,
    identity: Mapping[str, object] | None = None,
    progress: bool = True,
) -> tuple[ImageGate, Curve]:
    """Teach a gate on `sections` by the answers of `network` to `reference`; neither changes.

    One donor in five, at least one, is held out to choose the weights; of a single donor, one spot in five.

    Returns
    -------
    gate
        On the CPU, in evaluation mode.
    curve
        As `models.training.fit`.

    Raises
    ------
    InputError
        ``no_sections`` when there is no spot with an image.
    """
    plan = plan or Distillation()
    sections = [section for section in sections if len(section.counts)]
    if not sections:
        raise InputError(
            "no_sections",
            "No section of the pretraining cohort has a spot with an image.",
            "Mark samples with an H&E image as 'pretrain', or set models: sparank: images to \"\".",
        )
    device = replace(device, count=1)  # the gate is small: what waits is the frozen network
    torch.manual_seed(step_seed("gate", seed, 0, 0))
    with _frozen(network, device) as place:
        reference = _moved(reference, place)
        answers = [_answer(network, reference, section) for section in sections]
        train, valid = _split(sections, seed)
        types, width = answers[0].mean.shape[1], network.architecture.width
        gate = ImageGate(types, width, sections[0].images.shape[1])
        images = [section.images[spots] for section, spots in zip(sections, train, strict=True)]
        gate.standardise_by(torch.cat(images).float())
        sections = [replace(part, images=gate.standardised(part.images.float())) for part in sections]
        make = ThinSections(network, reference, sections, answers, train, plan)
        quiet = replace(plan, tile_noise=0.0, staining_noise=0.0)
        curve = fit(
            _Lesson(gate, network),
            StepStream(make),
            _validation(replace(make, spots=valid, plan=quiet), seed),
            plan.schedule,
            checkpoints=checkpoints,
            device=device,
            seed=seed,
            identity={"plan": plan, **(identity or {})},
            progress=progress,
        )
    return gate.eval(), curve


class _Lesson(Trainable):
    """The gate as `fit` trains it; the network is not registered, so that nothing of it is kept or moved."""

    undecayed = ("slope",)

    def __init__(self, gate: ImageGate, network: SpaRank) -> None:
        super().__init__()
        self.gate = gate
        self._frozen = (network,)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        return self._loss(batch)

    def validation_step(self, batch: Batch, index: int) -> None:
        self.log("valid_loss", self._loss(batch), batch_size=len(batch.depth))

    def _loss(self, batch: Batch) -> Tensor:
        gate = self.gate
        z_image = gate.project(batch.images)
        weight = torch.where(batch.hidden, 0.0, gate.gate(batch.z, z_image, batch.depth, batch.panel))
        said = self._frozen[0].head(gate.mix(batch.z, z_image, weight))
        target = batch.target
        logs = torch.log(target.clamp_min(1e-6)) - torch.log(said.mean.clamp_min(1e-6))
        return (target * logs).sum(dim=1).mean() + 0.1 * _spread_loss(said, target, batch.target_sd)


def _spread_loss(said: Composition, target: Tensor, target_sd: Tensor) -> Tensor:
    """Fit the concentration to the squared error from the truth: that from the target, and the target's own."""
    mean = said.mean.detach()
    error = ((target - mean) ** 2 + target_sd**2).sum(dim=1).clamp_min(1e-5)
    expected = (1 - (mean**2).sum(dim=1)).clamp_min(1e-5) / (said.concentration + 1)
    return (error / expected + torch.log(expected)).mean()


def _validation(make: ThinSections, seed: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(step_seed("gate validation", seed, 0, 0))
    return [make(step, generator) for step in range(VALIDATION_BATCHES)]


def _split(sections: Sequence[TiledSection], seed: int) -> tuple[list[Tensor], list[Tensor]]:
    """Spots of each section that train and that choose: whole donors, or a fifth of the only donor's spots."""
    generator = torch.Generator().manual_seed(step_seed("gate donors", seed, 0, 0))
    donors = sorted({section.donor for section in sections})
    order = torch.randperm(len(donors), generator=generator)[: max(1, len(donors) // 5)]
    chosen = {donors[i] for i in order.tolist()}
    train, valid = [], []
    for section in sections:
        spots = torch.randperm(len(section.counts), generator=generator)
        cut = max(1, len(spots) // 5) if len(donors) == 1 else len(spots) * (section.donor in chosen)
        valid.append(spots[:cut])
        train.append(spots[cut:])
    return train, valid


def _answer(network: SpaRank, reference: Reference, section: TiledSection) -> Composition:
    """What the network says of a whole section, on the CPU."""
    place = reference.medians.device
    counts, measured = section.counts.float().to(place), section.measured.to(place)
    seen = survey(counts, measured, reference.signature)
    with torch.no_grad():
        parts = [network(part, measured, reference, seen) for part in counts.split(ENCODED_AT_ONCE)]
    return Composition(
        *(torch.cat([getattr(p, name) for p in parts]).cpu() for name in ("mean", "concentration"))
    )


def _moved(reference: Reference, place: torch.device) -> Reference:
    return Reference(*(getattr(reference, name).to(place) for name in ("signature", "medians", "kinds")))


@contextmanager
def _frozen(network: SpaRank, device: Device) -> Iterator[torch.device]:
    """Hold the network still, on `device`, while the block runs; afterwards it is as before, on the CPU."""
    training, learned = network.training, [each for each in network.parameters() if each.requires_grad]
    place = torch.device(device.torch_name)
    network.eval().requires_grad_(False).to(place)
    try:
        yield place
    finally:
        network.to("cpu").train(training)
        for parameter in learned:
            parameter.requires_grad_(True)
