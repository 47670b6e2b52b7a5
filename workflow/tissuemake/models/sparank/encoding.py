"""Rank encoding: each expressed gene's place among those of its spot, after scaling by the atlas's medians.

After Geneformer (Theodoris et al. 2023, Nature 618, 616): a gene that is high everywhere says little, so counts are
divided by the gene's non-zero median before they are ordered. A gene that is not expressed, or not measured, has no
place; what was measured is told apart by `measured`.
"""

import torch
from torch import Generator, Tensor


def rank_fractions(values: Tensor, jitter: Generator | None = None) -> Tensor:
    """Place of every positive value in its row: 1 the highest, above 0 the lowest; 0 where there is no value.

    Parameters
    ----------
    values
        (rows, genes), not negative; scaled counts.
    jitter
        Breaks ties at random (training). None: tied genes share their mean place, whatever their order.

    Returns
    -------
    Tensor
        (rows, genes). With n values in a row the highest has place 1, the lowest 1 / n.
    """
    expressed = values > 0
    n = expressed.sum(1, keepdim=True)
    if jitter is not None:
        # In double: a float's spacing would leave some ties to the order of the genes.
        noise = torch.rand(values.shape, generator=jitter, device=values.device, dtype=torch.float64)
        values = values.double() * (1 + 1e-9 * noise)
    values = values.contiguous()
    ordered = values.sort(dim=1).values.contiguous()
    below = torch.searchsorted(ordered, values)
    upto = torch.searchsorted(ordered, values, right=True)
    # Places among the expressed: zeros come first in the order.
    place = (below + upto + 1) / 2 - (values.shape[1] - n)
    return torch.where(expressed, place / n.clamp_min(1), 0.0).float()


def log_values(counts: Tensor) -> Tensor:
    """log(1 + counts per 10,000) / 5: the value that the twin without ranks sees, of the same range."""
    return torch.log1p(counts / counts.sum(1, keepdim=True).clamp_min(1) * 1e4) / 5


def top_tokens(ranks: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
    """The highest genes of each row, as tokens.

    Genes that tie for the last places, and are more than these, are all left out: which of them stay would be up to
    their order. In training `rank_fractions` has broken such ties at random.

    Parameters
    ----------
    ranks
        (rows, genes) from `rank_fractions`.

    Returns
    -------
    genes, real
        (rows, tokens) gene index, and whether it is a token: expressed, and above such a tie.
    """
    wanted = min(tokens, ranks.shape[1])
    highest, genes = torch.topk(ranks, min(wanted + 1, ranks.shape[1]), dim=1)
    # Without a next gene nothing is cut.
    after = highest[:, wanted:] if highest.shape[1] > wanted else torch.zeros_like(highest[:, :1])
    return genes[:, :wanted], highest[:, :wanted] > after
