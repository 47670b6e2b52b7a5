"""The published recipe, as a baseline: the nearest spots as a complete graph, five layers of graph convolution.

SAGE-FM (arXiv 2601.15504): the 15 nearest spots, the centre among them, joined by all edges, log1p expression, layers
of 1024, 512, 512, 512 and 1024, 30 % of the centre's genes masked as zeros, squared error of the masked ones.
Normalised, that adjacency is 1 / 15 everywhere, self-loops included, so every node has the same mean after one layer:
what follows is a perceptron on the mean of the neighbourhood, and is computed as one here (a test compares it with the
graph).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from tissuemake.models.sagefm.lessons import Lesson

NODES = 15
WIDTHS = (1024, 512, 512, 512, 1024)


class CliqueNetwork(nn.Module):
    """Mean of a clique, masked centre included, to every gene of the centre; `mean`, `sd` (V,): of training."""

    def __init__(self, mean: Tensor, sd: Tensor, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.register_buffer("sd", sd.float())
        # Squared errors of log1p values as they are: genes that vary more count more.
        self.register_buffer("gene_weight", (sd.float() ** 2) / (sd.float() ** 2).mean())
        sizes = [len(sd), *widths]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.decode = nn.Linear(widths[-1], len(sd))
        # Training starts at the mean, not thousands of standard deviations from it.
        nn.init.zeros_(self.decode.weight)
        self.decode.bias.data.copy_(mean)

    def embed(self, lesson: Lesson) -> Tensor:
        """Return the last hidden layer (B, 1024)."""
        return self.perceive(self.clique_mean(lesson))

    def clique_mean(self, lesson: Lesson) -> Tensor:
        """Return mean log1p CP10k over the neighbours and the centre, hidden genes counting as 0, (B, V)."""
        centre = (lesson.target * self.sd + lesson.level) * ~lesson.hidden
        around = (lesson.rings[:, 0] * self.sd + lesson.level) * ~lesson.lacking
        count = (lesson.index >= 0).sum(dim=1, keepdim=True)
        return (around * count + centre) / (count + 1)

    def perceive(self, mean: Tensor) -> Tensor:
        """Apply the layers, after the first of which all nodes are alike."""
        for layer in self.layers:
            mean = torch.relu(layer(mean))
        return mean

    def forward(self, lesson: Lesson) -> Tensor:
        """Return standardised log values (B, V)."""
        return (self.decode(self.embed(lesson)) - lesson.level) / self.sd

    def answer(self, lesson: Lesson) -> Tensor:
        """As `forward`: the recipe has nothing beside its network."""
        return self(lesson)
