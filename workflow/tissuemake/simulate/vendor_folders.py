"""A tissue with known truth, written as the folders that instruments write."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake import __version__
from tissuemake.files import atomic, remove, sha256
from tissuemake.simulate import cell_types
from tissuemake.simulate.atlas import simulate_atlas
from tissuemake.simulate.expression import (
    build_biology,
    donor_effect,
    draw_molecules,
    expected_shares,
    programme_states,
)
from tissuemake.simulate.hd_capture import capture_bins
from tissuemake.simulate.programmes import (
    activity_fields,
    cell_activities,
    describe_programmes,
    member_genes,
    plan_programmes,
    transcribe,
)
from tissuemake.simulate.signalling import plan_signals, send_signals, signal_table
from tissuemake.simulate.spatial_transcriptomics import SPOT_UM as ST_SPOT_UM
from tissuemake.simulate.spatial_transcriptomics import capture_st, write_st
from tissuemake.simulate.staining import render, shape_nuclei
from tissuemake.simulate.tissue import Section, place_cells, simulate_section, stream
from tissuemake.simulate.truth import (
    write_hd_truth,
    write_programmes,
    write_signals,
    write_spot_truth,
    write_xenium_truth,
)
from tissuemake.simulate.visium import SPOT_UM as VISIUM_SPOT_UM
from tissuemake.simulate.visium import capture_spots, write_visium
from tissuemake.simulate.visium_hd import write_visium_hd
from tissuemake.simulate.xenium_bundle import write_xenium
from tissuemake.simulate.xenium_capture import capture_transcripts
from tissuemake.simulate.zones import plan_of

RECEIPT = "truth.json"
PARTS = ("visium", "visium_hd", "xenium", "st", "truth", "atlas.h5ad")


def section_donor(zones: str) -> str:
    """Who gave the section: another person for every plan, as no two tissues of the cohort are one person's."""
    # The bare name stays with the first plan, whose numbers are recorded under it.
    return "section_donor" if zones == "layered" else f"section_donor {zones}"


def simulate_cells(
    *,
    seed: int = 0,
    spots: int = 300,
    zones: str = "layered",
    n_genes: int = 1200,
    signals: int = 0,
    programmes: int = 0,
) -> tuple[Section, ad.AnnData]:
    """Simulate a section and every molecule of its cells, in memory.

    Plans of one seed share the biology of types, programmes and signals, and are of different donors.

    Parameters
    ----------
    signals
        Ligands that raise their targets in cells around the senders; as many others look alike and do not.
    programmes
        Sets of genes that follow the border of the first zone, the zones, or fields of their own.

    Returns
    -------
    section
        The tissue and its zones; ``activity`` of the programmes if any.
    cells
        AnnData: ``X`` molecules (cells, genes), int32 CSR; obs ``zone``, ``cell_type``, ``cell_type_major``, and
        the codes ``zone_index``, ``cell_type_index``; obsm ``spatial`` (µm); var ``gene_id``; uns ``signals`` if any
        (`signal_table`) and ``programmes`` if any (`programme_table`), with their activity in obsm ``programmes``.
    """
    section = simulate_section(seed, spots, zones)
    cells = place_cells(section, seed)
    biology = build_biology(seed, n_genes)
    kinds = cells["cell_type"].to_numpy()
    states = programme_states(section, cells, seed)
    donor = donor_effect(seed, section_donor(zones), biology)
    molecules = draw_molecules(biology, kinds, states, donor, stream(seed, "molecules"))
    uns, taken = {}, ()
    if signals:
        plan = plan_signals(biology, seed, signals)
        taken = plan.genes
        shares = expected_shares(biology, kinds, states, donor, taken)
        # Plans of a seed are tissues of their own: where senders are on differs.
        rng = stream(seed, f"signalling {zones}")
        molecules = send_signals(section, cells, molecules, shares, plan, biology.dispersion, rng)
        uns["signals"] = signal_table(plan, biology.genes.index)
    obs = _described(section, cells)
    adata = ad.AnnData(obs=obs, var=biology.genes, obsm={"spatial": cells[["x", "y"]].to_numpy()}, uns=uns)
    if programmes:
        planned = plan_programmes(biology, seed, programmes, taken)
        rng = stream(seed, f"planted activity {zones}")
        section = replace(section, activity=activity_fields(section, planned, rng))
        shares = expected_shares(biology, kinds, states, donor, member_genes(planned))
        activities = cell_activities(section, cells, section.activity, rng)
        molecules = transcribe(molecules, shares, activities, planned, biology.dispersion, rng)
        describe_programmes(adata, activities, planned)
    adata.X = molecules
    return section, adata


def _described(section: Section, cells: pd.DataFrame) -> pd.DataFrame:
    """Zone and type of every cell, by name and by code."""
    kinds = cells["cell_type"].to_numpy()
    names = np.array(cell_types.NAMES)[kinds]
    obs = pd.DataFrame(
        {
            "zone": section.zone_names(cells["zone"].to_numpy()),
            "cell_type": names,
            "cell_type_major": [cell_types.MAJOR[name] for name in names],
            "zone_index": cells["zone"].to_numpy(),
            "cell_type_index": kinds,
        },
        index=pd.Index([f"cell_{i}" for i in range(len(cells))]),
    )
    return obs.astype({"zone": "category", "cell_type": "category", "cell_type_major": "category"})


def cell_table(cells: ad.AnnData) -> pd.DataFrame:
    """Columns x, y (µm), zone, cell_type (codes) of simulated cells, and what programmes do to their nuclei."""
    table = {
        "x": cells.obsm["spatial"][:, 0],
        "y": cells.obsm["spatial"][:, 1],
        "zone": cells.obs["zone_index"].to_numpy(),
        "cell_type": cells.obs["cell_type_index"].to_numpy(),
    }
    table |= {name: cells.obs[name].to_numpy() for name in ("darker", "larger") if name in cells.obs}
    return pd.DataFrame(table)


