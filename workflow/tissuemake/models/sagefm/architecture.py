"""What a spatial graph model is made of and how it is taught: sizes, masks and schedules as data."""

from dataclasses import asdict, dataclass, field

from tissuemake.models.schedule import Schedule

GRAPHS = ("rings", "clique")


@dataclass(frozen=True)
class Architecture:
    """Sizes of the network on rings.

    Attributes
    ----------
    genes
        Of the vocabulary, at most; the most variable of the cohort.
    loadings
        Principal components of the cohort into which the visible genes of a spot are read.
    width, latent
        Of the hidden layers, and of the embedding, from which all genes are predicted. Few latent dimensions are
        what keeps thousands of genes from being fitted to the noise of a few thousand spots.
    heads
        Distance kernels by which neighbours are averaged.
    rings
        Hexagonal rings around a spot: 6, 12, 18, … neighbours.
    graph
        ``"rings"``, or ``"clique"``: the published recipe (arXiv 2601.15504), in which `clique` network is taught.
    """

    genes: int
    loadings: int = 32
    width: int = 256
    latent: int = 24
    heads: int = 4
    rings: int = 3
    dropout: float = 0.3
    graph: str = "rings"

    def __post_init__(self) -> None:
        if self.graph not in GRAPHS or self.latent < 1 or self.loadings < 1 or not 0 <= self.dropout < 1:
            raise ValueError(f"graph is one of {GRAPHS}, sizes are positive, dropout a share: {self}")

    def as_dict(self) -> dict:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Masking:
    """What of a lesson's spots is hidden.

    Attributes
    ----------
    part
        Share of the centre's genes that is hidden, drawn for each spot.
    whole
        Share of the centres of which all genes are hidden.
    everywhere
        Share of the lessons in which the hidden genes are hidden in the neighbours too: genes nobody measured.
    neighbors
        Share of the neighbours that is left out at random.
    """

    part: float = 0.3
    whole: float = 0.2
    everywhere: float = 0.3
    neighbors: float = 0.2


@dataclass(frozen=True)
class Preset:
    """A network and its training; `batch` centres a step and process."""

    architecture: Architecture
    schedule: Schedule
    batch: int = 256
    masking: Masking = field(default_factory=Masking)
    valid_spots: int = 512


PRESETS = {
    "tiny": Preset(
        Architecture(genes=2000),
        Schedule(steps=400, learning_rate=3e-3, weight_decay=0.05, validate_every=100),
    ),
    "small": Preset(
        Architecture(genes=8000, loadings=64, width=512, latent=48),
        Schedule(steps=20_000, learning_rate=1e-3, weight_decay=0.05, validate_every=500),
        batch=512,
        valid_spots=2048,
    ),
    # 22 M parameters; 14,558 genes are the vocabulary of the paper.
    "base": Preset(
        Architecture(genes=14_558, loadings=256, width=1536, latent=96),
        Schedule(steps=100_000, learning_rate=5e-4, weight_decay=0.05, validate_every=1000),
        batch=1024,
        valid_spots=4096,
    ),
}
