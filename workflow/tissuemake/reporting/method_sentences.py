"""The sentences of the methods paragraph, a function per part of the work; ``[@key]`` stands for a citation."""

from collections.abc import Iterable

from tissuemake.reporting.pages import number

ASSAYS = {
    "visium": "Visium", "visium_hd": "Visium HD", "xenium": "Xenium", "st": "legacy Spatial Transcriptomics",
    "h5ad": "an AnnData file", "spatialdata": "a SpatialData store",
}  # fmt: skip
LIMITS = {
    "min_counts": "fewer than {} counts",
    "max_counts": "more than {} counts",
    "min_genes": "fewer than {} genes",
    "max_pct_mt": "more than {}% mitochondrial counts",
    "max_pct_control": "more than {}% control counts",
}
OFF_TISSUE = "off tissue"
SOURCES = {
    "robust": "from this sample's median and median absolute deviation",
    "floor": "the least that the assay asks for",
    "config": "set by the user",
}
DECONVOLUTION = {
    "nnls": "non-negative least squares weighted by counting noise (nnls)",
    "nnls_rescaled": "non-negative least squares after platform factors per gene, spots reweighted (nnls_rescaled) "
    "[@rctd] [@dwls]",
    "sparank": "a pretrained network that reads the ranks of genes beside least squares (sparank) [@sparank] [@torch]",
    "tangram": "Tangram [@tangram] [@torch]",
    "cell2location": "cell2location [@cell2location] [@torch]",
}
IMPUTATION = {
    "reference": "the reference's profiles mixed by the estimated composition (reference)",
    "neighbors": "ridge regression on principal components of the other genes, in place and in two rings around it "
    "(neighbors)",
    "sagefm": "a pretrained spatial graph network (sagefm) [@sagefm] [@torch]",
    "combined": "whichever of these was better on hidden genes, gene by gene (combined)",
}
SAID = {
    "deconvolution", "cell_types", "imputation", "expression_from_the_image", "domains", "morans_i", "moran",
    "neighborhood_enrichment", "ligand_receptor", "tiles", "embedding_of_tiles", "tumour", "finer_map",
    "embedding_of_spots", "annotation", "perturbation", "pathways", "pathways_at_the_border", "evaluation",
}  # fmt: skip


def listed(items: Iterable[object]) -> str:
    """``a, b and c``."""
    items = [str(item) for item in items]
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def noun(d: dict) -> str:
    """What the sample consists of, in plural."""
    return f"{d['input'].get('observation') or 'spot'}s"


def version(d: dict, package: str, name: str) -> str:
    """A package with its version, or two where steps differed."""
    found = d["versions"].get(package)
    return f"{name} {' / '.join(found)}" if found else name


def step(d: dict, name: str) -> dict:
    """Records of a step by method."""
    return d["steps"].get(name, {})


def data(d: dict) -> str:
    """What was measured, by what, and how much of it came in."""
    made = d["input"]
    of = " ".join(str(made[key]) for key in ("organism", "tissue") if made.get(key))
    text = (
        f"Sample {d['sample']}{f' ({of})' if of else ''} came from {ASSAYS.get(made['assay'], made['assay'])}"
    )
    by = ", ".join(str(made[key]) for key in ("software", "chemistry") if made.get(key))
    text += f", written by {by}" if by else ""
    size = [f"{number(made['n_observations'])} {noun(d)}"] if made.get("n_observations") else []
    size += [f"{number(made['n_genes'])} genes"] if made.get("n_genes") else []
    text += f": {listed(size)}" if size else ""
    if made.get("median_counts"):
        text += f", with a median of {number(made['median_counts'])} counts per {noun(d)[:-1]}"
    text += "."
    if made.get("microns_per_pixel"):
        text += (
            f" A pixel of the image that coordinates refer to is {number(made['microns_per_pixel'], 4)} µm."
        )
    return text


