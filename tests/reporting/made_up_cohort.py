"""Cohorts of any size without their files: rows, benchmarks and pictures as a run would have left them."""

import io
from functools import cache

import numpy as np
from PIL import Image

from tissuemake.reporting import cohort_page
from tissuemake.reporting.batch_section import batch_section
from tissuemake.reporting.cohort_rows import Entry, rejected_entry
from tissuemake.reporting.control_charts import control_charts
from tissuemake.reporting.pages import data_uri
from tissuemake.reporting.quality_table import NUMBERS, as_table, quality_row
from tissuemake.reporting.runtime import Job
from tissuemake.reporting.thumbnail import Stamp, stamp_for

STAGES = ("check", "ingested", "filtered", "tiles", "embeddings/color", "proportions/nnls", "proportions/sparank",
          "imputed/reference", "imputed/neighbors", "domains", "statistics", "evaluation", "report")  # fmt: skip
TYPES = ("Luminal epithelial", "T cell", "Smooth muscle", "Fibroblast", "Endothelial", "Adipocyte")
TISSUES = ("breast", "kidney", "olfactory bulb", "colon")
BROKEN = {
    "level": "fail",
    "code": "truncated_h5",
    "message": "The matrix ends too early.",
    "remedy": "Copy it again from where Space Ranger wrote it.",
}
OLD = {"level": "warn", "code": "old", "message": "The matrix states Space Ranger 1.0.", "remedy": ""}


def made_up_quality(n: int, seed: int = 0, *, prefix: str = "S", slide_effect: float = 0.0) -> list[dict]:
    """Rows of a quality table: four sections on a slide, one in twenty shallow, one in thirty failed.

    Parameters
    ----------
    slide_effect
        SD of what a slide adds to the log10 of counts and genes; that of a section is 0.1.
    """
    rng = np.random.default_rng(seed)
    of_slide = rng.normal(0, 1, n // 4 + 1) * slide_effect
    rows = []
    for i in range(n):
        name, slide = f"{prefix}{i:04d}", f"{prefix}V{10 + i // 4:05d}"
        row = {
            "assay": "visium", "tissue": TISSUES[i % 4], "donor": f"d{i // 2}", "slide": slide, "organism": "human",
        }  # fmt: skip
        facts = {
            "software": "Space Ranger 3.1.3" if i < n / 2 else "Space Ranger 4.0.1",
            "fingerprint": f"{prefix}{seed}-{i}",
        }
        quality = quality_row(name, row, {"facts": facts}, "fail" if i % 30 == 29 else "pass")
        if quality["status"] == "pass":
            counts = 10 ** (3.9 + rng.normal(0, 0.1) + of_slide[i // 4] - (i % 20 == 13))
            inside = float(rng.integers(2500, 4900))
            dropped = 100 * rng.beta(3, 60)
            numbers = (
                inside,
                inside * (1 - dropped / 100),
                dropped,
                counts,
                counts**0.8,
                100 * rng.beta(8, 100),
                np.nan,
            )
            quality |= dict(zip(NUMBERS, numbers, strict=True))
        else:
            quality["reason"] = BROKEN["code"]
        rows.append(quality)
    return rows


def made_up_entry(i: int, quality: dict, picture: Stamp) -> Entry:
    """The row of a sample on the page."""
    name = quality["sample"]
    if quality["status"] == "fail":
        return Entry(name, "fail", {}, [BROKEN], quality)
    numbers = {"noun": "spot", "kept": int(quality["kept"]), "total": int(quality["in_tissue"]),
               "counts": quality["median_counts"], "genes": quality["median_genes"], "domains": 3 + i % 9,
               "seconds": 30.0 + i, "memory": 800.0}  # fmt: skip
    warned = i % 17 == 3
    return Entry(
        name, "warn" if warned else "pass", {}, [OLD] if warned else [], quality,
        link=f"../samples/{name}/report.html", thumbnail=thumbnail(i % 50, picture), numbers=numbers,
        dominant=[(TYPES[(i + k) % len(TYPES)], 0.4 / (k + 1)) for k in range(3)],
        best={"method": "sparank", "metric": "pearson r", "value": 0.9 - i % 10 / 50, "baseline": False},
        models=[{"method": "sparank", "model": "sparank-atlas", "sha256": "0123456789ab", "unknown": 0.05}],
        dropped={"kept": numbers["kept"], "few counts": numbers["total"] - numbers["kept"]},
    )  # fmt: skip


@cache
def thumbnail(seed: int, picture: Stamp) -> str:
    """A picture of dots as large as a real one."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 255, (picture.side // 4, picture.side // 4, 3), dtype=np.uint8)
    image = Image.fromarray(cells).resize((picture.side, picture.side), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, picture.format, quality=picture.quality)
    return data_uri(buffer.getvalue(), f"image/{picture.format.lower()}")


def made_up_jobs(rows: list[dict], seed: int = 0) -> list[Job]:
    """A job for each step of each sample that did not fail."""
    rng = np.random.default_rng(seed)
    return [
        Job(stage, row["sample"], float(rng.gamma(4, 1 + k)), float(400 + 40 * k + rng.normal(0, 10)))
        for row in rows
        for k, stage in enumerate(STAGES if row["status"] == "pass" else STAGES[:1])
    ]


def made_up_page(n: int, seed: int = 0, history: int = 0, **effects: float) -> str:
    """The page of a cohort of `n` samples, the last one refused by the sheet's reader."""
    picture = stamp_for(n)
    rows = made_up_quality(n - 1, seed, **effects)
    entries = [made_up_entry(i, row, picture) for i, row in enumerate(rows)]
    entries.append(
        rejected_entry("line-9", {**BROKEN, "message": "'<b>x</b>' is no name.", "sample": "<b>x</b>"})
    )
    quality = as_table([entry.quality for entry in entries])
    past = as_table(made_up_quality(history, seed + 1, prefix="H"))
    return cohort_page.cohort_html(
        entries, control_charts(quality, past), batches=batch_section(quality, past, {}), title="Cohort",
        picture=picture,
        evaluation=cohort_page.read_evaluations([]), jobs=made_up_jobs(rows), table_link="quality.tsv",
    )  # fmt: skip
