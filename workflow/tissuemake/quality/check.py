"""Look at a sample before anything heavy, in seconds. Writes a verdict, never raises."""

import time
from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import pandas as pd

from tissuemake.ingest import open_reader
from tissuemake.ingest.base import Reader
from tissuemake.quality.barcode_checks import check_barcodes, check_tables
from tissuemake.quality.fingerprint import fingerprint
from tissuemake.quality.gene_checks import (
    Carrying,
    check_organism,
    check_reference_fits,
    check_reference_verdict,
    gene_table,
)
from tissuemake.quality.geometry_checks import check_images, check_lattice, check_mpp
from tissuemake.quality.matrix_checks import check_depth, check_matrix, read_matrix
from tissuemake.quality.receipts import check_receipts
from tissuemake.quality.slide_checks import check_slide
from tissuemake.quality.tissue_checks import check_tissue
from tissuemake.quality.verdict import Verdict
from tissuemake.sheets import Reference, Sample


def check_sample(
    row: Sample,
    output: Path,
    *,
    reference: Reference | None = None,
    reference_check: Path | None = None,
    receipts: Sequence[Path] = (),
    organism: str = "",
    orthologs: Path | None = None,
    aliases: Path | None = None,
    min_counts: float | None = None,
) -> None:
    """Write the ``check.json`` of a sample: status, findings with remedies, facts.

    Parameters
    ----------
    row
        A row of ``samples.tsv`` whose paths lie on this machine (``row.located()``).
    output
        Where the verdict goes.
    reference
        The row of its reference, located as well.
    reference_check
        The verdict on that reference.
    receipts
        Of the row's fetched or simulated files.
    organism
        Whose gene names the prepared reference carries; empty: its own.
    orthologs
        The table by which references are carried to another organism; None: they are not.
    aliases
        A person's table of former gene symbols, beside the built-in one.
    min_counts
        Fewest counts that the config's filter asks for; None: decided from the data.
    """
    started = time.perf_counter()
    verdict = Verdict("sample", row.sample)
    with verdict.guard("receipts"):
        check_receipts(verdict, receipts)
    if not verdict.failed:
        with verdict.guard(row.path):
            reader = open_reader(row)
            carrying = Carrying(organism, orthologs, aliases)
            _inspect(verdict, reader, reference, reference_check, carrying, min_counts)
            for note in reader.notes:
                verdict.add(note)
            verdict.facts["fingerprint"] = fingerprint(_inputs(reader))
    verdict.facts["seconds"] = round(time.perf_counter() - started, 2)
    verdict.write(Path(output))


def _inputs(reader: Reader) -> list[Path]:
    row = reader.row
    named = [Path(cell) for cell in (row.spots, row.image, row.alignment, row.labels, row.truth) if cell]
    return [*reader.files(), *(path for path in named if path.exists())]


def _inspect(
    verdict: Verdict,
    reader: Reader,
    reference: Reference | None,
    reference_check: Path | None,
    carrying: Carrying,
    min_counts: float | None,
) -> None:
    verdict.facts |= {key: getattr(reader, key) for key in ("software", "chemistry", "layout", "observation")}
    verdict.facts |= {key: value for key in ("slide", "run_start") if (value := getattr(reader, key))}
    row = reader.row
    if row.image:
        with verdict.guard(row.image):
            check_slide(row.sample, Path(row.image))
    counts = _check_counts(verdict, reader)
    positions = _check_positions(verdict, reader, counts, min_counts)
    if positions is not None:
        _check_geometry(verdict, reader, positions)
    check_tables(verdict, row, None if counts is None else counts.obs_names)
    if counts is not None:
        with verdict.guard(row.path):
            _check_genes(verdict, reader, counts, reference, reference_check, carrying)


def _check_counts(verdict: Verdict, reader: Reader) -> ad.AnnData | None:
    counts = None
    with verdict.guard(reader.row.path):
        counts, stored = read_matrix(reader)
        check_matrix(verdict, reader, counts, stored)
    return counts


def _check_positions(
    verdict: Verdict, reader: Reader, counts: ad.AnnData | None, min_counts: float | None
) -> pd.DataFrame | None:
    positions = None
    with verdict.guard(reader.row.spots or reader.row.path):
        positions = reader.positions()
        if counts is not None:
            check_barcodes(verdict, reader, counts.obs_names, positions)
            # Spots without counts (a positions file lists all 4,992) say nothing about this section.
            if not positions.index.equals(counts.obs_names):
                positions = positions[positions.index.isin(counts.obs_names)]
            check_depth(verdict, reader, counts, positions, min_counts)
    return positions


def _check_geometry(verdict: Verdict, reader: Reader, positions: pd.DataFrame) -> None:
    # A slide that cannot be read was reported; what it might say of itself is not asked again.
    corrupt = any(finding["code"] == "corrupt_slide" for finding in verdict.findings)
    with verdict.guard(reader.row.path):
        from_pitch = check_lattice(verdict, reader, positions)
        if not corrupt:
            check_mpp(verdict, reader, positions, from_pitch)
    if not corrupt:
        with verdict.guard(reader.row.image or reader.row.path):
            check_images(verdict, reader, positions)
            check_tissue(verdict, reader, positions)


def _check_genes(
    verdict: Verdict,
    reader: Reader,
    counts: ad.AnnData,
    reference: Reference | None,
    reference_check: Path | None,
    carrying: Carrying,
) -> None:
    genes = gene_table(counts)
    organism = check_organism(verdict, reader, genes)
    if reference is None:
        return
    if reference_check is not None:
        check_reference_verdict(verdict, reader.row, reference, reference_check)
    check_reference_fits(verdict, reader.row, genes, organism, reference, carrying)