def quality(d: dict) -> str:
    """Thresholds with their source, what they dropped, and the transform."""
    cut, things = d["filter"], noun(d)
    limits = [
        f"{LIMITS[name].format(number(limit['value']))} ({SOURCES.get(limit['source'], limit['source'])})"
        for name, limit in cut["thresholds"].items()
        if name in LIMITS
    ]
    text = f"Of the {things} under tissue, those with {listed(limits)} were left out. " if limits else ""
    local = cut["thresholds"].get("local_outlier_mads")
    if local:
        text += (
            f"So were {things} further than {number(local['value'])} median absolute deviations from the {things} "
            "around them in counts, genes or mitochondrial share [@spotsweeper]. "
        )
    dropped = {reason: n for reason, n in cut["dropped"].items() if reason != OFF_TISSUE}
    why = ", ".join(f"{reason}: {number(n)}" for reason, n in dropped.items())
    inside = cut.get("n_in_tissue", cut["n_kept"] + cut["n_dropped"] - cut["dropped"].get(OFF_TISSUE, 0))
    text += f"{number(cut['n_kept'])} of {number(inside)} {things} remained{f' ({why})' if why else ''}"
    gone = cut.get("n_genes_without_counts")
    text += f"; {number(gone)} genes without counts were left out. " if gone else ". "
    norm = d["normalisation"]
    return text + (
        f"Counts of {number(norm['n_genes'])} genes were scaled to {number(norm['counts_per'])} per {things[:-1]} and "
        f"transformed by log(1 + x) with {version(d, 'scanpy', 'Scanpy')} [@scanpy]."
    )


def cell_types(d: dict) -> str:
    """Deconvolution, and labels of single cells."""
    found, named = step(d, "deconvolution"), d["reference"].get("name", "")
    text = ""
    if found:
        facts = d["reference"].get("facts", {})
        cells = f" ({number(facts['n_observations'])} cells)" if facts.get("n_observations") else ""
        of = f" of the reference '{named}'{cells}" if named else ""
        types = max(int(record.get("n_types", 0)) for record in found.values())
        how = [_with_genes(DECONVOLUTION.get(name, name), record) for name, record in found.items()]
        text = f"Shares of {types} cell types{of} in each {noun(d)[:-1]} were estimated by {listed(how)}."
        text += _weights(d, found)
    for record in step(d, "cell_types").values():
        sure = number(record.get("sure", 0.5))
        first = next(iter(record.get("methods", ())), "transfer")
        how = f"the largest share by {first}"
        if first == "transfer":
            how = "the one whose mean profile in the reference makes its counts most likely"
        text += f" Each {noun(d)[:-1]} got one type, {how}, or unknown below a confidence of {sure}."
    return text.strip()


def _with_genes(how: str, record: dict) -> str:
    return f"{how}, on {number(record['n_genes'])} genes" if record.get("n_genes") else how


def _weights(d: dict, found: dict) -> str:
    """A sentence with the hashes of the weights that a step's methods read."""
    hashes = [
        (name, str(record.get("weights_sha256") or d["models"].get(name, {}).get("weights_sha256", "")))
        for name, record in found.items()
    ]
    said = listed(f"{name} {sha[:16]}" for name, sha in hashes if sha)
    return f" Weights (first digits of their SHA-256): {said}." if said else ""


def imputation(d: dict) -> str:
    """Genes predicted from other genes."""
    found = step(d, "imputation")
    if not found:
        return ""
    text = f"Genes were imputed by {listed(IMPUTATION.get(name, name) for name in found)}."
    hidden = max((int(record.get("n_held_out") or 0) for record in found.values()), default=0)
    if hidden:
        text += f" Methods were scored on {number(hidden)} genes that were hidden from them."
    taught = [name for name, record in found.items() if record.get("pretrained_on_this_donor")]
    text += f" Pretrained on this donor, and so not scored: {listed(taught)}." if taught else ""
    return text + _weights(d, found)


def domains(d: dict) -> str:
    """Clusters and the statistics over neighbours."""
    text = ""
    for record in step(d, "domains").values():
        around = f" (radius {number(record['radius_um'])} µm)" if record.get("radius_um") else ""
        names = listed(f"{n} by '{name}'" for name, n in d["domains"].items())
        seen = [str(name) for name in record.get("encoders", [])]
        image = {*seen, *(f"{name}+expression" for name in seen)}
        embedded = [name for name in d["domains"] if name not in {"pca", "spatial", *image}]
        text = (
            f"Domains were found by Leiden clustering [@leiden] at resolution {number(record.get('resolution'))} of "
            "principal components of expression ('pca'), of these joined with those of the neighbourhood"
            f"{around} ('spatial') [@banksy]"
        )
        text += ", and of those of the image" if seen else ""
        text += f", and by Gaussian mixtures in the numbers of {listed(embedded)}" if embedded else ""
        text += f": {names}. "
    if step(d, "neighborhood_enrichment") or step(d, "moran"):
        tool = version(d, "squidpy", "Squidpy")
        text += f"Moran's I and neighbourhood enrichment were computed with {tool} [@squidpy]"
        if step(d, "ligand_receptor"):
            text += ", ligand-receptor pairs scored with LIANA+ [@liana], its table [@liana_resource] and the test of "
            text += "SpatialDM [@spatialdm]"
        text += "."
    return text.strip()


