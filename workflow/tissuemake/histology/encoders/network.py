"""A network as tile encoder: tiles are scaled, standardised and passed through it in batches, on the given device."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tissuemake.device import Device

# Images in the network at once. On a CPU larger ones only cost memory; a GPU is not full below this.
BATCH = {"cpu": 16, "gpu": 128}


class NetworkEncoder:
    """Passes tiles through a network.

    Parameters
    ----------
    name
        Of the encoder; features are called ``NAME_0``, ``NAME_1``, …
    network
        Takes float images (n, 3, size_px, size_px) and returns (n, features).
    size_px
        Edge that tiles are scaled to: whatever a tile measures, the network sees all of it.
    normalisation
        Mean and standard deviation per channel, of values in 0 to 1.
    device
        Where it runs; with ``bf16-mixed`` under autocast.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        *,
        size_px: int,
        normalisation: tuple[tuple[float, ...], tuple[float, ...]],
        device: Device,
    ) -> None:
        self.device, self.size_px = device, size_px
        self.network = network.eval().requires_grad_(False).to(device.torch_name)
        mean, spread = torch.tensor(normalisation, device=device.torch_name)[:, :, None, None] * 255
        self._mean, self._scale = mean, 1 / spread
        length = self.encode(np.zeros((1, size_px, size_px, 3), np.uint8), 0.0).shape[1]
        self.features = tuple(f"{name}_{index}" for index in range(length))

    def look(self, tiles: np.ndarray) -> None:
        """Networks take every tile by itself."""

    def encode(self, tiles: np.ndarray, mpp: float) -> np.ndarray:
        """See `Encoder`; `mpp` is not used, because a tile is scaled to the size that the network wants."""
        with torch.inference_mode(), self._autocast():
            return np.concatenate([vectors.float().cpu().numpy() for vectors in self._vectors(tiles)])

    def _autocast(self) -> torch.autocast:
        mixed = self.device.precision == "bf16-mixed"
        return torch.autocast(self.device.torch_name, dtype=torch.bfloat16, enabled=mixed)

    def _vectors(self, tiles: np.ndarray) -> Iterator[Tensor]:
        for part in torch.from_numpy(np.ascontiguousarray(tiles)).split(BATCH[self.device.accelerator]):
            # Bytes travel to the device: a quarter of what floats would take.
            images = part.to(self.device.torch_name).permute(0, 3, 1, 2).float()
            yield self.network((scaled(images, self.size_px) - self._mean) * self._scale)


def scaled(images: Tensor, size_px: int) -> Tensor:
    """Scale `images` (n, 3, h, w) with values 0 to 255 to `size_px`, antialiased (bicubic)."""
    if images.shape[-2:] == (size_px, size_px):
        return images
    size = (size_px, size_px)
    return functional.interpolate(images, size=size, mode="bicubic", antialias=True).clamp(0, 255)
