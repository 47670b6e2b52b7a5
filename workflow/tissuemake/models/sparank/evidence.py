"""What the ranks of a spot's genes say for each type: by queries made of signatures, or by gene tokens."""

import math

import torch
from torch import Tensor, nn

from tissuemake.models.sparank.architecture import Architecture
from tissuemake.models.sparank.encoding import rank_fractions, top_tokens
from tissuemake.models.sparank.layers import Block


class SignatureQueries(nn.Module):
    """Types as queries: each signature, rank-encoded like a spot, reads the spot's genes by linear attention.

    The weight of a gene for a type is a learnt function of what the signatures say of it (its rank and level in the
    type, its excess over the others); what is read is a learnt function of its rank in the spot. Neither knows the
    gene's name, so types and genes of a new atlas are served by the same weights. Attention with a kernel instead of
    softmax (Katharopoulos et al. 2020, ICML) costs one matrix product for all genes.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        reads = architecture.reads
        self.weigh = nn.Sequential(nn.Linear(5, 32), nn.GELU(), nn.Linear(32, reads))
        self.say = nn.Sequential(nn.Linear(3, 24), nn.GELU(), nn.Linear(24, reads))
        self.features = 2 * reads

    def forward(self, values: Tensor, level: Tensor, signature: Tensor, medians: Tensor) -> Tensor:
        """Return (spots, types, features).

        Parameters
        ----------
        values
            (spots, genes) rank fractions or log values of measured genes.
        level
            (spots, 1) log depth.
        signature, medians
            (genes, types) and (genes,) of the same genes.
        """
        weight = self.weigh(describe(signature, medians))
        said = self.say(torch.stack([values, (values > 0).to(values.dtype), level.expand_as(values)], dim=-1))
        read = torch.einsum("sgm,gtm->stm", said, weight) / math.sqrt(len(signature))
        # What a type says more than the others.
        return torch.cat([read, read - read.mean(1, keepdim=True)], dim=-1)


def describe(signature: Tensor, medians: Tensor) -> Tensor:
    """What signatures say of each gene for each type (genes, types, 5)."""
    share = signature / signature.sum(0, keepdim=True).clamp_min(1e-9) * 1e4
    level = torch.log(share + 0.1)
    mean = torch.log(share.mean(1, keepdim=True) + 0.1)
    rank = rank_fractions((share / medians[:, None]).T).T
    best = level.amax(1, keepdim=True)
    return torch.stack(
        [level / 5, level - mean, rank, (level - best) / 3, (mean / 5).expand_as(level)], dim=-1
    )


class GeneTokens(nn.Module):
    """A spot as a sentence of its highest genes: gene + rank embedding and a depth token, a transformer, its pool."""

    def __init__(self, architecture: Architecture, genes: int, types: int, features: int) -> None:
        super().__init__()
        width = architecture.width
        self.tokens, self.features, self.types = architecture.tokens, features, types
        self.gene = nn.Embedding(genes, width)
        self.place = nn.Sequential(nn.Linear(8, width), nn.GELU(), nn.Linear(width, width))
        self.depth = nn.Linear(2, width)
        self.blocks = nn.ModuleList(
            Block(width, architecture.heads) for _ in range(architecture.token_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(2 * width, types * features)
        nn.init.normal_(self.gene.weight, std=0.5)
        # A bag of all expressed genes beside the tokens: what a plain network on ranks would see.
        self.bag = nn.Linear(genes, width, bias=False)

    def forward(
        self, values: Tensor, ranks: Tensor, level: Tensor, measured: Tensor, kinds: Tensor
    ) -> Tensor:
        """Return (spots, types, features); `values` and `ranks` over the whole vocabulary."""
        genes, real = top_tokens(ranks, self.tokens)
        tokens = self.gene(genes) + self.place(_fourier(values.gather(1, genes)))
        extent = torch.log(measured.sum().to(level.dtype)).expand_as(level) / 10
        depth = self.depth(torch.cat([level, extent], dim=1))[:, None]
        x = torch.cat([depth, tokens], dim=1)
        real = torch.cat([torch.ones_like(real[:, :1]), real], dim=1)
        for block in self.blocks:
            x = block(x, real)
        pooled = torch.cat([self.norm(x[:, 0]), self.bag(values) / math.sqrt(values.shape[1]) * 4], dim=1)
        return self.out(pooled).view(len(pooled), self.types, self.features)[:, kinds]


def _fourier(places: Tensor) -> Tensor:
    """Rank fractions (…) as waves (…, 8)."""
    angles = places[..., None] * math.pi * torch.tensor([0.5, 1.0, 2.0, 4.0], device=places.device)
    return torch.cat([angles.sin(), angles.cos()], dim=-1).to(places.dtype)
