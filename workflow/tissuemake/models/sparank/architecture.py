"""What a SpaRank network is made of, as data, and the presets."""

from dataclasses import asdict, dataclass

from tissuemake.models.schedule import Schedule

HEADS = ("query", "fixed")
VALUES = ("rank", "log")


@dataclass(frozen=True)
class Architecture:
    """Sizes of the network.

    Attributes
    ----------
    head
        ``"query"``: signatures ask the spot, so a new atlas needs no training. ``"fixed"``: a transformer over gene
        tokens with a learnt embedding of each gene; knows its own types only.
    values
        ``"rank"``, or ``"log"`` (log-CP10k) for the twin it is compared with.
    width, layers, heads
        Of the transformer over types.
    reads
        Channels by which a signature reads the genes of a spot (query).
    tokens, token_layers
        Genes of a spot that become tokens, and layers over them (fixed).
    """

    head: str = "query"
    values: str = "rank"
    width: int = 64
    layers: int = 2
    heads: int = 4
    reads: int = 24
    tokens: int = 128
    token_layers: int = 1

    def __post_init__(self) -> None:
        if self.head not in HEADS or self.values not in VALUES or self.width % self.heads:
            raise ValueError(f"head is one of {HEADS}, values of {VALUES}, width a multiple of heads: {self}")

    def as_dict(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Preset:
    """A network and its training: `genes` of the atlas it looks at, `spots` in one simulated section."""

    architecture: Architecture
    schedule: Schedule
    genes: int
    spots: int


PRESETS = {
    # About two minutes on 2 cores.
    "tiny": Preset(
        Architecture(), Schedule(steps=600, learning_rate=2e-3, validate_every=100), genes=800, spots=96
    ),
    "small": Preset(
        Architecture(width=192, layers=4, heads=6, reads=64, tokens=256, token_layers=3),
        Schedule(steps=10_000, validate_every=500, patience=6),
        genes=2000,
        spots=256,
    ),
    # 19.5 M parameters; 48 to 58 M with the fixed head, which knows 10 to 30 types by name. For one large GPU.
    "base": Preset(
        Architecture(width=512, layers=6, heads=8, reads=256, tokens=512, token_layers=6),
        Schedule(steps=50_000, learning_rate=3e-4, validate_every=1000, patience=8),
        genes=4000,
        spots=1024,
    ),
}
