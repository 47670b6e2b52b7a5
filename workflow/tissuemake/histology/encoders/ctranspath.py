"""CTransPath (Wang et al. 2022): a Swin-T whose first layer is a small convolutional stem, built with timm.

Its weights (``ctranspath.pth``) were saved by a changed timm 0.5.4. There a stage ends with the merging of patches; in
today's timm the next one begins with it, so those layers count one further.
"""

import re

from torch import Tensor, nn

from tissuemake.histology.encoders.timm_models import import_timm
from tissuemake.histology.encoders.weights import Source, explained, read_state
from tissuemake.histology.published_encoders import Published

# Tables that follow from the architecture, and a classifier.
NOT_WEIGHTS = re.compile(r"relative_position_index$|attn_mask$|^head\.")


class ConvolutionalStem(nn.Module):
    """Image to features of every 4th pixel: two strided 3x3 convolutions and a 1x1, in place of one 4x4.

    Takes what timm passes to a layer that embeds patches.
    """

    def __init__(
        self, img_size: tuple[int, int], embed_dim: int, norm_layer: type[nn.Module], **_: object
    ) -> None:
        super().__init__()
        self.img_size, self.patch_size = img_size, (4, 4)
        self.grid_size = tuple(edge // 4 for edge in img_size)
        first, second = embed_dim // 8, embed_dim // 4
        self.proj = nn.Sequential(
            *_halve(3, first), *_halve(first, second), nn.Conv2d(second, embed_dim, kernel_size=1)
        )
        self.norm = norm_layer(embed_dim)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.proj(images).permute(0, 2, 3, 1))


def _halve(narrow: int, wide: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(narrow, wide, kernel_size=3, stride=2, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(wide), nn.ReLU()


def load_network(name: str, entry: Published, source: Source) -> nn.Module:
    """Build the network and fill it strictly; its vector is the mean of the last feature map.

    Raises
    ------
    InputError
        ``missing_package``, ``pickle_refused``, ``unreadable_model``.
    """
    timm = import_timm(name)
    state = read_state(source.file)
    with explained(source.file):
        model = timm.create_model(entry.architecture, embed_layer=ConvolutionalStem, num_classes=0)
        model.load_state_dict(todays_names(state.get("model", state)))
    return model


def todays_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as timm 0.5.4 named them, under the names of today."""

    def moved(name: str) -> str:
        return re.sub(
            r"^layers\.(\d+)\.downsample", lambda stage: f"layers.{int(stage[1]) + 1}.downsample", name
        )

    return {moved(name): value for name, value in state.items() if not NOT_WEIGHTS.search(name)}