def image(d: dict) -> str:
    """Tiles, encoders, and what heads read off them."""
    text = ""
    for record in step(d, "tiles").values():
        text = f"H&E tiles of {number(record.get('tile_um'))} µm ({number(record.get('tile_px'))} pixels) were cut "
        text += "with OpenSlide [@openslide] or tifffile [@tifffile]"
        stain = str(record.get("stain_normalization") or "")
        text += (
            f", their stain normalised ({stain} [@{stain}]). " if stain in ("macenko", "reinhard") else ". "
        )
    encoders = step(d, "embedding_of_tiles")
    text += (
        f"They were turned into numbers by {listed(map(_encoder, encoders.items()))}. " if encoders else ""
    )
    if step(d, "expression_from_the_image"):
        by = listed(step(d, "expression_from_the_image"))
        text += (
            f"Genes were predicted from the image by {by}; heads on encoders are ridge regressions [@hest]. "
        )
    for name, record in step(d, "tumour").items():
        labels = listed(record.get("tumor_labels", [])) or "tumour"
        text += (
            f"Tumour ('{labels}') was read off '{name}' by a head fitted on labelled samples of the cohort. "
        )
    if step(d, "finer_map"):
        text += f"Expression between and inside spots was predicted from {listed(step(d, 'finer_map'))}. "
    return text.strip() + _weights(d, encoders)


def _encoder(entry: tuple[str, dict]) -> str:
    name, record = entry
    if name == "color":
        return "measures of stain, texture and nuclei ('color')"
    if name == "spafoundation":
        return (
            "a Vision Transformer taught on tiles by iBOT ('spafoundation') [@spafoundation] [@ibot] [@torch]"
        )
    source = str(record.get("reference", ""))
    return f"the published network '{name}'" + (
        f" [@encoder:{name}]" if source not in ("", "this project") else ""
    )


def spot_models(d: dict) -> str:
    """What the spatial graph model was asked beside genes."""
    embedded, labels, answers = (
        step(d, name) for name in ("embedding_of_spots", "annotation", "perturbation")
    )
    text = ""
    if embedded:
        text += f"Each {noun(d)[:-1]} and those around it were embedded by {listed(embedded)} [@sagefm]. "
    if labels:
        text += "Labels were learnt on labelled samples of other donors in these numbers. "
    if answers:
        text += "Ligands were changed in silico in the neighbours; the answers of targets were tested by permutation. "
    return text.strip() + _weights(d, {**embedded, **answers})


def pathways(d: dict) -> str:
    """Gene sets, their scores, and the model that reads them off the image."""
    found, text = step(d, "pathways"), ""
    for name, record in found.items():
        text += (
            _measured_sets(record)
            if name == "measured"
            else f" '{name}' read pathways off the image [@torch]."
        )
    if any(not record.get("reason") for record in step(d, "pathways_at_the_border").values()):
        text += " Their means were followed by distance from the border of the tumour."
    return text.strip() + _weights(d, found)


def _measured_sets(record: dict) -> str:
    library = str(record.get("library"))
    named = f"{library} [@hallmark]" if "Hallmark" in library else library
    how, by = record.get("method"), record.get("scaled_by")
    if not record.get("genes"):
        return f" No gene set of {named} could be scored: too few of their genes were measured."
    tool = f" by {how} of decoupler [@decoupler]" if how in ("ulm", "aucell") else " by mean z-scores"
    return (
        f" {len(record['genes'])} gene sets of {named} were scored{tool} (depth: {record.get('depth')}), scaled by "
        f"{listed(by) if isinstance(by, list) else by}."
    )


def software(d: dict) -> str:
    """Versions, seeds and devices, and whatever no other sentence spoke of."""
    more = [
        f"{version(d, package, name)} [@{package}]"
        for package, name in (("anndata", "anndata"), ("spatialdata", "SpatialData"), ("numpy", "NumPy"))
    ]
    text = f"Everything ran in {version(d, 'tissuemake', 'tissuemake')} [@tissuemake]"
    text += (
        f" under {version(d, 'snakemake', 'Snakemake')} [@snakemake]" if "snakemake" in d["versions"] else ""
    )
    text += f", with {version(d, 'python', 'Python')}, {listed(more)}."
    seeds = listed(d["seeds"])
    text += f" Seed: {seeds}." if seeds else ""
    text += f" Devices: {listed(d['devices'])}." if d["devices"] else ""
    others = [
        f"{name.replace('_', ' ')} ({listed(d['steps'][name])})" for name in d["steps"] if name not in SAID
    ]
    return text + (f" Further steps: {listed(others)}." if others else "")
