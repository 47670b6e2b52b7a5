"""Embeddings of the image benchmarks: every encoder by name and seed, each slide encoded once and kept."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import anndata as ad
import numpy as np

from benchmarks.histology_sections import TEACHING_SLIDES, Prepared, prepare_section, spot_tiles
from benchmarks.kept_run import own_folder
from tissuemake.contracts import EMBEDDINGS, read_anndata, write_anndata
from tissuemake.histology.encoders import embed_tiles


@dataclass
class Bench:
    """Where data and finished parts are.

    Parameters
    ----------
    work
        What no network has touched is kept here: sections, tiles, features of colour.
    tiles
        Pretrain on so many tiles only; 0: all.
    steps
        Train for so many steps only, to see that all runs; 0: as the preset says.
    """

    data: Path
    work: Path
    preset: str = "tiny"
    tiles: int = 0
    steps: int = 0
    _sections: dict[str, Prepared] = field(default_factory=dict)

    @property
    def own(self) -> Path:
        """Where networks of this preset, what they said and all scores are kept; those of a trial run apart."""
        return own_folder(self.work, self.preset, self.steps)

    def section(self, name: str) -> Prepared:
        """A prepared section."""
        if name not in self._sections:
            self._sections[name] = prepare_section(name, self.data, self.work)
        return self._sections[name]


# Which encoders have chance in them: those with a network.
SEEDED = ("untrained", "spafoundation")
# The pretrained encoder, taught the expression of a problem's training sections.
FINE_TUNED = "spafoundation fine-tuned"


def embedded(bench: Bench, encoder: str, section: str, seed: int, taught: tuple[str, ...] = ()) -> Path:
    """Embeddings of a section's tiles; ``a+b`` are both side by side. Networks look at the tiles of spots only.

    Parameters
    ----------
    taught
        Sections whose expression the fine-tuned encoder has seen.
    """
    prepared = bench.section(section)
    if not any(name in encoder for name in SEEDED):
        path = bench.work / "embeddings" / f"{prepared.slide}-{encoder}.h5ad"
    else:
        some = f"-{bench.tiles}" if bench.tiles and "spafoundation" in encoder else ""
        by = f" on {'+'.join(taught)}" if encoder == FINE_TUNED else ""
        path = bench.own / "embeddings" / f"{prepared.slide}-{encoder}{by}{some}-{seed}.h5ad"
    if not path.is_file():
        path.parent.mkdir(exist_ok=True, parents=True)
        if "+" in encoder:
            _side_by_side(
                [embedded(bench, name, section, seed) for name in encoder.split("+")], encoder, path
            )
        elif encoder == FINE_TUNED:
            _fine_tuned(bench, prepared, seed, path, taught)
        else:
            tiles = spot_tiles(prepared) if encoder in SEEDED else prepared.tiles
            WRITERS[encoder](bench, replace(prepared, tiles=tiles), seed, path)
    return path


def _side_by_side(paths: list[Path], encoder: str, output: Path) -> None:
    parts = [read_anndata(path, EMBEDDINGS) for path in paths]
    tiles = [name for name in parts[0].obs_names if all(name in part.obs_names for part in parts[1:])]
    both = ad.AnnData(
        np.concatenate([np.asarray(part[tiles].X) for part in parts], axis=1),
        obs=parts[0].obs.loc[tiles],
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


def _fine_tuned(bench: Bench, section: Prepared, seed: int, output: Path, taught: tuple[str, ...]) -> None:
    from benchmarks.histology_pretraining import fine_tuned
    from tissuemake.models.spafoundation.encode import embed_spafoundation

    embed_spafoundation(spot_tiles(section), fine_tuned(bench, taught, seed), output)


WRITERS: dict[str, Callable[[Bench, Prepared, int, Path], None]] = {
    "color": _color,
    "untrained": _untrained,
    "spafoundation": _pretrained,
}
