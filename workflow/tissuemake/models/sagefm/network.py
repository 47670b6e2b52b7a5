"""A graph network that reads a spot and its neighbours by ways of their own, and predicts every gene of the spot.

The public recipe joins the 15 nearest spots by all edges: normalised, that adjacency gives every node the same mean
after one layer. Here the centre has its own path, and neighbours count by distance and direction.
"""

import math

import torch
from torch import Tensor, nn

from tissuemake.models.gather import gather_rows
from tissuemake.models.sagefm.architecture import Architecture
from tissuemake.models.sagefm.lessons import Lesson
from tissuemake.models.sagefm.reading import Loadings, components, linear_features

# Harmonics of the direction to a neighbour.
HARMONICS = 2


class Reader(nn.Module):
    """Components of a spot, with word of what is hidden: a token, the mean of learnt vectors of the hidden genes,
    and its share."""

    def __init__(self, loadings: Loadings) -> None:
        super().__init__()
        self.register_buffer("directions", loadings.directions.float())
        self.register_buffer("variance", loadings.variance.float())
        self.token = nn.Parameter(torch.zeros_like(self.directions))

    @property
    def loadings(self) -> Loadings:
        """On the device of the network."""
        return Loadings(self.directions, self.variance)

    @property
    def width(self) -> int:
        """Of what `forward` returns."""
        return self.directions.shape[1] + 1

    def forward(self, found: Tensor, hidden: Tensor) -> Tensor:
        """Return (n, d + 1) for components `found` (n, d) and `hidden` (n, V), or (1, V) for all alike."""
        hidden = hidden.float()
        share = hidden.mean(dim=1, keepdim=True).expand(len(found), 1)
        return torch.cat([found + hidden @ self.token / hidden.shape[1], share], dim=1)


class Surroundings(nn.Module):
    """Average neighbours by learnt kernels of distance and direction, one per head."""

    def __init__(self, shape: Architecture, inputs: int) -> None:
        super().__init__()
        self.value = nn.Sequential(
            nn.Linear(inputs, shape.width), nn.GELU(), nn.Linear(shape.width, shape.width)
        )
        # From the first ring to all neighbours alike.
        reach = torch.logspace(0, math.log10(2.0 * max(shape.rings, 1)), shape.heads)
        self.slope = nn.Parameter(1 / reach)
        self.direction = nn.Linear(2 * HARMONICS, shape.heads, bias=False)
        nn.init.zeros_(self.direction.weight)
        self.join = nn.Linear(shape.heads * shape.width, shape.width)

    def forward(self, nodes: Tensor, lesson: Lesson) -> Tensor:
        """Return (B, width) for features of the neighbours `nodes` (M, inputs)."""
        there = lesson.index >= 0
        turns = torch.arange(1, HARMONICS + 1, device=nodes.device)
        angle = lesson.angle[:, :, None] * turns
        score = self.direction(torch.cat([angle.cos(), angle.sin()], dim=2))
        score = score - lesson.distance[:, :, None] * self.slope
        score = score.masked_fill(~there[:, :, None], -math.inf)
        # A spot without neighbours: softmax over nothing would be NaN.
        share = torch.softmax(score, dim=1).nan_to_num(0.0)
        if not len(nodes):
            return self.join(nodes.new_zeros(len(share), self.join.in_features))
        values = gather_rows(self.value(nodes), lesson.index.clamp(min=0))
        mean = torch.einsum("bkh,bkw->bhw", share, values)
        return self.join(mean.flatten(1))


