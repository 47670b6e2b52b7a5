"""Inference on arrays: the section is surveyed once, then its spots pass in parts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from tissuemake.models.sparank import section
from tissuemake.models.sparank.fusion import ImageGate
from tissuemake.models.sparank.intervals import calibrated_sd
from tissuemake.models.sparank.model import Composition, Reference, SpaRank

# Memory grows with spots times genes of one part, not of the section.
SPOTS_AT_ONCE = 512
# Platform factors of a section are those of so many of its spots, chosen at random.
SURVEYED = 2000
# Spots that a type's genes are read from: those with the most of it.
SPEAKING_SPOTS = 40


@dataclass(frozen=True)
class Answer:
    """Of all spots: shares and calibrated sd (spots, types + 1), the last the unknown; the gate (spots,) or None."""

    mean: Tensor
    sd: Tensor
    gate: Tensor | None


def survey_section(counts: Tensor, measured: Tensor, reference: Reference, seed: int = 0) -> section.Survey:
    """Survey `counts` (spots, genes), any integer or float type, of one section."""
    if len(counts) > SURVEYED:
        chosen = torch.randperm(len(counts), generator=Generator().manual_seed(seed))[:SURVEYED]
        counts = counts[chosen.to(counts.device)]
    counts = counts.float() * measured
    # Spots without a count would pull the section's profile to zero.
    counted = counts[counts.sum(1) > 0]
    return section.survey(counted if len(counted) else counts, measured, reference.signature)


@torch.no_grad()
def compose(
    network: SpaRank,
    counts: Tensor,
    measured: Tensor,
    reference: Reference,
    intervals: Sequence[Sequence[float]],
    *,
    gate: ImageGate | None = None,
    images: Tensor | None = None,
    seen: Tensor | None = None,
    seed: int = 0,
) -> Answer:
    """Composition of all spots of a section.

    Parameters
    ----------
    counts
        (spots, genes) raw, in the order of `reference`; genes that are not `measured` are ignored.
    intervals
        From `intervals.fit_intervals`.
    images, seen
        (spots, features) tile embeddings, and (spots,) whether a spot has one; used when there is a `gate`.
    """
    surveyed = survey_section(counts, measured, reference, seed)
    answers, gates = [], []
    for start in range(0, len(counts), SPOTS_AT_ONCE):
        part = slice(start, start + SPOTS_AT_ONCE)
        spots = counts[part].float() * measured
        z = network.encode(spots, measured, reference, surveyed)
        if gate is not None and images is not None:
            panel = measured.float().mean().expand(len(spots))
            z, opened = gate(z, spots.sum(1), panel, images[part], None if seen is None else seen[part])
            gates.append(opened)
        answers.append(network.head(z))
    said = Composition(
        torch.cat([part.mean for part in answers]), torch.cat([part.concentration for part in answers])
    )
    return Answer(said.mean, calibrated_sd(said, intervals), torch.cat(gates) if gates else None)


def attribute(
    network: SpaRank, counts: Tensor, measured: Tensor, reference: Reference, mean: Tensor, seed: int = 0
) -> Tensor:
    """How much each gene spoke for each type (types, genes): gradient times input, summed over spots.

    The derivative of the log of a type's share with respect to the log of a gene's counts, in the spots that have
    most of the type (`mean` from `compose`), weighted by the share. Ranks, which have no derivative, are taken to
    move in proportion to their value.
    """
    surveyed = survey_section(counts, measured, reference, seed)
    types = reference.signature.shape[1]
    scores = torch.zeros(types, counts.shape[1])
    for kind in range(types):
        best = mean[:, kind].topk(min(SPEAKING_SPOTS, len(mean))).indices
        spots = counts[best].float() * measured
        volume = torch.ones_like(spots, requires_grad=True)
        share = network(spots * volume, measured, reference, surveyed).mean[:, kind]
        (share.detach() * torch.log(share.clamp_min(1e-9))).sum().backward()
        # No count, no voice: the network's square roots have no derivative at zero, and would leave NaN.
        spoken = torch.where(spots > 0, volume.grad, 0.0).sum(0)
        scores[kind] = (spoken / share.detach().sum().clamp_min(1e-9)).cpu()
    network.zero_grad(set_to_none=True)
    return scores
