"""The page of one sample: the tissue to look at first, then everything known about it, in one file."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import anndata as ad
import pandas as pd

from tissuemake import contracts, files
from tissuemake.reporting import pages, scores, spot_models, summaries
from tissuemake.reporting.cell_labels import cell_type_groups, cell_types_section, read_cell_types
from tissuemake.reporting.comparison import compare_methods
from tissuemake.reporting.from_image import read_from_image, tile_flags
from tissuemake.reporting.image_section import image_section
from tissuemake.reporting.layer_groups import collect_groups
from tissuemake.reporting.methods import Methods, methods, write_methods
from tissuemake.reporting.models import model_section, read_model
from tissuemake.reporting.pathway_section import pathway_section
from tissuemake.reporting.pathways import pathway_groups, read_pathways
from tissuemake.reporting.pseudo_spots import pseudo_spots_section, read_pseudo_spots
from tissuemake.reporting.sample_files import SampleFiles, decided, step_records
from tissuemake.reporting.spot_models import read_spot_models
from tissuemake.reporting.tissue_view import MAX_SHOWN, build_view, small_picture
from tissuemake.reporting.type_layers import type_colours

NONE: Mapping[str, Path] = MappingProxyType({})
STYLES = ("base.css", "viewer.css")
SCRIPTS = ("scene.js", "canvas.js", "viewer.js")
MISSING = {
    "proportions": "No cell types were estimated: the sheet names no reference for this sample.",
    "imputed": "No genes were imputed for this sample.",
    "domains": "No tissue domains were found: the sample has too few spots or genes for it.",
    "scores": "Nothing could be scored: no truth, no labels, and no held-out genes.",
}


def report_sample(
    sample: str,
    *,
    check: Path,
    filtered: Path,
    proportions: dict[str, Path],
    imputed: dict[str, Path],
    domains: Path,
    statistics: dict[str, Path],
    evaluation: Path,
    row: dict,
    output: Path,
    qc_figure: Path | None = None,
    attributions: dict[str, Path] | None = None,
    models: dict[str, Path] | None = None,
    markers: Path | None = None,
    tiles: Path | None = None,
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
    pseudo_spots: Path | None = None,
    reference_check: Path | None = None,
    decisions: Path | None = None,
    methods_text: Path | None = None,
) -> None:
    """Write the self-contained HTML page of one sample, what was decided for it, and the methods paragraph.

    Parameters
    ----------
    sample
        Its name; the key of ``uns["spatial"]``.
    check, filtered, domains, evaluation
        Files of the contracts of those names.
    proportions, imputed
        Method → file; empty when the sample has no reference.
    statistics
        Files by ``moran``, ``neighborhood_enrichment``, ``ligand_receptor``; each may be missing.
    row
        The sample's row of the sheet.
    output
        The page.
    qc_figure
        PNG of quality over the tissue, shown as it is.
    attributions, models
        Method → table of the genes that spoke for each type, and folder of its model; of pretrained methods. A
        model that made no proportions (``spafoundation``) is described by itself, with what was watched for
        collapse where its ``training.parquet`` holds that.
    markers
        Markers of the reference, to compare those genes with.
    tiles
        ``tiles.arrow``, to count tiles that are of no use.
    embeddings, tumor, highres
        Encoder → file. Those of `imputed` whose record names an encoder, or that are named as one of
        `embeddings`, are shown as predicted from the image alone.
    spot_embeddings, annotation, perturbation
        Model → file, of models that read spots and those around them; of the first only the record is shown.
    pathways, borders, attention
        ``measured`` or a model → scores of gene sets per spot, their profiles across a border, and what the model
        looked at.
    cell_types
        One type for each cell or bin; None for spots.
    pseudo_spots
        Scores of the methods on spots made of the sample's cells; None where none were asked for.
    reference_check
        ``check.json`` of the reference.
    decisions, methods_text
        Where to write ``decisions.json`` (see `reporting.decisions`) and ``methods.md``; None: not.

    Raises
    ------
    InputError
        ``broken_contract`` when a file is not what its stage promises.
    """
    tables = {
        "moran": contracts.MORAN,
        "neighborhood_enrichment": contracts.NEIGHBORHOOD,
        "ligand_receptor": contracts.LIGAND_RECEPTOR,
    }
    predictions = {m: contracts.read_anndata(p, contracts.IMPUTED) for m, p in imputed.items()}
    predictions = {m: found for m, found in predictions.items() if found.n_vars}
    found = SampleFiles(
        check=files.read_json(check),
        filtered=contracts.read_anndata(filtered, contracts.FILTERED),
        proportions={m: contracts.read_table(p, contracts.PROPORTIONS) for m, p in proportions.items()},
        imputed=predictions,
        domains=contracts.read_table(domains, contracts.DOMAINS),
        statistics={
            name: contracts.read_table(statistics[name], contract)
            if name in statistics
            else pd.DataFrame(columns=contract.columns)
            for name, contract in tables.items()
        },
        evaluation=contracts.read_table(evaluation, contracts.EVALUATION),
        attributions={
            m: contracts.read_table(p, contracts.ATTRIBUTIONS) for m, p in (attributions or {}).items()
        },
        models={m: read_model(p) for m, p in (models or {}).items()},
        markers=contracts.read_table(markers, contracts.MARKERS) if markers else None,
        image=read_from_image(predictions, tumor, highres, embeddings),
        tiles=tile_flags(tiles) if tiles else {},
        spots=read_spot_models(annotation, perturbation, spot_embeddings),
        pathways=read_pathways(pathways, borders, attention),
        cell_types=read_cell_types(cell_types),
        pseudo_spots=read_pseudo_spots(pseudo_spots),
        reference=files.read_json(reference_check) if reference_check else {},
    )
    content = decided(sample, found, row)
    if decisions:
        files.write_json(content, decisions)
    if methods_text:
        write_methods(content, methods_text)
    pages.write_page(sample_html(sample, found, row, methods(content), qc_figure), output)


def sample_html(
    sample: str, found: SampleFiles, row: dict, how: Methods, qc_figure: Path | None = None
) -> str:
    """Return the page's text; see `report_sample`."""
    adata = found.filtered
    about = adata.uns["tissuemake"]
    noun = str(about.get("observation", "spot"))
    colours = type_colours(found.proportions)
    groups = collect_groups(
        adata,
        found.proportions,
        found.domains,
        found.imputed,
        found.statistics["moran"],
        found.image,
        spot_models.label_groups(found.spots, adata.obs_names),
        pathway_groups(found.pathways, adata.obs_names),
        cell_type_groups(found.cell_types, adata.obs_names, colours),
    )
    view = build_view(sample, adata, groups)
    main_domain = _main_domain(found.domains)
    records = step_records(found)
    return pages.render(
        "sample.html.j2",
        styles=STYLES,
        scripts=SCRIPTS,
        sample=sample,
        noun=noun,
        status=str(found.check.get("status", "pass")),
        context=_context(about, view.scene["mpp"]),
        headline=summaries.headline(adata, found.domains),
        view_notes=_view_notes(view, adata, noun),
        image=view.image,
        scene=pages.json_block(view.scene),
        blob=view.blob,
        quality_figures=summaries.quality_figures(adata),
        dropped=summaries.dropped_reasons(adata),
        thresholds=summaries.thresholds(adata),
        qc_figure=small_picture(qc_figure) if qc_figure else "",
        compositions={
            method: summaries.composition(table, main_domain, colours)
            for method, table in found.proportions.items()
        },
        comparisons=compare_methods(found.proportions, f"{noun}s"),
        models=_models(found),
        image_section=image_section(found.image, adata, noun),
        tiles=found.tiles,
        cell_types=cell_types_section(found.cell_types, noun),
        pseudo_spots=pseudo_spots_section(found.pseudo_spots),
        annotations=spot_models.annotations(found.spots, noun),
        perturbations=spot_models.perturbations(found.spots),
        pathways=pathway_section(found.pathways, found.evaluation),
        heat_map=summaries.neighbourhood(found.statistics["neighborhood_enrichment"]),
        top_genes=summaries.top_genes(found.statistics["moran"]),
        top_pairs=summaries.top_pairs(found.statistics["ligand_receptor"]),
        imputations=[
            summaries.imputation(data, method)
            for method, data in found.imputed.items()
            if method not in found.image.expression
        ],
        scores=scores.tables(found.evaluation),
        check_findings=found.check.get("findings", []),
        facts=_plain_items(found.check.get("facts", {})),
        steps=summaries.steps(records),
        versions=summaries.versions([*records.values(), dict(about)]),
        methods=how,
        row=_plain_items(row),
        missing=MISSING,
    )


