"""Views: placed inside the tile, restained in stain space, a function of the generator alone."""

import torch

from tissuemake.models.spafoundation.architecture import Views
from tissuemake.models.spafoundation.views import STAINS, blur, crop, draw_views, recolour, restain

MEAN, SD = torch.zeros(3), torch.ones(3)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def ramp(count):
    """Tiles whose red is the column and green the row, 0 to 1."""
    line = (torch.arange(32) + 0.5) / 32
    tile = torch.stack([line.expand(32, 32), line[:, None].expand(32, 32), torch.full((32, 32), 0.5)])
    return tile.expand(count, 3, 32, 32)


def test_a_crop_is_a_rectangle_of_the_share_asked_for_turned_by_quarters():
    crops = crop(ramp(256), 16, (0.25, 0.25), seeded())
    extent = crops.amax((2, 3)) - crops.amin((2, 3))
    # From the first to the last sampled point; clamping at the border aside, width times height is the share.
    area = extent[:, 0] * extent[:, 1] * (16 / 15) ** 2
    torch.testing.assert_close(area, torch.full((256,), 0.25), atol=0.02, rtol=0)
    along = (crops[:, 0, 0] - crops[:, 0, :, 0]).abs().sum(1)
    assert (along > 0.1).all()
    across = crops[:, 0, 0, -1] - crops[:, 0, 0, 0]
    down = crops[:, 0, -1, 0] - crops[:, 0, 0, 0]
    # Red runs along one axis only, in all four directions.
    assert torch.minimum(across.abs(), down.abs()).max() < 1e-5
    for found in ((across > 0.1), (across < -0.1), (down > 0.1), (down < -0.1)):
        assert 30 < found.sum() < 100


def test_restaining_moves_stains_and_leaves_glass():
    glass = torch.ones(8, 3, 4, 4)
    stains = torch.tensor(STAINS) / torch.tensor(STAINS).norm(dim=1, keepdim=True)
    haematoxylin = torch.exp(-stains[0]).view(1, 3, 1, 1).expand(64, 3, 4, 4)
    density = -torch.log(restain(haematoxylin, 0.2, seeded()))[:, :, 0, 0]
    amounts = density @ torch.linalg.inv(stains)
    assert amounts[:, 0].std() > 0.08
    assert amounts[:, 1:].abs().max() <= 0.05 + 1e-4  # only what is added
    assert restain(glass, 0.2, seeded()).min() > 0.85
    assert torch.equal(restain(glass, 0.0, seeded()), glass)


def test_colour_and_blur_change_each_image_its_own_way():
    tiles = ramp(32)
    changed = recolour(tiles, 0.2, seeded()).flatten(1)
    assert changed.min() >= 0 and changed.max() <= 1 and changed.std(0).max() > 0.02
    noise = torch.rand(64, 3, 16, 16, generator=seeded(1))
    blurred = blur(noise, 0.5, seeded())
    same = (blurred - noise).abs().amax((1, 2, 3)) < 1e-6
    assert 15 < same.sum() < 50
    assert blurred[~same].std() < noise.std() - 0.03


def test_views_follow_from_the_generator():
    pixels = (ramp(3) * 255).to(torch.uint8)
    views = Views(local_views=2, local_px=8)
    large, small = draw_views(pixels, 16, views, MEAN, SD, seeded())
    assert large.shape == (6, 3, 16, 16) and small.shape == (6, 3, 8, 8)
    again = draw_views(pixels, 16, views, MEAN, SD, seeded())
    assert torch.equal(large, again[0]) and torch.equal(small, again[1])
    assert not torch.equal(large, draw_views(pixels, 16, views, MEAN, SD, seeded(1))[0])
    assert not torch.equal(large[:3], large[3:])
