"""Encoders published for timm: UNI, UNI2-h, Virchow2, H-optimus-0, H0-mini. timm is an extra of this project."""

from types import ModuleType

import torch
from torch import Tensor, nn

from tissuemake.histology.encoders.torchvision_import import mend_torchvision
from tissuemake.histology.encoders.weights import Source, explained, need, require_config
from tissuemake.histology.published_encoders import Published

# Pinned together: torchvision alone would bring another torch along.
INSTALL = "pip install 'torch==2.13.0' 'torchvision==0.28.0' 'timm>=1.0.31'"


class Pooled(nn.Module):
    """Vector of an image: the CLS token after the last norm, with the mean of the patch tokens if asked for."""

    def __init__(self, model: nn.Module, with_mean: bool) -> None:
        super().__init__()
        self.model, self.with_mean = model, with_mean

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.model.forward_features(images)
        if not self.with_mean:
            return tokens[:, 0]
        # Registers stand between the CLS token and the patches.
        patches = tokens[:, self.model.num_prefix_tokens :]
        return torch.cat([tokens[:, 0], patches.mean(dim=1)], dim=1)


def load_network(name: str, entry: Published, source: Source) -> nn.Module:
    """Build the architecture of the folder's config, with the options of the model card, and fill it strictly.

    Raises
    ------
    InputError
        ``missing_package``, ``missing_model_file``, ``pickle_refused``, ``unreadable_model``.
    """
    timm = import_timm(name)
    require_config(source)
    layers = {"mlp_layer": timm.layers, "act_layer": nn}
    options = {
        key: getattr(layers[key], value) if key in layers else value for key, value in entry.options.items()
    }
    with explained(source.file):
        model = timm.create_model(f"local-dir:{source.folder}", pretrained=True, num_classes=0, **options)
    return Pooled(model, entry.pooling == "cls+mean")


def import_timm(name: str) -> ModuleType:
    """Import timm for the encoder `name`, around a torchvision that does not fit.

    Raises
    ------
    InputError
        ``missing_package``, with the line that installs it.
    """

    def both() -> ModuleType:
        mend_torchvision()
        import timm.layers

        return timm

    return need(both, "timm", f"The encoder '{name}'", INSTALL)