def _models(found: SampleFiles) -> list[dict]:
    """A section for each method with a pretrained model, then for models that made no proportions."""
    named = [name for name in found.proportions if name in found.models or name in found.attributions]
    named += [name for name in found.models if name not in found.proportions]
    records = {name: table.attrs.get("tissuemake") for name, table in found.proportions.items()}
    return [
        model_section(
            name, found.models.get(name), found.attributions.get(name), found.markers, records.get(name)
        )
        for name in named
    ]


def _main_domain(domains: pd.DataFrame) -> pd.Series | None:
    if not len(domains.columns):
        return None
    return domains["spatial" if "spatial" in domains else domains.columns[0]]


def _context(about: dict, mpp: float) -> list[str]:
    """Assay, organism, tissue, what wrote the data and the scale, as far as known."""
    keys = ("assay", "organism", "tissue", "donor", "software", "chemistry", "layout")
    said = [str(about[key]) for key in keys if about.get(key)]
    return [*dict.fromkeys(said), f"{pages.number(mpp)} µm per pixel"]


def _view_notes(view, adata: ad.AnnData, noun: str) -> list[str]:
    notes = []
    if not view.image:
        notes.append(f"This sample has no tissue image; the {noun}s stand at their coordinates.")
    if view.shown < adata.n_obs:
        notes.append(
            f"A random {MAX_SHOWN:,} of {adata.n_obs:,} {noun}s are drawn; the numbers below are of all."
        )
    return notes


def _plain_items(content: dict) -> list[tuple[str, object]]:
    """The entries of a dict as names and table cells, without the empty ones."""
    items = [(name.replace("_", " "), _cell(value)) for name, value in pages.plain(content).items()]
    return [(name, value) for name, value in items if value not in ("", None)]


def _cell(value: object) -> object:
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_cell(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(str(_cell(item)) for item in value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
