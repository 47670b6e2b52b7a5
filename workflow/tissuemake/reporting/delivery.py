"""What a core facility hands over: one h5ad with all results, SpatialData, the report, and a manifest."""

import shutil
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from tissuemake import contracts, files, provenance
from tissuemake.reporting.cell_labels import add_cell_types
from tissuemake.reporting.delivered_images import (
    add_predicted,
    add_tumor,
    encoder_entries,
    notices,
    place_fine,
)
from tissuemake.reporting.delivered_pathways import add_pathways, library_notices, pathway_copies
from tissuemake.reporting.delivered_spot_models import add_spot_models, copies
from tissuemake.reporting.delivered_tables import gather, place, write_levels
from tissuemake.reporting.delivered_views import how_to_open, write_views
from tissuemake.reporting.from_image import is_from_image
from tissuemake.reporting.models import read_model, summary
from tissuemake.reporting.pages import plain
from tissuemake.reporting.spatialdata_zarr import write_spatialdata
from tissuemake.reporting.verify import MANIFEST
from tissuemake.sheets import PATH_COLUMNS, Sample

# Files whose number the methods and levels decide: those of an older run must not stay.
BY_METHOD = (
    "imputed_*.h5ad", "attributions_*.parquet", "proportions_*.parquet", "tumor_*.parquet", "highres_*.h5ad",
    "annotation_*.parquet", "perturbation_*.parquet", "pathways_*.parquet", "border_*.parquet",
    "attention_*.parquet", "cell_types.parquet", "decisions.json", "methods.md",
    "vitessce.json", "xenium_explorer_*.csv",
)  # fmt: skip
NONE: Mapping[str, Path] = MappingProxyType({})
# Beside what is read, vendor folders hold tens of gigabytes that no stage opens.
NEVER_READ = (".bam", ".bai", ".csi", ".cloupe", ".vloupe", ".fastq", ".fastq.gz")


