"""Which library of gene sets a config names, and whose it is. Naming is pure, so that Snakemake can plan with it."""

from pathlib import Path

from tissuemake import sources
from tissuemake.errors import InputError
from tissuemake.files import read_json, sha256, write_text

# What a config may say instead of a path.
HALLMARK = "hallmark"
HALLMARK_SHA256 = "8ff1f036f0988c99d42cf9e5ea24d355f10b8ece5e0d4f6edf26a0458f480780"
HALLMARK_URL = (
    "https://data.broadinstitute.org/gsea-msigdb/msigdb/release/2023.2.Hs/h.all.v2023.2.Hs.symbols.gmt"
)
# Shown wherever these sets are: by the bytes, so that a copy on disk is named as well.
ATTRIBUTIONS = {
    HALLMARK_SHA256: {
        "library": "MSigDB Hallmark gene sets, 2023.2.Hs",
        "licence": "CC BY 4.0",
        "attribution": (
            "Hallmark gene sets of the Molecular Signatures Database (Liberzon et al., Cell Systems 2015; "
            "https://www.gsea-msigdb.org), copyright Broad Institute, Inc., Massachusetts Institute of Technology, and "
            "Regents of the University of California, under CC BY 4.0"
        ),
    }
}


def library_source(cell: str) -> str:
    """What stands behind `pathways.gene_sets` as a cell of `sources`: a path, pinned URLs, or simulated://."""
    return f"{HALLMARK_URL}#sha256={HALLMARK_SHA256}" if cell == HALLMARK else cell


def library_path(cell: str, results: str = "results") -> str:
    """Where the GMT lies, or will lie, on this machine."""
    return sources.local_path(library_source(cell), results)


def attribution(gene_sets: str | Path, named: str = "") -> dict[str, str]:
    """``library``, ``licence`` and ``attribution`` of a GMT; of one that is not known, its name and nothing claimed.

    `named` is what the config called it.
    """
    path = Path(gene_sets)
    unknown = {"library": Path(named).name or path.name, "licence": "not stated", "attribution": ""}
    return ATTRIBUTIONS.get(sha256(path), unknown)


def fetched_library(cell: str, receipt: str | Path, output: Path) -> None:
    """Copy the library to `output` once it is there, read and in order.

    Parameters
    ----------
    cell
        The key ``pathways.gene_sets`` of the config.
    receipt
        Of a library that is fetched or simulated; empty for a local file.

    Raises
    ------
    InputError
        ``not_fetched`` with the server's answer; those of `gene_sets.read_gene_sets`.
    """
    from tissuemake.pathways.gene_sets import read_gene_sets

    answer = read_json(receipt) if receipt else {}
    if answer.get("status", "ok") != "ok":
        raise InputError(
            "not_fetched",
            f"The gene sets '{cell}' could not be fetched: {answer['message']}",
            f"{answer['remedy']} Or download them and give their path in pathways.gene_sets of the config.",
        )
    path = Path(library_path(cell))
    if path.is_dir():
        found = sorted(path.glob("*.gmt*"))
        if len(found) != 1:
            raise InputError(
                "bad_gene_sets",
                f"The gene sets '{cell}' are {len(found)} GMT files, not one.",
                "Give one URL, or unpack them and give the path of one file in pathways.gene_sets of the config.",
            )
        path = found[0]
    sets = read_gene_sets(path)
    if path.suffix == ".gmt":
        text = path.read_text(encoding="utf-8-sig")
    else:
        text = "".join(f"{name}\t\t" + "\t".join(genes) + "\n" for name, genes in sets.items())
    write_text(text, output)
