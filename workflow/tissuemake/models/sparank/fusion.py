"""Image fusion: a gate per spot between what the counts say and what the tile around the spot shows.

``z = g z_rna + (1 - g) z_image``, the gated unit of Arevalo et al. 2017 (arXiv:1702.01992) with one gate for all of
``z``, so that a person can read it: 1 leans on the counts alone, 0 on the image alone.
"""

from typing import Protocol

import torch
from torch import Tensor, nn

# Standardised features are clipped here: a tile with an artefact must not reach further than the training data.
FARTHEST = 4.0
EQUAL_DEPTH = 200.0


class Composition(Protocol):
    """What a head says of spots; ``mean`` is (spots, types + 1), rows sum to 1."""

    mean: Tensor


class Deconvolver(Protocol):
    """What fusion needs of the model of counts; nothing of it is trained here."""

    def encode(self, counts: Tensor, measured: Tensor) -> Tensor:
        """Return z (spots, width) of raw `counts` (spots, genes); `measured` (genes,) or (spots, genes)."""

    def head(self, z: Tensor) -> Composition:
        """Return the composition that z stands for."""


class ImageGate(nn.Module):
    """Joins the embedding of a spot's tile to the z of its counts.

    Without an image the gate is 1 and z that of the counts, to the bit: the same weights serve samples with and
    without images, and spots whose tile is missing.

    Parameters
    ----------
    width
        Length of z.
    features
        Length of a tile's embedding.
    hidden
        Width of the layers between.
    """

    def __init__(self, width: int, features: int, hidden: int = 64, dropout: float = 0.1) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("sd", torch.ones(features))
        self.project = nn.Sequential(
            nn.Linear(features, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.weigh = nn.Sequential(nn.Linear(2 * width + 2, hidden), nn.GELU(), nn.Linear(hidden, 1))
        # Noise of counts falls as 1 / depth, so the best weight of two estimates is depth / (depth + equal):
        # training starts there, with counts of `EQUAL_DEPTH` worth as much as the image.
        nn.init.zeros_(self.weigh[2].weight)
        nn.init.zeros_(self.weigh[2].bias)
        self.slope = nn.Parameter(torch.ones(()))

    def standardise_by(self, images: Tensor) -> None:
        """Keep mean and sd of the training tiles' embeddings (tiles, features); they travel with the weights."""
        self.mean.copy_(images.mean(dim=0))
        # A feature that never varied in training says nothing: it stays where its mean is.
        sd = images.std(dim=0)
        self.sd.copy_(torch.where(sd > 1e-6 * (1 + self.mean.abs()), sd, torch.inf))

    def standardised(self, images: Tensor) -> Tensor:
        """Embeddings in sd from the mean of the training tiles, clipped."""
        return ((images - self.mean) / self.sd).clamp(-FARTHEST, FARTHEST)

    def forward(
        self,
        z_rna: Tensor,
        depth: Tensor,
        panel: Tensor,
        images: Tensor | None = None,
        seen: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return z (spots, width) and gate (spots,).

        Parameters
        ----------
        z_rna
            (spots, width) from the counts.
        depth
            (spots,) counts of each spot over the genes that the model knows.
        panel
            (spots,) share of those genes that is measured: few genes mislead at any depth.
        images
            (spots, features) embeddings, or None; rows that are not `seen` may hold anything.
        seen
            (spots,) bool, whether a spot has an image; None: all.
        """
        if images is None:
            return z_rna, torch.ones_like(depth, dtype=z_rna.dtype)
        seen = torch.ones_like(depth, dtype=torch.bool) if seen is None else seen
        z_image = self.project(self.standardised(torch.where(seen[:, None], images, self.mean)))
        gate = torch.where(seen, self.gate(z_rna, z_image, depth, panel), 1.0)
        return self.mix(z_rna, z_image, gate), gate

    def gate(self, z_rna: Tensor, z_image: Tensor, depth: Tensor, panel: Tensor) -> Tensor:
        """Gate (spots,) between 0 and 1."""
        rna, image = (norm(z) for norm, z in zip(self.norms, (z_rna, z_image), strict=True))
        level = torch.log((depth.to(rna.dtype) + 1) / EQUAL_DEPTH)
        facts = torch.stack([level, torch.log(panel.to(rna.dtype).clamp_min(1e-4))], dim=1)
        return torch.sigmoid(self.slope * level + self.weigh(torch.cat([rna, image, facts], dim=1))[:, 0])

    @staticmethod
    def mix(z_rna: Tensor, z_image: Tensor, gate: Tensor) -> Tensor:
        """``g z_rna + (1 - g) z_image``; exactly z_rna where g is 1."""
        return torch.where(gate[:, None] == 1, z_rna, z_image + gate[:, None] * (z_rna - z_image))
