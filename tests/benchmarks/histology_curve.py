"""From how many tiles on does pretraining pay? The same head on encoders pretrained on more and more tiles.

`no tiles` is the untrained encoder; the largest number is all tiles of the slides that may teach.
"""

from collections.abc import Iterator
from dataclasses import replace

from benchmarks import histology_expression as expression
from benchmarks.histology_encoders import Bench
from benchmarks.histology_rows import Row
from benchmarks.histology_sections import REAL

TEST = "learning curve"
# The preset wants 256 tiles to learn from, and holds a tenth back.
TILES = (400, 1600, 0)
HEAD = "ridge"


def rows(bench: Bench, seed: int) -> Iterator[Row]:
    """Scores of the head on every real problem, by the number of tiles."""
    for problem in REAL:
        asked = expression.ask(bench, problem)
        for name, encoder, tiles in steps():
            # Another number of tiles is another bench: sections and embeddings of other encoders are shared.
            for row in expression.score(
                replace(bench, tiles=tiles), problem, asked, f"{encoder}, {HEAD}", seed
            ):
                yield replace(row, test=TEST, method=name)


def steps() -> Iterator[tuple[str, str, int]]:
    """Name, encoder and number of tiles (0: all) of every point of the curve."""
    yield "no tiles", "untrained", 0
    for tiles in TILES:
        yield f"{tiles} tiles" if tiles else "all tiles", "spafoundation", tiles
