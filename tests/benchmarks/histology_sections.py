"""Sections of the image benchmarks, through the workflow's own ingest, filter, tiles and encoders; made once.

Who is asked is never learnt from: C4, A1 and MOB2 are tests, and no encoder is pretrained on their slides. C2, C3 and
C4 are serial sections of one tumour; A1 is another patient. MOB1 and MOB2 are two bulbs. Of a simulated tissue one half
teaches and the other asks, with a gap between.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import anndata as ad
import numpy as np

from benchmarks.histology_simulated import write_section
from benchmarks.problems import derive
from tissuemake.contracts import FILTERED, read_anndata, write_anndata
from tissuemake.files import atomic
from tissuemake.histology.tile_store import ROWS_IN_BATCH, TileStore, TileWriter
from tissuemake.histology.tiles import tile_slide
from tissuemake.ingest import ingest_sample
from tissuemake.quality.filter import filter_spots
from tissuemake.sheets import Sample

SIMULATED_SPOTS = 600
# Names of tissues begin so; the latter have planted pathway programmes of every kind.
SIMULATED, PLANTED = "simulated", "planted"
# Which halves teach and ask. Tumour lies to the left: of its border both halves have some where it is asked about.
HALVES = {SIMULATED: ("left", "right"), PLANTED: ("top", "bottom")}
AXES = {"left": 0, "right": 0, "top": 1, "bottom": 1}
PROGRAMMES = 8
GAP_UM = 300.0


@dataclass(frozen=True)
class Prepared:
    """A section as the workflow leaves it: ``filtered.h5ad`` and tiles; `slide` names its picture."""

    name: str
    filtered: Path
    tiles: Path
    slide: str


@dataclass(frozen=True)
class Problem:
    """Sections that teach and a section that asks."""

    name: str
    train: tuple[str, ...]
    test: str


REAL = (
    Problem("her2st C2+C3 -> C4", ("C2", "C3"), "C4"),
    Problem("her2st C2+C3 -> A1", ("C2", "C3"), "A1"),
    Problem("bulb MOB1 -> MOB2", ("MOB1",), "MOB2"),
)
# Slides that encoders may be pretrained on, and by which share of their edge the tiles overlap there: about 10,000.
TEACHING_SLIDES = ("C2", "C3", "MOB1")
TEACHING_OVERLAP = 0.55


def simulated_problem(seed: int, kind: str = SIMULATED) -> Problem:
    """One tissue per seed."""
    taught, asked = HALVES[kind]
    return Problem(f"{kind}, half -> half", (f"{kind}{seed}-{taught}",), f"{kind}{seed}-{asked}")


def prepare_section(name: str, data: Path, work: Path) -> Prepared:
    """Ingest, filter and tile a section into `work`, once."""
    if name.startswith((SIMULATED, PLANTED)):
        return _half(name, work)
    folder = work / "sections" / name
    if not folder.is_dir():
        with atomic(folder) as partial:
            partial.mkdir()
            _prepare(_row(name, data, work), partial)
    return Prepared(name, folder / "filtered.h5ad", folder / "tiles.arrow", name)


def _prepare(row: Sample, folder: Path) -> None:
    ingested = folder / "ingested.h5ad"
    ingest_sample(row, ingested)
    filter_spots(ingested, folder / "filtered.h5ad", None, overrides={})
    tile_slide(ingested, folder / "tiles.arrow")


def teaching_tiles(section: Prepared) -> Path:
    """Tiles of spots and of an overlapping grid on a slide that teaches encoders, once."""
    folder = section.filtered.parent
    output = folder / "teaching.arrow"
    if not output.is_file():
        tile_slide(folder / "ingested.h5ad", output, overlap=TEACHING_OVERLAP)
    return output


def spot_tiles(section: Prepared) -> Path:
    """The tiles around spots alone, once: what heads read of a section."""
    output = section.tiles.with_name("spots.arrow")
    if not output.is_file():
        with TileStore(section.tiles) as store:
            copy_tiles(section.tiles, output, np.flatnonzero(store.table["kind"] == "spot"))
    return output


def copy_tiles(source: Path, output: Path, rows: np.ndarray) -> None:
    """Write the tiles at `rows` of `source`, their pictures byte for byte."""
    with TileStore(source) as store, atomic(output) as partial:
        writer, table = TileWriter(partial), store.table
        for part in np.array_split(rows, max(1, len(rows) // ROWS_IN_BATCH)):
            chosen = table.iloc[part].rename_axis(index="tile").reset_index()
            writer.write(chosen.assign(jpeg=store.jpegs(part)))
        writer.close(store.provenance)


def _row(name: str, data: Path, work: Path) -> Sample:
    if name.startswith("MOB"):
        bulb = data / "st_mob_2k"
        return Sample(
            name,
            "st",
            str(bulb / f"{name}.tsv"),
            spots=str(bulb / f"alignment_table_{name}.tsv"),
            image=str(bulb / f"{name}.jpg"),
            organism="mouse",
            donor=f"mob-{name[-1]}",
        )
    tumour = data / "st_her2"
    row = Sample(
        name,
        "st",
        str(tumour / "counts" / f"{name}.tsv.gz"),
        spots=str(tumour / "spots" / f"{name}_selection.tsv"),
        organism="human",
        donor=f"her2-{name[0]}",
    )
    if name == "A1":  # its picture is scaled to 2000 px, and the spots with it
        spots = derive(data, work) / "A1_spots_2000px.tsv"
        return replace(row, spots=str(spots), image=str(tumour / "images_2000px" / "A1_HE_masked_2000px.png"))
    return replace(row, image=str(next((tumour / "images").glob(f"{name}_*.jpg"))))


def _half(name: str, work: Path) -> Prepared:
    """Spots on one side of a simulated tissue's middle, `GAP_UM` apart; tiles are those of the whole slide."""
    tissue, side = name.split("-")
    folder = work / "sections" / tissue
    if not folder.is_dir():
        with atomic(folder) as partial:
            partial.mkdir()
            seed = int(tissue.removeprefix(SIMULATED).removeprefix(PLANTED))
            # Heads look at spots only.
            write_section(
                partial,
                tissue,
                seed=seed,
                spots=SIMULATED_SPOTS,
                zones="infiltrated",
                grid=False,
                programmes=PROGRAMMES if name.startswith(PLANTED) else 0,
            )
            _split(partial, HALVES[PLANTED if name.startswith(PLANTED) else SIMULATED])
    return Prepared(name, folder / f"{side}.h5ad", folder / "tiles.arrow", tissue)


def _split(folder: Path, halves: tuple[str, str]) -> None:
    spots = read_anndata(folder / "filtered.h5ad", FILTERED)
    name = str(spots.uns["tissuemake"]["sample"])
    um = float(spots.uns["spatial"][name]["scalefactors"]["microns_per_pixel"])
    along = np.asarray(spots.obsm["spatial"])[:, AXES[halves[0]]] * um
    away = along - np.median(along)
    for side, chosen in zip(halves, (away < -GAP_UM / 2, away > GAP_UM / 2), strict=True):
        half: ad.AnnData = spots[chosen].copy()
        half.uns["tissuemake"] = {**half.uns["tissuemake"], "sample": name, "donor": f"{name}-{side}"}
        write_anndata(half, folder / f"{side}.h5ad", FILTERED)
