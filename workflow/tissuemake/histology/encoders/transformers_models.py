"""Encoders that transformers can build: Phikon, Phikon-v2, Hibou, ResNet-50. No code from the hub is ever run."""

import torch
from torch import Tensor, nn

from tissuemake.errors import InputError
from tissuemake.files import read_json
from tissuemake.histology.encoders.torchvision_import import mend_torchvision
from tissuemake.histology.encoders.weights import Source, explained, need, require_config
from tissuemake.histology.published_encoders import Published

# Parts of a checkpoint that no vector comes from.
HEADS = ("classifier.", "pooler.", "head.")
# What a config says of the code it came with; the class is ours to name. Hibou's own code does not run with
# transformers 5 and is not needed: its layout is that of Dinov2WithRegistersModel.
NOT_OURS = (
    "auto_map",
    "architectures",
    "model_type",
    "transformers_version",
    "torch_dtype",
    "dtype",
    "_name_or_path",
)


class FirstToken(nn.Module):
    """Vector of an image: its CLS token after the last norm."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(pixel_values=images).last_hidden_state[:, 0]


class MeanOfMap(nn.Module):
    """Vector of an image: the mean of the last feature map."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(pixel_values=images).last_hidden_state.mean(dim=(2, 3))


def load_network(name: str, entry: Published, source: Source) -> nn.Module:
    """Build the class that `entry` names from the folder's config and fill it with the folder's weights.

    Raises
    ------
    InputError
        ``missing_package``, ``missing_model_file``, ``pickle_refused``, ``unreadable_model``, ``wrong_model``.
    """
    mend_torchvision()
    what = f"The encoder '{name}'"
    library = need(
        lambda: __import__("transformers"), "transformers", what, "pip install 'transformers>=5.23,<6'"
    )
    kind = getattr(library, entry.architecture)
    settings = read_json(require_config(source))
    config = kind.config_class(**{key: value for key, value in settings.items() if key not in NOT_OURS})
    extra = {"add_pooling_layer": False} if entry.architecture == "ViTModel" else {}
    with explained(source.file):
        model, report = kind.from_pretrained(
            source.folder,
            config=config,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            weights_only=True,
            output_loading_info=True,
            **extra,
        )
    missing = sorted(report["missing_keys"])
    unexpected = sorted(key for key in report["unexpected_keys"] if not key.startswith(HEADS))
    if missing or unexpected or report["mismatched_keys"]:
        raise InputError(
            "wrong_model",
            f"{source.file} does not hold a {entry.architecture} as its config describes it: missing "
            f"{_some(missing)}; not expected {_some(unexpected)}.",
            f"Give the folder of {entry.hub} (encoder '{name}').",
        )
    return MeanOfMap(model) if entry.pooling == "mean" else FirstToken(model)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") or "nothing"