def simulate_tissue(
    output: Path,
    *,
    seed: int = 0,
    spots: int = 300,
    zones: str = "layered",
    n_genes: int = 1200,
    atlas_cells: int = 1500,
    gene_shift: float = 0.6,
    mpp: float = 0.5,
    signals: int = 0,
    programmes: int = 0,
) -> None:
    """Write vendor folders, atlas and truth of one simulated section into `output`.

    Parameters
    ----------
    output
        Gets ``visium``, ``visium_hd``, ``xenium``, ``st``, ``atlas.h5ad``, ``truth`` and, last, ``truth.json``:
        the receipt, with parameters and the SHA-256 of every file.
    seed
        Equal seeds and parameters give equal files.
    spots
        Visium spots under tissue, about; the size of everything else follows.
    zones
        ``layered``, ``glandular`` or ``infiltrated``: the plan of the tissue, each of a donor of its own.
    n_genes, atlas_cells
        Genes of the whole transcriptome (400-2500), cells of the atlas.
    gene_shift
        Standard deviation of the natural-log efficiency of genes on each platform; 0 makes platforms alike.
    mpp
        µm per pixel of the slides.
    signals
        Ligands that raise targets in cells around them, and as many that do not; ``truth/signals.tsv`` says which.
    programmes
        Sets of genes that follow the border of the first zone, the zones or fields of their own: who does what is in
        ``truth/programmes.gmt`` and ``.tsv``, activities in ``truth/*_programmes.tsv``, distances in
        ``truth/*_border.tsv``.

    Raises
    ------
    InputError
        ``unknown_zones``, ``bad_spots``, ``bad_n_genes``, ``bad_signals``, ``bad_programmes``.
    """
    output = Path(output)
    plan_of(zones)
    # The receipt is written whole or not at all, after everything it lists.
    with atomic(output / RECEIPT) as partial:
        for name in (RECEIPT, *PARTS):
            remove(output / name)
        parameters = {"seed": seed, "spots": spots, "zones": zones, "n_genes": n_genes}
        parameters |= {"signals": signals} if signals else {}
        parameters |= {"programmes": programmes} if programmes else {}
        section, cells = simulate_cells(**parameters)
        _write_section(output, section, cells, seed, gene_shift, mpp)
        if signals:
            write_signals(output / "truth", cells.uns["signals"])
        if programmes:
            write_programmes(output / "truth", cells.uns["programmes"])
        atlas = simulate_atlas(build_biology(seed, n_genes), seed, atlas_cells, gene_shift)
        atlas.write_h5ad(output / "atlas.h5ad", compression="gzip", compression_opts=1)
        parameters |= {"atlas_cells": atlas_cells, "gene_shift": gene_shift, "mpp": mpp}
        receipt = {"tissuemake": __version__, "parameters": parameters, "files": _hashes(output)}
        partial.write_text(json.dumps(receipt, indent=2) + "\n", encoding="utf-8")


def _write_section(output, section, cells, seed, gene_shift, mpp):
    """Let every platform see the section, one after the other, and write what it saw with its truth."""
    view = View(section, cell_table(cells), cells, seed, gene_shift)
    picture = render(section, view.table, seed, mpp)
    # One function each, so that what one platform saw is let go before the next looks.
    for write in (_write_visium, _write_st, _write_hd, _write_xenium):
        write(output, view, picture, mpp)
    cells.write_h5ad(output / "truth" / "cells.h5ad", compression="gzip", compression_opts=1)


@dataclass(frozen=True)
class View:
    """What every platform looks at."""

    section: Section
    table: pd.DataFrame
    cells: ad.AnnData
    seed: int
    gene_shift: float

    @property
    def programmes(self) -> list[str]:
        """Names of the planted programmes."""
        return list(self.cells.uns["programmes"]["programme"]) if "programmes" in self.cells.uns else []


def _write_visium(output, view, picture, mpp):
    capture = capture_spots(view.section, view.table, view.cells.X, view.seed, view.gene_shift)
    write_visium(output / "visium", capture, view.cells.var, picture, mpp)
    write_spot_truth(output / "truth", "visium", view.section, capture, view.programmes, VISIUM_SPOT_UM)


def _write_st(output, view, picture, mpp):
    capture = capture_st(view.section, view.table, view.cells.X, view.seed, view.gene_shift)
    write_st(output / "st", capture, view.cells.var, picture, mpp)
    write_spot_truth(output / "truth", "st", view.section, capture, view.programmes, ST_SPOT_UM)


def _write_hd(output, view, picture, mpp):
    nuclei = shape_nuclei(view.section, view.table, view.seed)
    capture = capture_bins(view.section, nuclei, view.cells.X, view.cells.var, view.seed, view.gene_shift)
    write_visium_hd(output / "visium_hd", capture, picture, mpp)
    kinds = view.table["cell_type"].to_numpy()
    write_hd_truth(output / "truth", view.section, capture, kinds, view.programmes)


def _write_xenium(output, view, picture, mpp):
    nuclei = shape_nuclei(view.section, view.table, view.seed)
    capture = capture_transcripts(
        view.section, nuclei, view.cells.X, view.cells.var, view.seed, view.gene_shift
    )
    names = write_xenium(output / "xenium", capture, picture, mpp, view.seed)
    write_xenium_truth(output / "truth", view.section, capture, names, view.cells, view.programmes)


def _hashes(output):
    files = [path for part in PARTS for path in sorted([output / part, *(output / part).rglob("*")])]
    return {path.relative_to(output).as_posix(): sha256(path) for path in files if path.is_file()}
