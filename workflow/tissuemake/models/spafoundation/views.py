"""Crops of H&E tiles as the network is shown them: placed, turned, restained and blurred, all tiles at once.

Plain torch on the device of the tiles; all chance comes from the given generator.
"""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from tissuemake.models.spafoundation.architecture import Views

# Optical densities of haematoxylin, eosin and the rest (Ruifrok & Johnston 2001), as rows of unit length.
STAINS = ((0.651, 0.701, 0.290), (0.070, 0.991, 0.110), (0.270, 0.571, 0.776))
LIGHTNESS = (0.299, 0.587, 0.114)
MOST_ASPECT = 4 / 3
BLUR_SIGMA = (0.4, 1.2)


def draw_views(
    pixels: Tensor, image_px: int, views: Views, mean: Tensor, sd: Tensor, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Draw the crops of one step.

    Parameters
    ----------
    pixels
        uint8 (tiles, 3, height, width), on the generator's device.
    mean, sd
        (3,) of pixels in 0 to 1.

    Returns
    -------
    large
        float32 (2 * tiles, 3, image_px, image_px), standardised: all tiles once, then all again.
    small
        (local_views * tiles, 3, local_px, local_px), in the same order.
    """
    tiles = pixels.float() / 255
    large = torch.cat([crop(tiles, image_px, views.global_share, generator) for _ in range(2)])
    small = [crop(tiles, views.local_px, views.local_share, generator) for _ in range(views.local_views)]
    drawn = []
    for crops in (
        large,
        torch.cat(small) if small else tiles.new_empty(0, 3, views.local_px, views.local_px),
    ):
        changed = blur(
            recolour(restain(crops, views.stain, generator), views.colour, generator), views.blur, generator
        )
        drawn.append(standardise(changed, mean, sd))
    return drawn[0], drawn[1]


def standardise(images: Tensor, mean: Tensor, sd: Tensor) -> Tensor:
    """Take the mean (3,) off images in 0 to 1 and divide by the standard deviation (3,)."""
    return (images - mean[:, None, None]) / sd[:, None, None]


def crop(tiles: Tensor, edge: int, share: tuple[float, float], generator: Generator) -> Tensor:
    """Return a random rectangle of each tile, of a `share` of its area, turned and flipped, `edge` x `edge`."""
    count = len(tiles)
    area = _uniform(count, share, generator)
    aspect = torch.exp(_uniform(count, (-math.log(MOST_ASPECT), math.log(MOST_ASPECT)), generator))
    half = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], 1).clamp_max(1.0)
    centre = _uniform((count, 2), (-1.0, 1.0), generator) * (1 - half)
    turn = torch.randint(4, (count,), device=tiles.device, generator=generator)
    flip = torch.randint(2, (count,), device=tiles.device, generator=generator) * 2.0 - 1
    cosine, sine = ((value(turn * (math.pi / 2))).round() for value in (torch.cos, torch.sin))
    turned = torch.stack([cosine * flip, -sine, sine * flip, cosine], 1).view(-1, 2, 2)
    affine = torch.cat([half[:, :, None] * turned, centre[:, :, None]], 2)
    grid = functional.affine_grid(affine, [count, 3, edge, edge], align_corners=False)
    return functional.grid_sample(
        tiles, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )


def restain(images: Tensor, amount: float, generator: Generator) -> Tensor:
    """Multiply haematoxylin, eosin and the rest by a factor each, and add a little of each (Tellez et al. 2018).

    Both are one affine map of the optical densities of an image.
    """
    if not amount:
        return images
    stains = torch.tensor(STAINS, device=images.device)
    stains = stains / stains.norm(dim=1, keepdim=True)
    factor = _uniform((len(images), 3), (1 - amount, 1 + amount), generator)
    added = _uniform((len(images), 3), (-amount / 4, amount / 4), generator)
    mix = torch.linalg.inv(stains) * factor[:, None, :] @ stains
    density = -torch.log(images.clamp_min(1 / 256)).flatten(2)
    changed = mix.mT @ density + (added @ stains)[:, :, None]
    return torch.exp(-changed).clamp(0, 1).view_as(images)


def recolour(images: Tensor, amount: float, generator: Generator) -> Tensor:
    """Change brightness, contrast and saturation by a factor each: what cameras and scanners differ in."""
    if not amount:
        return images
    factors = _uniform((3, len(images), 1, 1, 1), (1 - amount, 1 + amount), generator)
    weights = torch.tensor(LIGHTNESS, device=images.device).view(1, 3, 1, 1)
    images = images * factors[0]
    level = images.mean((1, 2, 3), keepdim=True)
    images = level + (images - level) * factors[1]
    grey = (images * weights).sum(1, keepdim=True)
    return (grey + (images - grey) * factors[2]).clamp(0, 1)


def blur(images: Tensor, chance: float, generator: Generator) -> Tensor:
    """Blur some images by a Gaussian whose width is drawn: slides are not equally sharp."""
    if not chance or not len(images):
        return images
    sigma = _uniform(len(images), BLUR_SIGMA, generator)
    blurred = _uniform(len(images), (0.0, 1.0), generator) < chance
    offsets = torch.arange(-2, 3, device=images.device)
    kernel = torch.exp(-offsets.square() / (2 * sigma[:, None].square()))
    # A kernel that changes nothing for the others: one path for all, whatever is drawn.
    kernel = torch.where(blurred[:, None], kernel / kernel.sum(1, keepdim=True), (offsets == 0).float())
    count, height, width = len(images), images.shape[2], images.shape[3]
    kernel = kernel.repeat_interleave(3, 0)
    flat = functional.pad(images, (2, 2, 2, 2), mode="reflect").view(1, 3 * count, height + 4, width + 4)
    flat = functional.conv2d(flat, kernel[:, None, :, None], groups=3 * count)
    return functional.conv2d(flat, kernel[:, None, None, :], groups=3 * count).view_as(images)


def _uniform(shape: int | tuple[int, ...], between: tuple[float, float], generator: Generator) -> Tensor:
    shape = (shape,) if isinstance(shape, int) else shape
    drawn = torch.rand(shape, device=generator.device, generator=generator)
    return between[0] + (between[1] - between[0]) * drawn
