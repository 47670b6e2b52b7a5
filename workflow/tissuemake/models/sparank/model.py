"""The network: least-squares shares, corrected by what the ranks of genes say, for every type and the unknown."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from tissuemake.models.sparank import section
from tissuemake.models.sparank.architecture import Architecture
from tissuemake.models.sparank.encoding import log_values, rank_fractions
from tissuemake.models.sparank.evidence import GeneTokens, SignatureQueries
from tissuemake.models.sparank.layers import Block

SHARE_FEATURES = 7
MISFIT_FEATURES = 3
# A gene that the platform hardly catches: one stray count over a smaller factor would top the spot's ranks.
LOWEST_FACTOR = 0.02
# Rounds of `section.refit` in what the answer is pooled with, and the share that stands for none there.
REFITS = 3
NONE = 1e-4


@dataclass  # not frozen: lightning moves its fields to the device
class Reference:
    """What the network is shown of an atlas.

    Attributes
    ----------
    signature
        (genes, types) mean counts per 10,000.
    medians
        (genes,) non-zero medians of counts per 10,000.
    kinds
        (types,) position of each type among those that the network was made for (fixed head).
    """

    signature: Tensor
    medians: Tensor
    kinds: Tensor

    def of_types(self, kept: Tensor) -> "Reference":
        """Only the types at the positions `kept`."""
        return Reference(self.signature[:, kept], self.medians, self.kinds[kept])


@dataclass(frozen=True)
class Composition:
    """Mean shares (spots, types + 1), the last the unknown, and their Dirichlet's total concentration (spots,)."""

    mean: Tensor
    concentration: Tensor

    @property
    def sd(self) -> Tensor:
        """Standard deviation of each share under the Dirichlet (spots, types + 1)."""
        return torch.sqrt(self.mean * (1 - self.mean) / (self.concentration[:, None] + 1))