def deliver_sample(
    sample: str,
    *,
    filtered: Path,
    proportions: dict[str, Path],
    imputed: dict[str, Path],
    domains: Path,
    report: Path,
    check: Path,
    row: dict,
    config: dict,
    output: Path,
    ingested: Path | None = None,
    attributions: dict[str, Path] | None = None,
    models: dict[str, Path] | None = None,
    inputs: list[Path] | None = None,
    embeddings: Mapping[str, Path] = NONE,
    tumor: Mapping[str, Path] = NONE,
    highres: Mapping[str, Path] = NONE,
    spot_embeddings: Mapping[str, Path] = NONE,
    annotation: Mapping[str, Path] = NONE,
    perturbation: Mapping[str, Path] = NONE,
    pathways: Mapping[str, Path] = NONE,
    borders: Mapping[str, Path] = NONE,
    attention: Mapping[str, Path] = NONE,
    cell_types: Path | None = None,
    decisions: Path | None = None,
    methods: Path | None = None,
) -> None:
    """Write the delivery of one sample into the folder `output`, ``manifest.json`` last: it vouches for the rest.

    ``SAMPLE.h5ad`` (filtered spots with ``obsm["proportions_METHOD"]``, ``obs["dominant_type_METHOD"]`` and
    ``obs["domain_METHOD"]``, where ``+`` is spelt ``_and_``), ``proportions_METHOD.LEVEL.parquet`` (rolled up to
    each coarser level of the reference), ``imputed_METHOD.h5ad`` (with coordinates and image, so that it plots as
    well), ``SAMPLE.spatialdata.zarr.zip``, ``report.html``.

    What was read off the stained image: ``obs["tumor_probability_ENCODER"]`` (missing where a spot has no tile) and
    ``tumor_ENCODER.parquet``; ``obsm["image_expression_ENCODER"]`` (spots by genes, log1p(CP10k)), whose genes, what is
    known of them and how it was made stand in ``uns["image_expression"][ENCODER]``; ``highres_ENCODER.h5ad`` (a row per
    place between and inside spots, with the image).

    Of models that read spots and those around them: ``obsm["X_MODEL"]`` (their numbers), ``obs["annotation_MODEL"]``
    and ``obs["annotation_probability_MODEL"]``, ``annotation_MODEL.parquet``, ``perturbation_MODEL.parquet``.

    Of single cells and bins: ``obs["cell_type"]`` (``unknown`` among them), ``obs["cell_type_confidence"]``,
    ``obs["cell_ontology_id"]``, ``obs["cell_ontology_name"]``, ``cell_types.parquet``.

    For viewers: ``vitessce.json`` and, of Xenium, ``xenium_explorer_COLUMN.csv`` (see `delivered_views`).

    Of the work itself: ``decisions.json`` (thresholds, methods, models, versions), ``methods.md`` (what a paper says).

    Of pathways, measured and as models say: ``obsm["pathways_TABLE"]``, ``pathways_TABLE.parquet``,
    ``border_TABLE.parquet`` (means by distance from a border), ``attention_MODEL.parquet``.

    Parameters
    ----------
    filtered, proportions, imputed, domains, check, ingested
        Files of the contracts of those names; the manifest holds their hashes.
    report, decisions, methods
        The sample's page and what was written with it, copied.
    attributions, models
        Method → genes that spoke for each type, delivered as ``attributions_METHOD.parquet``; folder of its
        model, whose card and hash the manifest holds.
    row
        The sample's row of the sheet.
    config
        The run's config, for the manifest.
    inputs
        Files, or vendor folders (each file in them counts, except those that no stage reads); None: what the
        row of the sheet names.
    embeddings, tumor, highres
        Encoder → file. The embeddings are not delivered: the manifest names their encoders, the licence of their
        weights, and what that forbids.
    spot_embeddings, annotation, perturbation
        Model → file.
    pathways, borders, attention
        ``measured`` or a model → file.

    Raises
    ------
    InputError
        ``broken_contract`` when a file is not what its stage promises; ``disk_full``.
    """
    output = Path(output)
    inputs = named_inputs(row) if inputs is None else inputs
    output.mkdir(parents=True, exist_ok=True)
    for stale in (output / MANIFEST, *(path for name in BY_METHOD for path in output.glob(name))):
        stale.unlink(missing_ok=True)
    adata, records = gather(filtered, proportions, domains)
    for encoder, path in tumor.items():
        records[f"tumor/{encoder}"] = add_tumor(adata, encoder, path)
    records |= add_spot_models(adata, spot_embeddings, annotation, perturbation)
    records |= add_cell_types(adata, cell_types)
    records |= add_pathways(adata, pathways, borders)
    outputs = [output / f"{sample}.h5ad"]
    for method, path in imputed.items():
        prediction = contracts.read_anndata(path, contracts.IMPUTED)
        records[f"imputation/{method}"] = dict(prediction.uns["tissuemake"])
        if not prediction.n_vars:
            continue  # its record says why
        if is_from_image(method, prediction, embeddings):
            add_predicted(adata, method, prediction)
        outputs.append(output / f"imputed_{method}.h5ad")
        contracts.write_anndata(place(prediction, adata), outputs[-1], contracts.IMPUTED)
    contracts.write_anndata(adata, outputs[0], contracts.FILTERED)
    for encoder, path in highres.items():
        fine = contracts.read_anndata(path, contracts.HIGHRES)
        records[f"highres/{encoder}"] = dict(fine.uns["tissuemake"])
        outputs.append(output / f"highres_{encoder}.h5ad")
        contracts.write_anndata(place_fine(fine, adata), outputs[-1], contracts.HIGHRES)
    levels = write_levels(proportions, output)
    outputs += [output / name for name in levels]
    outputs.append(output / f"{sample}.spatialdata.zarr.zip")
    write_spatialdata(adata, sample, outputs[-1])
    outputs += write_views(sample, adata, output)
    as_they_are = {f"attributions_{method}.parquet": path for method, path in (attributions or {}).items()}
    as_they_are |= {f"tumor_{encoder}.parquet": path for encoder, path in tumor.items()}
    single = {"cell_types.parquet": cell_types, "decisions.json": decisions, "methods.md": methods}
    as_they_are |= {name: path for name, path in single.items() if path}
    as_they_are |= copies(annotation, perturbation) | pathway_copies(pathways, borders, attention)
    for name, path in {**as_they_are, "report.html": report}.items():
        outputs.append(output / name)
        with files.atomic(outputs[-1]) as partial:
            shutil.copyfile(path, partial)
    by_model = [embeddings, tumor, highres, spot_embeddings, annotation, perturbation]
    by_model += [pathways, borders, attention]
    by_model = [path for found in by_model for path in found.values()]
    between = [filtered, check, domains, *proportions.values(), *imputed.values(), *by_model]
    between = [*filter(None, [ingested]), *between, *filter(None, [cell_types])]
    encoders = encoder_entries(embeddings)
    manifest = {
        "sample": sample,
        "spots": adata.n_obs,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": provenance.versions(),
        "devices": sorted({str(record["device"]) for record in records.values() if record.get("device")}),
        "seeds": {step: record["seed"] for step, record in records.items() if "seed" in record},
        "sheet_row": row,
        "config": config,
        "steps": records,
        "levels": levels,
        "models": {method: summary(read_model(folder)) for method, folder in (models or {}).items()},
        "encoders": encoders,
        "notices": [*notices(encoders), *library_notices(records)],
        # An image that is named by itself and lies in the vendor's folder as well is hashed once: slides are large.
        "inputs": [
            _entry(path) for path in dict.fromkeys(p for given in inputs for p in _files_of(Path(given)))
        ],
        "intermediate": [_entry(Path(path)) for path in between],
        "outputs": [_entry(path, output) for path in outputs],
        "how_to_open": how_to_open(sample, adata),
    }
    files.write_json(plain(manifest), output / MANIFEST)


def named_inputs(row: dict) -> list[Path]:
    """Return the files and folders that a row of the sheet names, where they lie on this machine."""
    known = {field.name for field in fields(Sample)}
    located = Sample(**{key: value for key, value in row.items() if key in known}).located()
    named = [getattr(located, column) for column in PATH_COLUMNS]
    return [Path(name) for name in named if name and not name.startswith("obs:")]


def _files_of(path: Path) -> list[Path]:
    if path.is_dir():
        found = (path for path in path.rglob("*") if path.is_file() and not path.name.endswith(NEVER_READ))
        return sorted(found)
    return [path] if path.is_file() else []


def _entry(path: Path, base: Path | None = None) -> dict:
    name = path.relative_to(base).as_posix() if base else str(path)
    return {"path": name, "bytes": path.stat().st_size, "sha256": files.sha256(path)}
