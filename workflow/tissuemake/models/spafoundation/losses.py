"""Self-distillation of tiles and patches (iBOT), balanced assignments, and the spread of features."""

import torch
from torch import Tensor, distributed
from torch.nn import functional

SINKHORN_ROUNDS = 3
# KoLeo's logarithm of a distance of 0.
LEAST_DISTANCE = 1e-8


def centred(logits: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """The teacher's probabilities: its logits less their running mean, sharpened. (…, prototypes)"""
    return torch.softmax((logits.float() - centre) / temperature, dim=-1)


@torch.no_grad()
def sinkhorn(logits: Tensor, temperature: float, weights: Tensor | None = None) -> Tensor:
    """Probabilities (n, prototypes) in which the prototypes are equally used (Cuturi 2013; Caron et al. 2020).

    Over the rows of all processes.

    Parameters
    ----------
    weights
        (n,): how much a row counts; rows of weight 0 get their row's softmax of the balanced scores.
    """
    scores = logits.float() / temperature
    scores = scores - _over_processes(scores.amax(), distributed.ReduceOp.MAX)
    share = torch.ones(len(scores), device=scores.device) if weights is None else weights
    share = share / _over_processes(share.sum())
    log_share = share.log()[:, None]  # -inf where a row does not count
    balance = torch.zeros(scores.shape[1], device=scores.device)
    row = torch.zeros(len(scores), 1, device=scores.device)
    for _ in range(SINKHORN_ROUNDS):
        used = _over_processes((scores + row + log_share).exp().sum(0))
        balance = -used.clamp_min(1e-30).log()
        row = -torch.logsumexp(scores + balance, dim=1, keepdim=True)
    return (scores + balance + row).exp()


def cross_entropy(target: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """Of the student's softmax with the teacher's `target`, per row. (…, prototypes) -> (…)"""
    return -(target * functional.log_softmax(logits.float() / temperature, dim=-1)).sum(-1)


def tile_loss(target: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """Every view of the student against the teacher's two large views, but for itself.

    Parameters
    ----------
    target
        (2, tiles, prototypes).
    logits
        (views, tiles, prototypes), the two large views first.
    """
    said = functional.log_softmax(logits.float() / temperature, dim=-1)
    # (2, views): mean cross-entropy of each pair, as one product.
    pairs = -torch.einsum("tnk,vnk->tv", target, said) / target.shape[1]
    other = ~torch.eye(2, len(logits), dtype=torch.bool, device=pairs.device)
    return pairs[other].mean()


def patch_loss(target: Tensor, logits: Tensor, weights: Tensor, temperature: float) -> Tensor:
    """Hidden patches: what the teacher, who sees them, says. Mean over each image's hidden patches, then images.

    `weights` as of `masks.block_masks`.
    """
    return (cross_entropy(target, logits, temperature) * weights).sum() / len(weights)


def pixel_loss(images: Tensor, painted: Tensor, positions: Tensor, weights: Tensor) -> Tensor:
    """Mean squared error of painted patches, by image and then over images, as `patch_loss`.

    Parameters
    ----------
    images
        (n, 3, height, width), standardised.
    painted
        (n, most, 3 * patch * patch), of the patches at `positions` (n, most).
    """
    edge = round((painted.shape[-1] / 3) ** 0.5)
    patches = functional.unfold(images, edge, stride=edge).transpose(1, 2)
    wanted = patches.gather(1, positions[:, :, None].expand_as(painted))
    return ((painted.float() - wanted).square().mean(-1) * weights).sum() / len(weights)


def koleo(features: Tensor) -> Tensor:
    """Kozachenko-Leonenko: minus the mean log distance of each direction (n, width) to its nearest neighbour."""
    points = functional.normalize(features.float(), dim=-1, eps=LEAST_DISTANCE)
    with torch.no_grad():
        likeness = points @ points.T
        nearest = likeness.fill_diagonal_(-2).argmax(1)
    distance = (points - points[nearest]).square().sum(1).add(LEAST_DISTANCE).sqrt()
    return -distance.log().mean()


@torch.no_grad()
def moved_centre(centre: Tensor, logits: Tensor, momentum: float) -> Tensor:
    """The running mean of the teacher's logits after a batch (n, prototypes), over all processes."""
    total = _over_processes(logits.float().sum(0))
    count = _over_processes(torch.tensor(float(len(logits)), device=logits.device))
    return centre * momentum + total / count * (1 - momentum)


def _over_processes(value: Tensor, operation: object = None) -> Tensor:
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        value = value.clone()
        distributed.all_reduce(value, op=operation or distributed.ReduceOp.SUM)
    return value
