"""The encoders by name, as data: where they come from, what they eat, and under which licence.

Sources: the model cards and repositories of the authors, and the tables of TRIDENT (mahmoodlab/TRIDENT, commit
0120b8b) and LazySlide (rendeirolab/lazyslide-models), as read in November 2026. Access to a hub can change: what
the hub says then is shown with the error.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
HIBOU = ((0.7068, 0.5755, 0.722), (0.195, 0.2316, 0.1816))
BIOPTIMUS = ((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))

NC_ND = "CC-BY-NC-ND-4.0"
# Layers of timm by their name there.
SWIGLU = {"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"}


@dataclass(frozen=True)
class Published:
    """An encoder by name.

    Attributes
    ----------
    loader
        ``"color"``, ``"transformers"``, ``"timm"``, ``"conch"`` or ``"ctranspath"``.
    hub
        Repository on the Hugging Face hub; empty where there is none.
    architecture
        Class of transformers, or name in timm (only where no config.json comes with the weights).
    size_px
        Edge of the image it is given; a tile is scaled to this, so that it always sees the whole tile.
    mpp
        µm per pixel that it was trained at; empty if the authors do not state it.
    millions
        Of parameters: what memory and time follow from.
    features, pooling
        Length of a vector, and what it is: ``"cls"`` token, ``"cls+mean"`` of the patch tokens, ``"mean"`` of the
        last feature map, ``"attention"`` by a learnt query.
    licence, commercial
        Of the weights, and whether it allows commercial use.
    access
        ``"built in"``, ``"open"``, ``"gated"`` (terms to accept, by hand or at once), ``"by hand"`` (no hub).
    reference
        DOI or arXiv number of what to cite.
    normalisation
        Mean and standard deviation of the channels, of values in 0 to 1.
    options
        What timm is told beside the config of the weights, as on the model card or in TRIDENT.
    """

    loader: str
    licence: str
    commercial: bool
    access: str
    reference: str
    hub: str = ""
    architecture: str = ""
    size_px: int = 224
    mpp: tuple[float, ...] = (0.5,)
    millions: float = 0.0
    features: int = 0
    pooling: str = "cls"
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


ENCODERS: dict[str, Published] = {
    "color": Published(
        "color", "BSD-3-Clause", True, "built in", "this project", mpp=(), features=68, pooling="none"
    ),
    "resnet50": Published(
        "transformers",
        "Apache-2.0",
        True,
        "open",
        "arXiv:1512.03385",
        hub="microsoft/resnet-50",
        architecture="ResNetModel",
        mpp=(),  # photographs (ImageNet)
        millions=25.6,
        features=2048,
        pooling="mean",
    ),
    "phikon": Published(
        "transformers",
        "Owkin non-commercial",
        False,
        "open",
        "10.1101/2023.07.21.23292757",
        hub="owkin/phikon",
        architecture="ViTModel",
        millions=85.8,
        features=768,
    ),
    "phikon-v2": Published(
        "transformers",
        "Owkin non-commercial",
        False,
        "open",
        "arXiv:2409.09173",
        hub="owkin/phikon-v2",
        architecture="Dinov2Model",
        millions=303.4,
        features=1024,
    ),
    "hibou-b": Published(
        "transformers",
        "Apache-2.0",
        True,
        "gated",
        "arXiv:2406.05074",
        hub="histai/hibou-b",
        architecture="Dinov2WithRegistersModel",
        mpp=(),
        millions=85.7,
        features=768,
        normalisation=HIBOU,
    ),
    "hibou-l": Published(
        "transformers",
        "Apache-2.0",
        True,
        "gated",
        "arXiv:2406.05074",
        hub="histai/hibou-L",
        architecture="Dinov2WithRegistersModel",
        mpp=(),
        millions=303.7,
        features=1024,
        normalisation=HIBOU,
    ),
    "uni": Published(
        "timm",
        NC_ND,
        False,
        "gated",
        "10.1038/s41591-024-02857-3",
        hub="MahmoodLab/UNI",
        millions=303.4,
        features=1024,
        options={"img_size": 224, "patch_size": 16, "init_values": 1e-5, "dynamic_img_size": True},
    ),
    "uni2": Published(
        "timm",
        NC_ND,
        False,
        "gated",
        "10.1038/s41591-024-02857-3",
        hub="MahmoodLab/UNI2-h",
        millions=681.4,
        features=1536,
        options={
            "img_size": 224,
            "patch_size": 14,
            "depth": 24,
            "num_heads": 24,
            "init_values": 1e-5,
            "embed_dim": 1536,
            "mlp_ratio": 2.66667 * 2,
            "no_embed_class": True,
            "reg_tokens": 8,
            "dynamic_img_size": True,
            **SWIGLU,
        },
    ),
    "conch": Published(
        "conch",
        NC_ND,
        False,
        "gated",
        "10.1038/s41591-024-02856-4",
        hub="MahmoodLab/conch",
        size_px=448,
        mpp=(),
        millions=395.2,
        features=512,
        pooling="attention",
        normalisation=OPENAI,
    ),
    "virchow2": Published(
        "timm",
        NC_ND,
        False,
        "gated",
        "arXiv:2408.00738",
        hub="paige-ai/Virchow2",
        mpp=(2.0, 1.0, 0.5, 0.25),
        millions=631.2,
        features=2560,
        pooling="cls+mean",
        options={
            "img_size": 224,
            "init_values": 1e-5,
            "reg_tokens": 4,
            "mlp_ratio": 5.3375,
            "global_pool": "",
            **SWIGLU,
        },
    ),
    "h-optimus-0": Published(
        "timm",
        "Apache-2.0",
        True,
        "gated",
        "bioptimus/releases, models/h-optimus/v0",
        hub="bioptimus/H-optimus-0",
        millions=1134.8,
        features=1536,
        normalisation=BIOPTIMUS,
        options={"img_size": 224, "init_values": 1e-5, "global_pool": "token", "dynamic_img_size": False},
    ),
    "h0-mini": Published(
        "timm",
        NC_ND,
        False,
        "gated",
        "arXiv:2501.16239",
        hub="bioptimus/H0-mini",
        millions=85.7,
        features=1536,
        pooling="cls+mean",
        normalisation=BIOPTIMUS,
        options={"img_size": 224, **SWIGLU},
    ),
    "ctranspath": Published(
        "ctranspath",
        "GPL-3.0, for non-commercial academic purposes",
        False,
        "by hand",
        "10.1016/j.media.2022.102559",
        architecture="swin_tiny_patch4_window7_224",
        mpp=(1.0,),
        millions=27.5,
        features=768,
        pooling="mean",
    ),
}
