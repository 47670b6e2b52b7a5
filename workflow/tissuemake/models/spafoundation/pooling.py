"""One vector per tile from the tokens of a backbone."""

import torch
from torch import Tensor
from transformers import ViTModel

# Of the last layer: the tile token; that and the mean patch; these of all layers, with the patches' spread.
POOLING = ("cls", "cls_mean", "layers")
LOOKS = (1, 8)


def pooled(backbone: ViTModel, images: Tensor, pooling: str, looks: int) -> Tensor:
    """Return (n, features) of standardised `images` (n, 3, height, width).

    Parameters
    ----------
    pooling
        ``"cls"``: the tile token; ``"cls_mean"``: with the mean of the patches; ``"layers"``: tile token, mean and
        standard deviation of the patches, of every layer: early ones hold stain and texture.
    looks
        8: the mean over the turns and mirror images of a tile, which has no upright; 1: as it lies.
    """
    if pooling not in POOLING or looks not in LOOKS:
        raise ValueError(f"pooling is one of {POOLING}, looks of {LOOKS}, not {pooling!r}, {looks}")
    total = torch.zeros((), device=images.device)
    for look in range(looks):
        seen = torch.rot90(images, look % 4, (2, 3))
        total = total + _one_look(backbone, seen.flip(3) if look >= 4 else seen, pooling)
    return total / looks


def _one_look(backbone: ViTModel, images: Tensor, pooling: str) -> Tensor:
    hidden = backbone.embeddings(images, interpolate_pos_encoding=True)
    parts = []
    for layer in backbone.layers:
        hidden = layer(hidden)
        if pooling == "layers" or layer is backbone.layers[-1]:
            tokens = backbone.layernorm(hidden)
            patches = tokens[:, 1:]
            parts.append(tokens[:, 0])
            if pooling != "cls":
                parts.append(patches.mean(1))
            if pooling == "layers":
                parts.append(patches.std(1))
    return torch.cat(parts, 1)
