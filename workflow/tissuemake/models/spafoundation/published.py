"""Checkpoints in the layout of iBOT (Zhou et al. 2022), in which SpaFoundation was published, as a model of ours.

At the size that positions were learnt for, the converted network does the arithmetic of the published one. At
another size positions are interpolated to that size (as timm and transformers do); iBOT's own code adds 0.1 to it,
which moves every sample a little. Encoding scales tiles to the learnt size, so that this plays no part.
"""

import argparse
import pathlib
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tissuemake.errors import InputError
from tissuemake.files import sha256
from tissuemake.models.card import model_card
from tissuemake.models.curve import Curve
from tissuemake.models.spafoundation.architecture import Architecture
from tissuemake.models.store import save_model

# Under which a checkpoint keeps networks, in the order of preference.
PARTS = ("teacher", "student", "state_dict", "model")
HEAD_WIDTH = 64  # of every size of iBOT, DINO and ViT
HEADS = re.compile(r"^(head\d*|mlp|projector|last_layer|fc_norm_head)\.")
NORMALISATIONS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
# Beside tensors, training scripts save their options and numbers of numpy: data, which is read without running code.
HARMLESS = [
    argparse.Namespace,
    pathlib.PosixPath,
    np.dtype,
    *{type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)},
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),
    (np._core.multiarray.scalar, "numpy._core.multiarray.scalar"),
]
OUTSIDE = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
    "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
    "norm.weight": "layernorm.weight",
    "norm.bias": "layernorm.bias",
}
INSIDE = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.o_proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
MASK = "masked_embed"
INTENDED_USE = (
    "Tile encoder for H&E images (`histology: encoders: [spafoundation]`): the CLS token of each tile. "
    "Converted from a published checkpoint; nothing was trained here."
)
FAILURE_MODES = (
    "How the images were standardised in its training is not in the checkpoint: another choice shifts every vector.",
    "Which slides it has seen is not in the checkpoint: scores on public slides may be of slides it was trained on.",
)


def import_checkpoint(
    path: Path,
    output: Path,
    *,
    part: str | None = None,
    normalisation: str = "imagenet",
    licence: str = "Not stated in the checkpoint; ask its authors.",
) -> None:
    """Convert a published checkpoint to a model folder.

    Parameters
    ----------
    path
        ``.pth`` with ``patch_embed.proj``, ``blocks.N.attn.qkv`` …, flat or under one of `PARTS`, with or without
        the prefixes ``module.`` and ``backbone.``; heads are left out. Read without running any code.
    output
        Folder of the model.
    part
        One of `PARTS`; None takes the first that is there.
    normalisation
        ``"imagenet"``, with which iBOT trains, or ``"none"`` (values 0 to 1).

    Raises
    ------
    InputError
        ``missing_checkpoint``, ``pickle_refused``, ``unreadable_model``, ``not_ibot``.
    """
    path = Path(path)
    if normalisation not in NORMALISATIONS:
        raise ValueError(f"normalisation is one of {tuple(NORMALISATIONS)}, not {normalisation!r}")
    found, name = choose_part(read_checkpoint(path), part, path)
    state, architecture = convert(found, path)
    mean, sd = NORMALISATIONS[normalisation]
    hashes = {path.name: sha256(path)}
    config = {
        "kind": "spafoundation",
        "preset": "published",
        "architecture": architecture.as_dict(),
        "mean": list(mean),
        "sd": list(sd),
        "licence": licence,
        "source": {"file": path.name, "sha256": hashes[path.name], "part": name},
    }
    curve = Curve(seed=0, device="none", precision="32-true")
    card = model_card(
        f"SpaFoundation from {path.name}",
        kind="spafoundation",
        intended_use=INTENDED_USE,
        training_data=hashes,
        preset=f"published: ViT of {architecture.layers} layers, {architecture.width} wide, patch {architecture.patch}",
        curve=curve,
        scores={},
        failure_modes=FAILURE_MODES,
        licence=licence,
    )
    save_model(output, state, config, card, curve)


def read_checkpoint(path: Path) -> dict:
    """Read a checkpoint without running any code that is in it."""
    if not path.is_file():
        raise InputError(
            "missing_checkpoint",
            f"There is no checkpoint {path}.",
            "Correct the path (relative ones start at the run folder).",
        )
    try:
        with torch.serialization.safe_globals(HARMLESS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            "pickle_refused",
            f"{path} holds more than weights and plain data ({_global(error)}). Opening it could run any code, so it "
            "is not opened.",
            "Ask its authors for the weights alone, or open it where nothing can be harmed and save "
            "checkpoint['teacher'] by torch.save.",
        ) from error
    except Exception as error:  # torch raises what its archive reader raises
        raise InputError(
            "unreadable_model",
            f"{path} cannot be read ({type(error).__name__}: {str(error).splitlines()[0][:200]}).",
            "Download it again.",
        ) from error
    if not isinstance(content, dict):
        raise _not_ibot(path, f"it holds a {type(content).__name__}")
    return content


