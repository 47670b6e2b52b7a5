"""Which patches of an image are hidden: blocks, as many for each image as it was drawn."""

import torch
from torch import Generator, Tensor

RECTANGLES = 16
# Bao et al. 2022 (BEiT): rectangles of at least this share of the image, up to 1 : 3 long.
LEAST_SHARE, MOST_SHARE = 0.04, 0.25
LONGEST = 3.0


def block_masks(
    images: int, grid: int, share: float, spread: float, generator: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw the hidden patches of `images` with `grid` x `grid` patches each.

    All images at once: random rectangles are laid over the grid, and an image's patches are hidden in the order of
    the first rectangle that covers them until its number is reached.

    Parameters
    ----------
    share, spread
        The share of hidden patches is uniform in `share` - `spread` to `share` + `spread`, at least one patch.

    Returns
    -------
    masked
        (images, patches) bool.
    positions
        (images, most) patches in the order of hiding; `most` does not depend on the draw, so that shapes stand.
    weights
        (images, most): 1 / number of hidden patches where the position is hidden, else 0.
    """
    device, patches = generator.device, grid * grid

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, device=device, generator=generator)

    area = (LEAST_SHARE + (MOST_SHARE - LEAST_SHARE) * uniform(images, RECTANGLES)) * patches
    aspect = LONGEST ** (2 * uniform(images, RECTANGLES) - 1)
    height, width = ((area * ratio).sqrt().round().clamp(1, grid) for ratio in (aspect, 1 / aspect))
    top, left = ((uniform(images, RECTANGLES) * (grid - edge + 1)).floor() for edge in (height, width))
    line = torch.arange(grid, device=device)
    rows = (line >= top[..., None]) & (line < (top + height)[..., None])
    columns = (line >= left[..., None]) & (line < (left + width)[..., None])
    covered = (rows[..., :, None] & columns[..., None, :]).flatten(2)
    first = torch.where(covered.any(1), covered.float().argmax(1), RECTANGLES)
    order = (first + uniform(images, patches)).argsort(1)
    most = max(1, round(min(share + spread, 1.0) * patches))
    least = max(1, round(max(share - spread, 0.0) * patches))
    count = least + (uniform(images, 1) * (most - least + 1)).floor()
    positions = order[:, :most]
    hidden = torch.arange(most, device=device) < count
    masked = torch.zeros(images, patches, dtype=torch.bool, device=device).scatter_(1, positions, hidden)
    return masked, positions, hidden / count