class RingNetwork(nn.Module):
    """Centre and surroundings to a latent vector, and from it every gene."""

    def __init__(self, shape: Architecture, loadings: Loadings, readout: Tensor | None = None) -> None:
        super().__init__()
        genes, size = loadings.directions.shape
        self.register_buffer("readout", torch.zeros(2, 2 * size + 2, genes) if readout is None else readout)
        self.reader = Reader(loadings)
        # All genes are learnt alike, in units of their deviation.
        self.register_buffer("gene_weight", torch.ones(genes))
        inputs = self.reader.width + 2
        self.own = nn.Sequential(
            nn.Linear(inputs, shape.width), nn.GELU(), nn.Linear(shape.width, shape.width)
        )
        self.surroundings = Surroundings(shape, inputs)
        self.mix = nn.Sequential(
            nn.GELU(),
            nn.Dropout(shape.dropout),
            nn.Linear(shape.width, shape.width),
            nn.GELU(),
            nn.Dropout(shape.dropout),
            nn.Linear(shape.width, shape.latent),
        )
        self.straight = nn.Linear(inputs, shape.latent, bias=False)
        self.decode = nn.Linear(shape.latent, genes)
        self.depth = nn.Linear(2, genes, bias=False)
        # A gene's own values around the centre: the rings' weights, and each gene's deviation from them.
        self.ring = nn.Parameter(torch.zeros(shape.rings))
        self.ring_gene = nn.Parameter(torch.zeros(shape.rings, genes))
        nn.init.normal_(self.decode.weight, std=0.05)
        nn.init.zeros_(self.decode.bias)
        nn.init.zeros_(self.depth.weight)

    def embed(self, lesson: Lesson) -> Tensor:
        """Return the latent vectors (B, latent) of the centres."""
        return self._embed(self._found(lesson), lesson)

    def _found(self, lesson: Lesson) -> Tensor:
        return components(lesson.own, (~lesson.hidden).float(), self.reader.loadings)

    def _embed(self, found: Tensor, lesson: Lesson) -> Tensor:
        own = torch.cat([self.reader(found, lesson.hidden), lesson.depth], dim=1)
        return self._latent(own, self._around(lesson))

    def _around(self, lesson: Lesson) -> Tensor:
        around = torch.cat([self.reader(lesson.around, lesson.lacking[None]), lesson.around_depth], dim=1)
        return self.surroundings(around, lesson)

    def _latent(self, own: Tensor, around: Tensor) -> Tensor:
        return self.mix(self.own(own) + around) + self.straight(own)

    def embed_both(self, found: Tensor, lesson: Lesson) -> Tensor:
        """Return (B, 2 x latent): of spots that show what was measured, with components `found`, and of hidden ones.

        Equal to `embed` of two lessons; what lies around is read once.
        """
        around, nothing = self._around(lesson), torch.zeros_like(found)
        latent = [
            self._latent(torch.cat([self.reader(part, hidden[None]), lesson.depth], dim=1), around)
            for part, hidden in ((found, lesson.lacking), (nothing, torch.ones_like(lesson.lacking)))
        ]
        return torch.cat(latent, dim=1)

    def straight_line(self, found: Tensor, lesson: Lesson) -> Tensor:
        """What the readout says, (B, V), of the components `found` (B, d) of the centres."""
        there = (lesson.index >= 0).float()
        share = there / there.sum(dim=1, keepdim=True).clamp(min=1)
        near = lesson.around[lesson.index.clamp(min=0)] if len(lesson.around) else found[:, None] * 0
        mean = (near * share[:, :, None]).sum(dim=1)
        inputs = linear_features(found, lesson.depth, mean, self.reader.loadings)
        shows = (~lesson.hidden).any(dim=1, keepdim=True)
        return torch.where(shows, inputs @ self.readout[0], inputs @ self.readout[1])

    def forward(self, lesson: Lesson) -> Tensor:
        """Return standardised log values (B, V) by the network alone: what is taught."""
        return self._learnt(self._found(lesson), lesson)

    def _learnt(self, found: Tensor, lesson: Lesson) -> Tensor:
        rings = torch.einsum("brv,rv->bv", lesson.rings, self.ring[:, None] + self.ring_gene)
        return self.decode(self._embed(found, lesson)) + self.depth(lesson.depth) + rings

    def answer(self, lesson: Lesson) -> Tensor:
        """Return standardised log values (B, V): the mean of network and straight line.

        They err in different ways, and the mean of the two is better than either on a section that neither saw. To
        teach the network only what the line leaves was no better, and took the meaning out of its embedding.
        """
        found = self._found(lesson)
        return (self._learnt(found, lesson) + self.straight_line(found, lesson)) / 2
