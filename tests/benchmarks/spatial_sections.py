"""Sections of the spatial benchmarks, through the workflow's own ingest and filter; made once. No picture is read.

Nobody is asked about a section that taught: 151673 and 151674 are neighbouring sections of one donor, so there only
the section is new; her2st is split by patient; the bulbs are two.
"""

from dataclasses import dataclass
from pathlib import Path

from tissuemake.files import atomic
from tissuemake.ingest import ingest_sample
from tissuemake.quality.filter import filter_spots
from tissuemake.sheets import Sample

HER2ST = {"A": ("A1", "A2", "A3", "A4"), "C": ("C1", "C2", "C3", "C4"), "D": ("D1", "D2", "D3")}
LABELLED = ("A1", "C1", "D1")
DLPFC = ("151673", "151674")
XENIUM = "xenium-brain"


@dataclass(frozen=True)
class Problem:
    """Sections that teach and sections that ask, whose scores are averaged."""

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]


def _without_patient(patient: str) -> Problem:
    others = tuple(name for key, names in HER2ST.items() if key != patient for name in names)
    teachers = "+".join(key for key in HER2ST if key != patient)
    return Problem(f"her2st {teachers} -> {patient}", others, HER2ST[patient])


HELD_OUT_SECTIONS = (
    Problem("DLPFC 151673 -> 151674", ("151673",), ("151674",)),
    Problem("DLPFC 151674 -> 151673", ("151674",), ("151673",)),
    *(_without_patient(patient) for patient in HER2ST),
    Problem("bulb MOB1 -> MOB2", ("MOB1",), ("MOB2",)),
)


def filtered(name: str, data: Path, work: Path) -> Path:
    """``filtered.h5ad`` of a section, made once."""
    folder = work / "sections" / name
    if not folder.is_dir():
        with atomic(folder) as partial:
            partial.mkdir()
            ingest_sample(row(name, data), partial / "ingested.h5ad")
            # Layers and pathologists' labels are scores: every spot under tissue that was labelled is kept if it
            # can be believed, by the workflow's own thresholds.
            filter_spots(partial / "ingested.h5ad", partial / "filtered.h5ad", None, overrides={})
    return folder / "filtered.h5ad"


def row(name: str, data: Path) -> Sample:
    """The line of ``samples.tsv`` that would say this."""
    if name in DLPFC:
        path = data / "visium_dlpfc" / f"dlpfc_{name}.h5ad"
        return Sample(name, "h5ad", str(path), organism="human", donor="dlpfc-1", labels="obs:layer")
    if name == XENIUM:
        path = data / "xenium" / "mouse_brain_coronal_left_half"
        return Sample(name, "xenium", str(path), organism="mouse", donor="xenium-2")
    if name.startswith("MOB"):
        bulb = data / "st_mob_2k"
        spots = str(bulb / f"alignment_table_{name}.tsv")
        return Sample(
            name, "st", str(bulb / f"{name}.tsv"), spots=spots, organism="mouse", donor=f"mob-{name[-1]}"
        )
    tumour = data / "st_her2"
    return Sample(
        name,
        "st",
        str(tumour / "counts" / f"{name}.tsv.gz"),
        spots=str(tumour / "spots" / f"{name}_selection.tsv"),
        organism="human",
        donor=f"her2-{name[0]}",
    )
