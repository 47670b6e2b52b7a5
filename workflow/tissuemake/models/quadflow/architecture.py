"""What a pathway transformer is made of and how it is taught: flows, sizes, losses and schedules as data."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields

from tissuemake.errors import InputError
from tissuemake.models.schedule import Schedule


@dataclass(frozen=True)
class Flows:
    """Who may attend to whom; a flow that is off is not computed and has no weights.

    Attributes
    ----------
    pathways_to_pathways
        P↔P: pathways among themselves.
    pathways_read_patches
        P↔H: pathways gather what the slide shows.
    patches_read_pathways
        H→P: patches are told what the pathways gathered.
    patches_to_patches
        H↔H: patches and those around them, on the graph of neighbours; also means of what lies around.
    """

    pathways_to_pathways: bool = True
    pathways_read_patches: bool = True
    patches_read_pathways: bool = True
    patches_to_patches: bool = True

    @classmethod
    def of(cls, names: Sequence[str]) -> "Flows":
        """Flows by name, all others off.

        Raises
        ------
        InputError
            ``unknown_flow``.
        """
        known = [flow.name for flow in fields(cls)]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise InputError(
                "unknown_flow",
                f"There is no flow '{unknown[0]}' of quadflow.",
                f"Set models: quadflow: flows to some of {', '.join(known)}.",
            )
        return cls(**{name: name in names for name in known})

    @property
    def names(self) -> list[str]:
        """Of those that are on."""
        return [name for name, on in asdict(self).items() if on]


@dataclass(frozen=True)
class Architecture:
    """Sizes of the network.

    Attributes
    ----------
    width, layers, heads
        Of the transformer.
    latent
        Dimensions in which patches and pathways meet: activity is their product there. Few keep fifty noisy targets
        from being fitted one by one.
    neighbors
        Patches around a patch that it attends to.
    radii_um
        Of the means of features around a patch that it reads besides its own.
    genes
        Of the gene layer, at most; members of sets and the most variable of the cohort.
    expression
        Principal components of a patch's own expression that are read beside its image; 0: the image alone.
    free
        Directions of the image's free say in the genes, past the pathways; 0 switches it off.
    dropout
        Of features, attention outputs and feed-forward layers.
    flows
        Which of the four are on.
    """

    width: int
    layers: int
    heads: int
    latent: int = 16
    neighbors: int = 12
    radii_um: tuple[float, ...] = (80.0, 200.0, 500.0, 1000.0)
    genes: int = 2000
    expression: int = 0
    free: int = 10
    dropout: float = 0.3
    flows: Flows = field(default_factory=Flows)

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads) or min(self.layers, self.latent, self.neighbors) < 1:
            raise ValueError(f"the width is a multiple of twice the heads, sizes are positive: {self}")

    def as_dict(self) -> dict:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "Architecture":
        """The inverse of `as_dict`."""
        return cls(**{**values, "radii_um": tuple(values["radii_um"]), "flows": Flows(**values["flows"])})


@dataclass(frozen=True)
class Weights:
    """Weights of the parts of the loss beside the squared error of the scores; 0 leaves a part out.

    Attributes
    ----------
    correlation
        1 - Pearson's r over the spots of one slide, mean over pathways.
    smoothness
        Squared difference of neighbours' activities.
    genes
        Squared error of the genes through the bottleneck.
    """

    correlation: float = 0.5
    smoothness: float = 0.05
    genes: float = 0.2


@dataclass(frozen=True)
class Preset:
    """A network and its training; a step sees at most `patches` of one slide, next to each other."""

    architecture: Architecture
    schedule: Schedule
    weights: Weights = field(default_factory=Weights)
    patches: int = 1024


PRESETS = {
    "tiny": Preset(
        Architecture(width=128, layers=2, heads=4),
        # Six seconds of one core for two sections; more steps learn the noise of a few hundred spots.
        Schedule(steps=100, learning_rate=1e-3, weight_decay=0.1, validate_every=25),
    ),
    "small": Preset(
        Architecture(width=256, layers=4, heads=8, latent=32, genes=4000),
        Schedule(steps=5000, learning_rate=5e-4, weight_decay=0.1, validate_every=250),
        patches=2048,
    ),
    "base": Preset(
        Architecture(width=512, layers=6, heads=8, latent=48, genes=8000),
        Schedule(steps=30_000, learning_rate=3e-4, weight_decay=0.1, validate_every=500),
        patches=4096,
    ),
}
