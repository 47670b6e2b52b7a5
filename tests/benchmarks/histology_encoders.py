"""Embeddings of the image benchmarks: every encoder by name and seed, each slide encoded once and kept."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anndata as ad
import numpy as np

from benchmarks.histology_sections import TEACHING_SLIDES, Prepared, prepare_section
from tissuemake.contracts import EMBEDDINGS, read_anndata, write_anndata
from tissuemake.histology.encoders import embed_tiles


@dataclass
class Bench:
    """Where data and finished parts are.

    Parameters
    ----------
    tiles
        Pretrain on so many tiles only; 0: all.
    """

    data: Path
    work: Path
    preset: str = "tiny"
    tiles: int = 0
    _sections: dict[str, Prepared] = field(default_factory=dict)

    def section(self, name: str) -> Prepared:
        """A prepared section."""
        if name not in self._sections:
            self._sections[name] = prepare_section(name, self.data, self.work)
        return self._sections[name]


# Which encoders have chance in them.
SEEDED = ("untrained", "spafoundation")


def embedded(bench: Bench, encoder: str, section: str, seed: int) -> Path:
    """Embeddings of a section's tiles; ``a+b`` are both side by side."""
    prepared = bench.section(section)
    chance = f"-{seed}" if any(name in encoder for name in SEEDED) else ""
    some = f"-{bench.tiles}" if bench.tiles and "spafoundation" in encoder else ""
    path = bench.work / "embeddings" / f"{prepared.slide}-{encoder}{some}{chance}.h5ad"
    if not path.is_file():
        path.parent.mkdir(exist_ok=True, parents=True)
        if "+" in encoder:
            _side_by_side(
                [embedded(bench, name, section, seed) for name in encoder.split("+")], encoder, path
            )
        else:
            WRITERS[encoder](bench, prepared, seed, path)
    return path


def _side_by_side(paths: list[Path], encoder: str, output: Path) -> None:
    parts = [read_anndata(path, EMBEDDINGS) for path in paths]
    both = ad.AnnData(
        np.concatenate([np.asarray(part.X) for part in parts], axis=1),
        obs=parts[0].obs,
        uns={"tissuemake": {"encoder": encoder}},
    )
    both.var_names = [f"{number} {name}" for number, part in enumerate(parts) for name in part.var_names]
    write_anndata(both, output, EMBEDDINGS)


def _color(bench: Bench, section: Prepared, seed: int, output: Path) -> None:
    embed_tiles(section.tiles, output, encoder="color")


def _untrained(bench: Bench, section: Prepared, seed: int, output: Path) -> None:
    from benchmarks.histology_pretraining import untrained
    from tissuemake.models.spafoundation.encode import embed_spafoundation

    embed_spafoundation(section.tiles, untrained(bench, TEACHING_SLIDES, seed), output)


def _pretrained(bench: Bench, section: Prepared, seed: int, output: Path) -> None:
    from benchmarks.histology_pretraining import pretrained
    from tissuemake.models.spafoundation.encode import embed_spafoundation

    embed_spafoundation(section.tiles, pretrained(bench, TEACHING_SLIDES, seed), output)


WRITERS: dict[str, Callable[[Bench, Prepared, int, Path], None]] = {
    "color": _color,
    "untrained": _untrained,
    "spafoundation": _pretrained,
}