def _global(error: Exception) -> str:
    named = re.search(r"GLOBAL ([\w.]+)|call to (\S+)", str(error))
    return named[0] if named else str(error).splitlines()[0][:200]


def choose_part(content: dict, part: str | None, path: Path) -> tuple[dict[str, Tensor], str]:
    """Return the network of a checkpoint, its names without prefixes, and where it lay."""
    held = [name for name in PARTS if isinstance(content.get(name), Mapping)]
    if part is not None and part not in held:
        raise _not_ibot(path, f"it has no part '{part}' (there is {', '.join(held) or 'none'})")
    name = part or (held[0] if held else "")
    state = content[name] if name else content
    plain = {
        key.removeprefix("module.").removeprefix("backbone."): value
        for key, value in state.items()
        if isinstance(value, Tensor)
    }
    return {key: value for key, value in plain.items() if not HEADS.match(key)}, name or "flat"


def convert(state: Mapping[str, Tensor], path: Path) -> tuple[dict[str, Tensor], Architecture]:
    """Return the weights under the names of transformers' ViTModel, and the sizes that follow from them.

    Raises
    ------
    InputError
        ``not_ibot`` with the parts that are missing or not expected.
    """
    if not any(key.startswith("blocks.") for key in state):
        raise _not_ibot(path, f"it has no blocks.N, but {_some(sorted(state))}")
    layers = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("blocks."))
    wanted = [*OUTSIDE, *(f"blocks.{n}.{part}" for n in range(layers) for part in _block_parts())]
    missing = [key for key in wanted if key not in state]
    scales = {f"blocks.{n}.gamma_{i}" for n in range(layers) for i in (1, 2)}
    unexpected = sorted(set(state) - set(wanted) - scales - {MASK})
    if missing or unexpected:
        raise _not_ibot(path, f"missing {_some(missing)}; not expected {_some(unexpected)}")
    architecture = _architecture(state, layers, path)
    converted = {new: state[old] for old, new in OUTSIDE.items()}
    # The teacher never sees a mask, so that some checkpoints have none; encoding does not use it.
    mask = state.get(MASK, torch.zeros(architecture.width))
    converted["embeddings.mask_token"] = mask.reshape(1, 1, -1)
    for layer in range(layers):
        converted |= _block(state, layer)
    return {name: value.float() for name, value in converted.items()}, architecture


def _block_parts() -> list[str]:
    return [f"{part}.{kind}" for part in ("attn.qkv", *INSIDE) for kind in ("weight", "bias")]


def _block(state: Mapping[str, Tensor], layer: int) -> dict[str, Tensor]:
    """One block: the fused query, key and value are parted; a layer scale moves into the weights before it."""
    old, new = f"blocks.{layer}.", f"layers.{layer}."
    block = {}
    for kind in ("weight", "bias"):
        for name, value in zip("qkv", state[f"{old}attn.qkv.{kind}"].chunk(3), strict=True):
            block[f"{new}attention.{name}_proj.{kind}"] = value
        for published, ours in INSIDE.items():
            block[f"{new}{ours}.{kind}"] = state[f"{old}{published}.{kind}"]
        for scale, ours in (("gamma_1", "attention.o_proj"), ("gamma_2", "mlp.fc2")):
            if old + scale in state:
                gamma = state[old + scale]
                block[f"{new}{ours}.{kind}"] = block[f"{new}{ours}.{kind}"] * (
                    gamma[:, None] if kind == "weight" else gamma
                )
    return block


def _architecture(state: Mapping[str, Tensor], layers: int, path: Path) -> Architecture:
    width, channels, patch, _ = state["patch_embed.proj.weight"].shape
    positions = state["pos_embed"].shape[1] - 1
    edge = round(positions**0.5)
    hidden = state["blocks.0.mlp.fc1.weight"].shape[0]
    if width % HEAD_WIDTH or channels != 3 or edge * edge != positions or hidden != 4 * width:
        raise _not_ibot(
            path,
            f"its sizes are not those of a ViT for RGB squares: width {width} (a multiple of {HEAD_WIDTH}), "
            f"{channels} channels (3), {positions} positions (a square), hidden layer {hidden} (4 x width)",
        )
    return Architecture(
        width=width, layers=layers, heads=width // HEAD_WIDTH, patch=patch, image_px=edge * patch
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") or "nothing"


def _not_ibot(path: Path, what: str) -> InputError:
    return InputError(
        "not_ibot",
        f"{path} is not a Vision Transformer in the layout of iBOT: {what}.",
        "Give a checkpoint of iBOT, DINO or SpaFoundation (ViT with patch_embed.proj, blocks.N.attn.qkv, norm); "
        "other encoders go by name (histology: encoders).",
    )
