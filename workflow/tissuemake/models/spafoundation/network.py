"""The network: transformers' ViT with stochastic depth, and the heads that tiles and patches are compared in."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import ViTConfig, ViTModel

from tissuemake.models.spafoundation.architecture import Architecture, Distillation


class DropPath(nn.Module):
    """Skips the branch for some images of a batch, and scales the others up (stochastic depth)."""

    def __init__(self, chance: float) -> None:
        super().__init__()
        self.chance = chance

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.chance == 0:
            return branch
        shape = (len(branch),) + (1,) * (branch.ndim - 1)
        kept = torch.rand(shape, device=branch.device) >= self.chance
        return branch * kept / (1 - self.chance)


def vit_config(architecture: Architecture) -> ViTConfig:
    """The architecture as transformers states it."""
    return ViTConfig(
        hidden_size=architecture.width,
        num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        intermediate_size=4 * architecture.width,
        image_size=architecture.image_px,
        patch_size=architecture.patch,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        layer_norm_eps=1e-6,
    )


def build_backbone(architecture: Architecture) -> ViTModel:
    """Return an untrained ViT; its weights come from torch's global generator."""
    model = ViTModel(vit_config(architecture), add_pooling_layer=False, use_mask_token=True)
    last = max(architecture.layers - 1, 1)
    for depth, layer in enumerate(model.layers):
        # Where transformers has dropout of a branch; there are no weights in it.
        layer.dropout = DropPath(architecture.drop_path * depth / last)
    return model


def all_tokens(backbone: ViTModel, images: Tensor, masked: Tensor | None = None) -> Tensor:
    """Tokens after the last norm, (n, 1 + patches, width); the first is that of the tile (CLS).

    Parameters
    ----------
    images
        Standardised, (n, 3, height, width), multiples of the patch; positions are interpolated.
    masked
        (n, patches) bool: patches shown as the mask token.
    """
    hidden = backbone.embeddings(images, bool_masked_pos=masked, interpolate_pos_encoding=True)
    for layer in backbone.layers:
        hidden = layer(hidden)
    return backbone.layernorm(hidden)


class Head(nn.Module):
    """MLP, L2-normalised bottleneck, and cosines to the prototypes (Caron et al. 2021, DINO)."""

    def __init__(self, width: int, hidden: int, bottleneck: int, prototypes: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, bottleneck),
        )
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.prototypes = nn.Parameter(torch.randn(prototypes, bottleneck) * bottleneck**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        point = functional.normalize(self.mlp(tokens), dim=-1)
        return functional.linear(point, functional.normalize(self.prototypes, dim=-1))


class Pupil(nn.Module):
    """A backbone with its heads; student and teacher are two of these."""

    def __init__(self, architecture: Architecture, distillation: Distillation) -> None:
        super().__init__()
        self.backbone = build_backbone(architecture)
        sizes = (architecture.width, distillation.hidden, distillation.bottleneck, distillation.prototypes)
        self.tile_head = Head(*sizes)
        self.patch_head = self.tile_head if distillation.shared else Head(*sizes)

    def heads(self) -> list[Head]:
        """The heads, each once."""
        return [self.tile_head] if self.patch_head is self.tile_head else [self.tile_head, self.patch_head]
