"""CONCH (Lu et al. 2024): the image half of a model of images and captions, built without the package of its authors.

Vectors are those before the projection to captions (``proj_contrast=False``), which the authors recommend for
everything but retrieval by text: a learnt query attends to all tokens of a ViT-B/16 at 448 px.
"""

from types import ModuleType

import torch
from torch import Tensor, nn

from tissuemake.errors import InputError
from tissuemake.histology.encoders.timm_models import import_timm
from tissuemake.histology.encoders.weights import Source, explained, read_state
from tissuemake.histology.published_encoders import Published

HEAD_WIDTH = 64
POOL_HEADS = 8
PREFIX = "visual."
# Of the caption half, and the projection to it.
OTHER_PARTS = ("attn_pool_caption.", "ln_caption.", "proj_contrast")


class QueryPool(nn.Module):
    """One learnt query that attends to all tokens (names as in the published weights)."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(1, out))
        self.attn = nn.MultiheadAttention(out, POOL_HEADS, kdim=width, vdim=width, batch_first=True)
        self.ln_q, self.ln_k = nn.LayerNorm(out), nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        keys = self.ln_k(tokens)
        query = self.ln_q(self.query).expand(len(tokens), -1, -1)
        return self.attn(query, keys, keys, need_weights=False)[0][:, 0]


class ImageTower(nn.Module):
    """Vision Transformer, pooled by a query."""

    def __init__(self, timm: ModuleType, sizes: dict[str, int]) -> None:
        super().__init__()
        width = sizes["width"]
        self.trunk = timm.models.VisionTransformer(
            img_size=sizes["image_px"],
            patch_size=sizes["patch"],
            embed_dim=width,
            depth=sizes["layers"],
            num_heads=width // HEAD_WIDTH,
            num_classes=0,
        )
        self.attn_pool_contrast = QueryPool(width, sizes["out"])
        self.ln_contrast = nn.LayerNorm(sizes["out"])

    def forward(self, images: Tensor) -> Tensor:
        return self.ln_contrast(self.attn_pool_contrast(self.trunk.forward_features(images)))


def load_network(name: str, entry: Published, source: Source) -> nn.Module:
    """Build the image half and fill it strictly.

    Raises
    ------
    InputError
        ``missing_package``, ``pickle_refused``, ``unreadable_model``, ``wrong_model``.
    """
    timm = import_timm(name)
    state = {key.removeprefix("module."): value for key, value in read_state(source.file).items()}
    state = {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
    state = {key: value for key, value in state.items() if not key.startswith(OTHER_PARTS)}
    if "trunk.pos_embed" not in state or "attn_pool_contrast.query" not in state:
        raise InputError(
            "wrong_model",
            f"{source.file} does not hold the image half of CONCH ({PREFIX}trunk, {PREFIX}attn_pool_contrast).",
            f"Give the folder or the file {source.file.name} of {entry.hub}.",
        )
    with explained(source.file):
        tower = ImageTower(timm, _sizes(state))
        tower.load_state_dict(state)
    return tower


def _sizes(state: dict[str, Tensor]) -> dict[str, int]:
    _, positions, width = state["trunk.pos_embed"].shape
    patch = state["trunk.patch_embed.proj.weight"].shape[-1]
    blocks = {key.split(".")[2] for key in state if key.startswith("trunk.blocks.")}
    out = state["attn_pool_contrast.query"].shape[1]
    edge = round((positions - 1) ** 0.5) * patch
    return {"width": width, "patch": patch, "layers": len(blocks), "out": out, "image_px": edge}
