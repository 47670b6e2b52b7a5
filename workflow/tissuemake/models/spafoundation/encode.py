"""Encode tiles with a pretrained model: a folder or hub id and a tile file in, the file of vectors out."""

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import ViTModel

from tissuemake.device import given_device
from tissuemake.errors import InputError
from tissuemake.histology.encoders import write_embeddings
from tissuemake.histology.encoders.network import NetworkEncoder
from tissuemake.models.spafoundation.architecture import Architecture
from tissuemake.models.spafoundation.network import build_backbone
from tissuemake.models.spafoundation.pooling import pooled
from tissuemake.models.store import load_model, weights_hash

NAME = "spafoundation"
# Of weights that were trained here.
OWN_LICENCE = "that of the slides it was trained on"


class TileNetwork(nn.Module):
    """A backbone and how its tokens become one vector per tile; see `pooling.pooled`."""

    def __init__(self, backbone: ViTModel, pooling: str, looks: int) -> None:
        super().__init__()
        self.backbone, self.pooling, self.looks = backbone, pooling, looks

    def forward(self, images: Tensor) -> Tensor:
        return pooled(self.backbone, images, self.pooling, self.looks)


def load_encoder(model: str | Path, gpus: int = 0) -> NetworkEncoder:
    """Return the encoder of a model folder or hub id, ready to use.

    Raises
    ------
    InputError
        Those of `load_model`; ``wrong_model`` when weights and config disagree; ``gpu_not_visible``.
    """
    return _encoder(*load_model(model, NAME), model, gpus)


def _encoder(state: dict, config: dict, model: str | Path, gpus: int) -> NetworkEncoder:
    backbone = build_backbone(Architecture(**config["architecture"]))
    try:
        backbone.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            "wrong_model",
            f"The weights of {model} are not those of the network in its config ({str(error).splitlines()[0]}).",
            "Copy the whole folder again, or train the model again.",
        ) from error
    # One that was published says nothing of pooling: its vector is the tile token.
    network = TileNetwork(backbone, config.get("pooling", "cls"), config.get("looks", 1))
    return NetworkEncoder(
        NAME,
        network,
        size_px=config["architecture"]["image_px"],
        normalisation=(config["mean"], config["sd"]),
        device=given_device(min(gpus, 1)),
    )


@torch.inference_mode()
def embed_spafoundation(tiles: Path, model: str | Path, output: Path, *, gpus: int = 0) -> None:
    """Encode every tile of a sample.

    Parameters
    ----------
    tiles
        As written by ``tile_slide``.
    model
        Folder or hub id.
    output
        ``.h5ad`` as of `tissuemake.histology.encoders.write_embeddings`.

    Raises
    ------
    InputError
        Those of `load_encoder`.
    """
    state, config = load_model(model, NAME)
    encoder = _encoder(state, config, model, gpus)
    facts = {"weights": str(model), "device": encoder.device.name, "precision": encoder.device.precision}
    facts["licence"] = config.get("licence", OWN_LICENCE)
    if Path(model).is_dir():
        facts["weights_sha256"] = weights_hash(model)
    if "fine_tuned" in config:
        # Of these donors no head that reads the vectors is ignorant.
        facts["fine_tuned_on"] = config["fine_tuned"]["donors"]
    write_embeddings(Path(tiles), Path(output), encoder, NAME, **facts)
