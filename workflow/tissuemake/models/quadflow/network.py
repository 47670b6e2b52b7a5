"""The pathway transformer: patches and pathways through layers of four flows, and an activity for each pair of them."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tissuemake.models.quadflow.architecture import Architecture
from tissuemake.models.quadflow.attention import FlowAttention
from tissuemake.models.quadflow.neighbors import Around

# Waves of the position encoding: from a few spots to a whole slide.
WAVES_UM = (500.0, 1000.0, 2000.0, 4000.0, 8000.0)


class View(NamedTuple):
    """What the network sees of a slide, or of a window of one.

    Attributes
    ----------
    features
        float32 (n, f), standardised within the slide.
    positions_um
        float32 (n, 2), about the middle of the window.
    around
        Neighbours; None where neither the flow among patches nor a penalty asks for them.
    """

    features: Tensor
    positions_um: Tensor
    around: Around | None

    def to(self, device: torch.device | str) -> "View":
        """On another device."""
        around = None if self.around is None else self.around.to(device)
        return View(self.features.to(device), self.positions_um.to(device), around)


class Layer(nn.Module):
    """Pre-norm attention by flows and a feed-forward layer for each kind of token."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.attention = FlowAttention(shape.width, shape.heads, shape.flows)
        # Weights that no flow uses would have no gradient, which training on several GPUs takes for a mistake.
        pathways, patches = self.attention.touched
        self.pathway_norm = nn.LayerNorm(shape.width) if pathways else nn.Identity()
        self.patch_norm = nn.LayerNorm(shape.width) if patches else nn.Identity()
        self.pathway_feed, self.patch_feed = _feed(shape), _feed(shape)
        self.drop = nn.Dropout(shape.dropout)

    def forward(
        self, pathways: Tensor, patches: Tensor, around: Around | None, said: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        told = self.attention(self.pathway_norm(pathways), self.patch_norm(patches), around, said)
        if told[0] is not None:
            pathways = pathways + self.drop(told[0])
        if told[1] is not None:
            patches = patches + self.drop(told[1])
        return pathways + self.pathway_feed(pathways), patches + self.patch_feed(patches)


def _feed(shape: Architecture) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(shape.width),
        nn.Linear(shape.width, 2 * shape.width),
        nn.GELU(),
        nn.Dropout(shape.dropout),
        nn.Linear(2 * shape.width, shape.width),
        nn.Dropout(shape.dropout),
    )


class QuadflowNetwork(nn.Module):
    """Activities of pathways in patches, in units of each pathway's deviation within a slide."""

    def __init__(self, shape: Architecture, features: int, pathways: int) -> None:
        super().__init__()
        self.shape = shape
        self.read = nn.Linear(features, shape.width)
        self.place = nn.Linear(4 * len(WAVES_UM), shape.width, bias=False)
        self.pathways = nn.Parameter(torch.randn(pathways, shape.width) * 0.1)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.drop = nn.Dropout(shape.dropout)
        self.patch_norm, self.pathway_norm = nn.LayerNorm(shape.width), nn.LayerNorm(shape.width)
        self.patch_side = nn.Linear(shape.width, shape.latent)
        self.pathway_side = nn.Linear(shape.width, shape.latent)
        # So that answers are not stuck where a bounded product leaves them.
        self.scale = nn.Parameter(torch.ones(pathways))
        self.offset = nn.Parameter(torch.zeros(pathways))
        nn.init.normal_(self.place.weight, std=0.01)

    def tokens(self, view: View, said: list[dict[str, Tensor]] | None = None) -> tuple[Tensor, Tensor]:
        """Return pathways (P, width) and patches (n, width) as the last layer leaves them.

        `said`, if given, gets the shares of attention of every layer (see `FlowAttention.forward`).
        """
        patches = self.read(self.drop(view.features)) + self.place(waves(view.positions_um))
        pathways = self.pathways
        for layer in self.layers:
            spoken = None if said is None else {}
            pathways, patches = layer(pathways, patches, view.around, spoken)
            if said is not None:
                said.append(spoken)
        return pathways, patches

    def forward(self, view: View, said: list[dict[str, Tensor]] | None = None) -> Tensor:
        """Return the activities (n, P)."""
        pathways, patches = self.tokens(view, said)
        sides = self.patch_side(self.patch_norm(patches)), self.pathway_side(self.pathway_norm(pathways))
        return self.offset + self.scale * (sides[0] @ sides[1].T) / math.sqrt(self.shape.latent)


def waves(positions_um: Tensor) -> Tensor:
    """Sines and cosines (n, 4 waves) of positions (n, 2) in µm."""
    length = torch.tensor(WAVES_UM, device=positions_um.device)
    angle = (2 * math.pi * positions_um[:, :, None] / length).flatten(1)
    return torch.cat([angle.sin(), angle.cos()], dim=1)
