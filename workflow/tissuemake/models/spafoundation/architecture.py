"""What a SpaFoundation encoder is made of and how it is taught, as data, and the presets."""

from dataclasses import asdict, dataclass, field, replace

from tissuemake.models.schedule import Schedule

CENTRING = ("centre", "sinkhorn", "none")
# With so few tiles a step the teacher must be slower than published, or both collapse.
SMALL_STEP, SLOW_TEACHER = 256, 0.9995


@dataclass(frozen=True)
class Architecture:
    """Sizes of the Vision Transformer (Dosovitskiy et al. 2021).

    Attributes
    ----------
    width, layers, heads
        Of the transformer; the hidden layer of its MLPs is 4 times as wide.
    patch, image_px
        Edge of a patch and of the image that positions are learnt for; others are interpolated.
    drop_path
        Chance that a residual branch of the last layer is skipped in training (Huang et al. 2016); earlier
        layers have proportionally less.
    """

    width: int
    layers: int
    heads: int
    patch: int
    image_px: int
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        if self.width % self.heads or self.image_px % self.patch or not 0 <= self.drop_path < 1:
            raise ValueError(f"heads divide width, patch divides image_px, drop_path is below 1: {self}")

    def as_dict(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Views:
    """How crops of a tile are made; shares are of the tile's area.

    Attributes
    ----------
    local_views, local_px
        Small crops that only the student sees, and their edge. There are two large ones, of ``image_px``.
    stain, colour
        Half-widths of the factors on haematoxylin and eosin, and on brightness, contrast and saturation.
    blur
        Chance of a blur.
    """

    local_views: int = 8
    local_px: int = 96
    global_share: tuple[float, float] = (0.32, 1.0)
    local_share: tuple[float, float] = (0.05, 0.32)
    stain: float = 0.15
    colour: float = 0.1
    blur: float = 0.2


@dataclass(frozen=True)
class Distillation:
    """How the student learns from the teacher; values without a comment are those of Zhou et al. 2022.

    Attributes
    ----------
    batch
        Tiles per step and process.
    prototypes, hidden, bottleneck, shared
        Of the heads; a shared head serves tile (CLS) and patches.
    centring
        ``"centre"``: a running mean of the teacher's logits is taken off; ``"sinkhorn"``: its assignments are
        balanced over the batch (Caron et al. 2020); ``"none"`` collapses, and is there to show it.
    koleo
        Weight of the spread of tiles' features (Sablayrolles et al. 2019).
    pixels
        Weight of painting the hidden patches (Xie et al. 2022, SimMIM), which teaches from the first step on, before
        the teacher knows anything; 0 in iBOT.
    teacher_temperature
        At the start, and after `temperature_rise` of the steps.
    momentum, weight_decay
        At the start and at the end, by a cosine.
    frozen
        Share of the steps in which the prototypes stand still.
    """

    batch: int
    prototypes: int = 8192
    hidden: int = 2048
    bottleneck: int = 256
    shared: bool = True
    centring: str = "centre"
    koleo: float = 0.0
    pixels: float = 0.0
    mask: float = 0.3
    mask_spread: float = 0.2
    student_temperature: float = 0.1
    teacher_temperature: tuple[float, float] = (0.04, 0.07)
    temperature_rise: float = 0.3
    momentum: tuple[float, float] = (0.996, 1.0)
    centre_momentum: float = 0.9
    weight_decay: tuple[float, float] = (0.04, 0.4)
    frozen: float = 0.01

    def __post_init__(self) -> None:
        if self.centring not in CENTRING or not 0 < self.mask + self.mask_spread <= 1 or self.batch < 2:
            raise ValueError(f"centring is one of {CENTRING}, mask a share, batch at least 2: {self}")


@dataclass(frozen=True)
class Preset:
    """An encoder and its training.

    Attributes
    ----------
    tile_px
        Edge at which tiles are kept; crops are cut from these.
    valid_tiles
        Held-out tiles that are scored at each validation.
    pooling, looks
        How tokens become the vector of a tile; see `pooling.pooled`.
    devices
        GPUs that batch, learning rate and momentum are stated for; see `on`.
    """

    architecture: Architecture
    distillation: Distillation
    schedule: Schedule
    tile_px: int
    views: Views = field(default_factory=Views)
    valid_tiles: int = 256
    pooling: str = "cls_mean"
    looks: int = 1
    devices: int = 1

    def on(self, devices: int) -> "Preset":
        """The recipe for another number of GPUs: learning rate as tiles per step, a slower teacher if they are few."""
        if devices == self.devices:
            return self
        rate = self.schedule.learning_rate * devices / self.devices
        start, end = self.distillation.momentum
        if devices * self.distillation.batch <= SMALL_STEP:
            start = max(start, SLOW_TEACHER)
        return replace(
            self,
            devices=devices,
            schedule=replace(self.schedule, learning_rate=rate),
            distillation=replace(self.distillation, momentum=(start, end)),
        )


PRESETS = {
    # For one core. Few, small tiles a step and short training leave the teacher no time to be slow: Sinkhorn and
    # KoLeo keep it from collapsing instead, and painting what is hidden teaches while it still knows little (measured
    # in tests/benchmarks/HISTOLOGY.md).
    "tiny": Preset(
        Architecture(width=96, layers=4, heads=3, patch=8, image_px=48),
        Distillation(
            batch=32,
            prototypes=256,
            hidden=256,
            bottleneck=64,
            centring="sinkhorn",
            koleo=0.1,
            pixels=1.0,
            momentum=(0.98, 1.0),
            temperature_rise=0.9,
            frozen=0.05,
        ),
        Schedule(steps=450, learning_rate=2e-3, warmup=0.1, clip=3.0, validate_every=90),
        tile_px=72,
        views=Views(local_views=2, local_px=24),
        pooling="layers",
        looks=8,
    ),
    # ViT-S/16, 21.7 M parameters: 4 GPUs x 256 tiles, learning rate 5e-4 per 256 tiles (Zhou et al. 2022); 100,000
    # steps are 100 epochs of a million tiles.
    "small": Preset(
        Architecture(width=384, layers=12, heads=6, patch=16, image_px=224, drop_path=0.1),
        Distillation(batch=256),
        Schedule(steps=100_000, learning_rate=2e-3, warmup=0.1, clip=3.0, validate_every=1000),
        tile_px=224,
        valid_tiles=1024,
        devices=4,
    ),
    # ViT-B/16, 85.8 M parameters, the published size: 8 GPUs x 128 tiles, learning rate 3.75e-4 per 256 tiles.
    "base": Preset(
        Architecture(width=768, layers=12, heads=12, patch=16, image_px=224, drop_path=0.1),
        Distillation(batch=128, frozen=0.03),
        Schedule(steps=100_000, learning_rate=1.5e-3, warmup=0.1, clip=3.0, validate_every=1000),
        tile_px=224,
        valid_tiles=1024,
        devices=8,
    ),
}