class SpaRank(nn.Module):
    """Composition of spots of one section, given an atlas's signatures.

    In training mode the answer is the network's own: least squares, corrected. In evaluation mode the shares of types
    are the geometric mean of that and of least squares itself, refitted until it stands. Simulated sections teach more
    correction than other tissues bear; the two err in different ways, so their mean errs less than either.
    """

    def __init__(self, architecture: Architecture, genes: int, types: int) -> None:
        super().__init__()
        self.architecture = architecture
        width = architecture.width
        if architecture.head == "query":
            self.evidence: nn.Module = SignatureQueries(architecture)
        else:
            self.evidence = GeneTokens(architecture, genes, types, 2 * architecture.reads)
        self.enter = nn.Linear(2 * architecture.reads + SHARE_FEATURES + 2, width)
        self.misfit = nn.Sequential(nn.Linear(MISFIT_FEATURES + 2, width), nn.GELU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(Block(width, architecture.heads) for _ in range(architecture.layers))
        self.norm = nn.LayerNorm(width)
        self.correct = nn.Linear(width, 1)
        self.spread = nn.Linear(width, 1)
        # The untrained answer is that of least squares.
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.spread.weight)
        nn.init.constant_(self.spread.bias, 2.0)
        self.trust = nn.Parameter(torch.tensor(1.0))
        self.floor = nn.Parameter(torch.tensor(-4.0))
        self.rarity = nn.Parameter(torch.tensor(-2.0))

    def forward(
        self,
        counts: Tensor,
        measured: Tensor,
        reference: Reference,
        survey: section.Survey | None = None,
        jitter: Generator | None = None,
    ) -> Composition:
        """Composition of `counts` (spots, genes) of one section; see `encode`."""
        return self.head(self.encode(counts, measured, reference, survey, jitter))

    def encode(
        self,
        counts: Tensor,
        measured: Tensor,
        reference: Reference,
        survey: section.Survey | None = None,
        jitter: Generator | None = None,
    ) -> Tensor:
        """Return z (spots, types + 1, width + 1), all that counts say of each type and of the unknown.

        The last channel is the log share before the correction by the other channels: in training that of least
        squares (a learnt constant for the unknown).

        Parameters
        ----------
        measured
            (genes,) bool: what the section's panel covers.
        survey
            Of the whole section, when `counts` is a part of it; None: made from `counts`.
        jitter
            Breaks ties of ranks in training.
        """
        fitted = self._least_squares(counts, measured, reference, survey)
        level = torch.log(counts.sum(1, keepdim=True).clamp_min(1)) / 10
        extent = torch.log(measured.sum().float()).expand_as(level) / 10
        facts = torch.cat([level, extent], dim=1)
        evidence = self._evidence(fitted.scaled, level, measured, reference, jitter)
        types = reference.signature.shape[1]
        x = self.enter(torch.cat([evidence, fitted.features, facts[:, None].expand(-1, types, -1)], dim=-1))
        misfit = self.misfit(torch.cat([fitted.misfit, facts], dim=1))
        x = torch.cat([x, misfit[:, None]], dim=1)
        for block in self.blocks:
            x = block(x)
        prior = self.trust * torch.log(fitted.shares + self.floor.exp())
        prior = torch.cat([prior, self.rarity.expand(len(prior), 1)], dim=1)
        z = torch.cat([self.norm(x), prior[..., None]], dim=-1)
        return z if self.training else self._pooled(z, counts, fitted)

    def _pooled(self, z: Tensor, counts: Tensor, fitted: "_Fitted") -> Tensor:
        """The z whose head is the pool of the answer of `z` and of least squares; the unknown share stays."""
        with torch.autocast(counts.device.type, enabled=False):
            shares = fitted.shares
            for _ in range(REFITS - 1):
                shares = section.refit(counts, fitted.adapted, shares)
        correction = self.correct(z[..., :-1])[..., 0]
        own = correction + z[..., -1]
        types = (own[:, :-1] + torch.log(shares + NONE)) / 2
        unknown = own[:, -1:] - own[:, :-1].logsumexp(1, keepdim=True) + types.logsumexp(1, keepdim=True)
        pooled = torch.cat([types, unknown], dim=1) - correction
        return torch.cat([z[..., :-1], pooled[..., None]], dim=-1)

    def head(self, z: Tensor) -> Composition:
        """Composition that z (spots, types + 1, width + 1) stands for."""
        states, prior = z[..., :-1], z[..., -1]
        mean = (self.correct(states)[..., 0] + prior).float().softmax(dim=1)
        return Composition(mean, F.softplus(self.spread(states.mean(1))[:, 0].float()) + 0.1)

    def _least_squares(
        self, counts: Tensor, measured: Tensor, reference: Reference, survey: section.Survey | None
    ) -> "_Fitted":
        """Nothing is learnt here; gradients pass when `counts` asks for them (attributions)."""
        with torch.autocast(counts.device.type, enabled=False):
            signature = reference.signature * measured[:, None]
            survey = survey or section.survey(counts, measured, reference.signature)
            adapted = signature * survey.factors[:, None]
            plain, fitted = section.fit(counts, signature), section.fit(counts, adapted)
            shares = section.refit(counts, adapted, fitted)
            mean = survey.shares.expand_as(shares)
            logs = [torch.log(part + 0.01) for part in (plain, fitted, shares, mean)]
            return _Fitted(
                adapted,
                shares,
                counts / survey.factors.clamp_min(LOWEST_FACTOR),
                torch.stack([*logs, plain, shares, mean], dim=-1),
                _misfit(counts, measured, shares @ adapted.T),
            )

    def _evidence(
        self, scaled: Tensor, level: Tensor, measured: Tensor, reference: Reference, jitter: Generator | None
    ) -> Tensor:
        ratio = scaled / reference.medians
        logs = self.architecture.values == "log"
        if isinstance(self.evidence, SignatureQueries):
            scaled, ratio = scaled[:, measured], ratio[:, measured]
            values = log_values(scaled) if logs else _ranks(ratio, jitter)
            return self.evidence(values, level, reference.signature[measured], reference.medians[measured])
        ranks = _ranks(ratio, jitter)
        values = log_values(scaled) if logs else ranks
        return self.evidence(values, ranks, level, measured, reference.kinds)


def _ranks(ratio: Tensor, jitter: Generator | None) -> Tensor:
    ranks = rank_fractions(ratio.detach(), jitter)
    if ratio.requires_grad:  # a rank has no gradient: let it move in proportion to its value
        ranks = ranks * ratio / ratio.detach().clamp_min(1e-12)
    return ranks


@dataclass(frozen=True)
class _Fitted:
    """Of least squares: signatures on the section's platform (genes, types), shares (spots, types), counts on the
    atlas's platform (spots, genes), and features.
    """

    adapted: Tensor
    shares: Tensor
    scaled: Tensor
    features: Tensor
    misfit: Tensor


def _misfit(counts: Tensor, measured: Tensor, predicted: Tensor) -> Tensor:
    """What the mixture leaves unexplained (spots, 3): a type that the atlas lacks shows here.

    Log of the mean squared Pearson residual, cosine of square roots, share of the counts above what is predicted.
    """
    total = counts.sum(1, keepdim=True).clamp_min(1)
    counts, predicted = counts[:, measured], predicted[:, measured]
    predicted = predicted / predicted.sum(1, keepdim=True).clamp_min(1e-9) * total
    residual = ((counts - predicted) ** 2 / (predicted + 0.5)).mean(1)
    # A square root has no derivative at zero: one type with no share left would turn all attributions to NaN.
    roots = (values.clamp_min(1e-12).sqrt() for values in (counts, predicted))
    cosine = F.cosine_similarity(*roots, dim=1)
    excess = (counts - predicted).clamp_min(0).sum(1) / total[:, 0]
    return torch.stack([torch.log(residual + 0.1), cosine, excess], dim=1)
