"""What large inputs cost: time and peak memory of our steps beside spatialdata-io's reader and scanpy's.

``python tests/benchmarks/ingest.py --work FOLDER`` makes the inputs, measures and prints the tables. What was measured
is kept in FOLDER/rows.json, so that a run that was cut goes on; ``--write`` writes all of it to INGEST.md.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.ingest_tasks import measured
from benchmarks.large_inputs import write_visium_hd, write_xenium
from benchmarks.slide_files import write_slide
from benchmarks.slides import picture_of

PAGE = Path(__file__).with_name("INGEST.md")
XENIUM = {
    "check_xenium": "ours: check",
    "ingest_xenium": "ours: ingest",
    "ingest_transcripts": "ours: ingest, no matrix: transcripts are counted",
    "spatialdata_io": "spatialdata-io: table, outlines, transcripts",
    "spatialdata_io_table": "spatialdata-io: table alone",
    "scanpy_matrix": "scanpy: matrix alone",
}
HD = {
    "check_hd_2um": "ours: check, 2 µm",
    "check_hd_8um": "ours: check, 8 µm",
    "ingest_hd_2um": "ours: ingest, 2 µm",
    "scanpy_hd_2um": "scanpy: matrix of 2 µm, read only",
}
SLIDE = {"tissue_mask": "tissue mask"}


def inputs(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, str], Path]]:
    """Each input's name, what is asked of it and where it lies; made where it is not there yet."""
    for millions in options.transcripts:
        number = round(millions * 1e6)
        path = options.work / f"x{options.cells}_{number}"
        made(path, lambda target, number=number: write_xenium(target, options.cells, number))
        yield f"Xenium, {options.cells:,} cells, {millions:g} M transcripts", XENIUM, path
    if options.side:
        path = options.work / f"hd{options.side}"
        made(path, lambda target: write_visium_hd(target, options.side))
        yield f"Visium HD, {options.side**2 / 1e6:.1f} M bins of 2 µm", HD, path
    if options.edge:
        path = options.work / f"slide{options.edge}.tif"
        made(path, lambda target: write_slide(target, picture_of(None), options.edge, tissue=True))
        yield f"Slide, {options.edge:,} × {options.edge:,} px", SLIDE, path


def made(path: Path, make) -> None:
    """Let `make` write `path`, whole or not at all."""
    if path.exists():
        return
    partial = path.with_name(f".{path.name}")
    shutil.rmtree(partial, ignore_errors=True)
    make(partial)
    partial.rename(path)


def page(rows: list[dict]) -> str:
    """The tables, an input each."""
    table = pd.DataFrame(rows)
    parts = [HEAD]
    for name, part in table.groupby("input", sort=False):
        shown = part.set_index("what")[["seconds", "cpu_seconds", "megabytes"]]
        shown.columns = ["seconds", "CPU seconds", "peak MB"]
        parts.append(f"## {name}\n\n{shown.rename_axis('').to_markdown()}")
    return "\n\n".join(parts) + "\n"


HEAD = """# What large inputs cost

Printed by `python tests/benchmarks/ingest.py --work FOLDER --write`. Each line is a process of its own, imports and
writing included. Seconds by the clock depend on what else the machine did; CPU seconds hardly. What a whole analysis of
such inputs takes is in profiles/README.md, by rule."""


def main() -> None:
    """Measure what is not kept yet, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument(
        "--transcripts", type=float, nargs="*", default=[10, 30, 100], help="millions, of Xenium"
    )
    parser.add_argument("--cells", type=int, default=500_000)
    parser.add_argument(
        "--side", type=int, default=2828, help="2 µm bins along each side of Visium HD; 0: none"
    )
    parser.add_argument("--edge", type=int, default=100_000, help="pixels of each side of the slide; 0: none")
    parser.add_argument("--only", nargs="*", default=[], help="of the tasks")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    kept = options.work / "rows.json"
    rows = json.loads(kept.read_text()) if kept.is_file() else []
    for name, tasks, path in inputs(options):
        for task, what in tasks.items():
            if (options.only and task not in options.only) or any(
                row["input"] == name and row["what"] == what for row in rows
            ):
                continue
            rows.append(
                {"input": name, "what": what, **asdict(measured(task, path, options.work / "output"))}
            )
            print(rows[-1], flush=True)
            kept.write_text(json.dumps(rows, indent=1))
    text = page(rows)
    print(text)
    if options.write:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
