"""Image fusion: a gate per spot between what the counts say and what the tile around the spot shows.

``z = g z_rna + (1 - g) z_image``, the gated unit of Arevalo et al. 2017 (arXiv:1702.01992) with one gate for all of
``z``, so that a person can read it: 1 leans on the counts alone, 0 on the image alone. The head is linear in z, so
the fused composition is the geometric mean of the two, weighted by the gate (a logarithmic opinion pool).
"""

import torch
from torch import Tensor, nn

# Standardised features are clipped here: a tile with an artefact must not reach further than the training data.
FARTHEST = 4.0
EQUAL_DEPTH = 200.0


class ImageGate(nn.Module):
    """Joins the embedding of a spot's tile to the z of its counts (`SpaRank.encode`).

    Without an image the gate is 1 and z that of the counts, to the bit: the same weights serve samples with and
    without images, and spots whose tile is missing. The gate knows the types that it was taught, by their order.

    Parameters
    ----------
    types
        Rows of z: types and the unknown.
    width
        States of a row of z, its last channel (log share) not counted.
    features
        Length of a tile's embedding.
    hidden
        Width of the layers between.
    """

    def __init__(self, types: int, width: int, features: int, hidden: int = 64, dropout: float = 0.1) -> None:
        super().__init__()
        self.types, self.width = types, width
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("sd", torch.ones(features))
        self.look = nn.Sequential(
            nn.Linear(features, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, types + width)
        )
        self.norms = nn.ModuleList([nn.LayerNorm(types + width), nn.LayerNorm(types + width)])
        self.weigh = nn.Sequential(
            nn.Linear(2 * (types + width) + 2, hidden), nn.GELU(), nn.Linear(hidden, 1)
        )
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
        """Return z (spots, types, width + 1) and gate (spots,).

        Parameters
        ----------
        z_rna
            (spots, types, width + 1) from the counts.
        depth
            (spots,) counts of each spot over the genes that the model knows.
        panel
            Share of those genes that is measured, a scalar or (spots,): few genes mislead at any depth.
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

    def project(self, standardised: Tensor) -> Tensor:
        """What tiles say (spots, types, width + 1): a log share of each type, and one state for all types."""
        seen = self.look(standardised)
        shares, state = seen[:, : self.types], seen[:, self.types :]
        return torch.cat([state[:, None].expand(-1, self.types, -1), shares[..., None]], dim=-1)

    def gate(self, z_rna: Tensor, z_image: Tensor, depth: Tensor, panel: Tensor) -> Tensor:
        """Gate (spots,) between 0 and 1."""
        level = torch.log((depth.to(z_rna.dtype) + 1) / EQUAL_DEPTH)
        extent = torch.log(panel.to(z_rna.dtype).clamp_min(1e-4)).expand_as(level)
        said = [norm(_summary(z)) for norm, z in zip(self.norms, (z_rna, z_image), strict=True)]
        known = torch.cat([*said, level[:, None], extent[:, None]], dim=1)
        return torch.sigmoid(self.slope * level + self.weigh(known)[:, 0])

    @staticmethod
    def mix(z_rna: Tensor, z_image: Tensor, gate: Tensor) -> Tensor:
        """``g z_rna + (1 - g) z_image``; exactly z_rna where g is 1."""
        gate = gate[:, None, None]
        return torch.where(gate == 1, z_rna, z_image + gate * (z_rna - z_image))


def _summary(z: Tensor) -> Tensor:
    """The mean state and the log shares (spots, width + types)."""
    return torch.cat([z[..., :-1].mean(dim=1), z[..., -1]], dim=1)
