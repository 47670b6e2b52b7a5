"""Cell types per spot with a pretrained model: files in, tables out; nothing is trained."""

import logging
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tissuemake.contracts import (
    ATTRIBUTIONS,
    GATE,
    PROPORTIONS,
    REFERENCE,
    SD_SUFFIX,
    UNKNOWN,
    read_anndata,
    write_table,
)
from tissuemake.device import Device, given_device
from tissuemake.errors import InputError
from tissuemake.gene_matching import match_vocabulary
from tissuemake.hierarchy import hierarchy_of
from tissuemake.models.sparank.architecture import Architecture
from tissuemake.models.sparank.fusion import ImageGate
from tissuemake.models.sparank.intervals import is_table
from tissuemake.models.sparank.model import Reference, SpaRank
from tissuemake.models.sparank.predict import Answer, attribute, compose
from tissuemake.models.store import load_model
from tissuemake.provenance import measured
from tissuemake.raw_counts import read_spots

log = logging.getLogger(__name__)

GENES_PER_TYPE = 20


@dataclass(frozen=True)
class Model:
    """A loaded model: its network, the atlas it answers for, and its vocabulary."""

    network: SpaRank
    reference: Reference
    types: list[str]
    vocabulary: pd.DataFrame
    gate: ImageGate | None
    config: dict


def open_model(where: str | Path) -> Model:
    """Load a model folder or hub id; raises as `store.load_model`, and ``outdated_model``."""
    state, config = load_model(where, "sparank")
    if not is_table(config["intervals"]):
        raise InputError(
            "outdated_model",
            f"The model {where} states its intervals in a form that this version does not read.",
            "Pretrain it again with this version, or take weights that it wrote.",
        )
    types = config["types"]
    network = SpaRank(Architecture(**config["architecture"]), len(config["genes"]), len(types))
    network.load_state_dict(_under("network.", state))
    reference = Reference(
        state["reference.signature"], torch.tensor(config["medians"]), torch.arange(len(types))
    )
    gate = None
    if "images" in config:
        gate = ImageGate(len(types) + 1, config["architecture"]["width"], config["images"]["features"])
        gate.load_state_dict(_under("gate.", state))
        gate.eval()
    vocabulary = pd.DataFrame({"gene_id": config["gene_ids"]}, index=pd.Index(config["genes"], dtype=str))
    return Model(network.eval(), reference, types, vocabulary, gate, config)


def with_atlas(model: Model, reference: str | Path, genes: int = 2000) -> Model:
    """Show the model another prepared atlas: its types and genes, the same weights.

    Raises
    ------
    InputError
        ``fixed_head`` when the model knows the types of its own atlas only.
    """
    from tissuemake.models.sparank.atlas import as_reference, choose_genes
    from tissuemake.reference.markers import find_markers
    from tissuemake.reference.signatures import depth_normalised, mean_by_type

    if model.config["architecture"]["head"] != "query":
        raise InputError(
            "fixed_head",
            f"The model on '{model.config['reference']}' has a fixed head; it cannot take the types of {reference}.",
            "Pretrain one with the query head, or one on that atlas.",
        )
    atlas = read_anndata(reference, REFERENCE)
    values = depth_normalised(atlas.X)
    profile = mean_by_type(values, atlas.obs["cell_type"], atlas.var_names)
    chosen = choose_genes(atlas, find_markers(values, atlas.obs["cell_type"], profile), genes)
    types = sorted(atlas.obs["cell_type"].astype(str).unique())
    facts = atlas.uns["tissuemake"]
    config = model.config | {"shown": str(facts["reference"]), "organism": str(facts["organism"])}
    config["hierarchy"] = hierarchy_of(atlas.uns)
    vocabulary = atlas.var[["gene_id"]].iloc[chosen]
    return Model(model.network, as_reference(atlas, chosen, types), types, vocabulary, None, config)


def deconvolve_sparank(
    filtered: str | Path,
    model: str | Path,
    output: str | Path,
    attributions: str | Path | None = None,
    *,
    seed: int = 0,
    gpus: int = 0,
    embeddings: str | Path | None = None,
    reference: str | Path | None = None,
    aliases: str | Path | None = None,
    orthologs: str | Path | None = None,
) -> None:
    """Estimate the composition of every spot and write it (contract PROPORTIONS), with `unknown` and sd columns.

    Parameters
    ----------
    filtered
        One of our ``filtered.h5ad``, or any h5ad with raw counts: one section.
    model
        Folder or hub id of a pretrained model.
    attributions
        Where to write the genes that spoke for each type (contract ATTRIBUTIONS); None: not computed.
    embeddings
        Embeddings of the spots' tiles, used if the model has learnt to look at those of this encoder.
    reference
        Another prepared atlas whose types the model is to name.
    aliases, orthologs
        Tables for gene names, see `gene_matching.match_vocabulary`.

    Raises
    ------
    InputError
        Those of `load_model`, `read_spots` and `match_vocabulary`; ``gpu_not_visible``, ``fixed_head``.
    """
    device = given_device(gpus)
    opened = open_model(model)
    if reference is not None:
        opened = with_atlas(opened, reference)
    spots = read_spots(filtered)
    with measured(
        "sparank",
        seed=seed,
        device=device.name,
        model=str(model),
        weights_sha256=opened.config["weights"]["sha256"],
        n_spots=spots.n_obs,
        n_types=len(opened.types),
    ) as record:
        counts, known = align(spots, opened, str(filtered), aliases, orthologs)
        record["n_genes"] = int(known.sum())
        record["hierarchy"] = opened.config.get("hierarchy", {})
        record["spots_without_signal"] = int((counts.sum(1) == 0).sum())
        images, seen = _images(embeddings, opened, spots.obs_names)
        answer = answer_for(opened, counts, known, device, seed, images, seen)
        table = as_table(answer, opened.types, spots.obs_names)
        genes = speaking_genes(opened, counts, known, answer, device, seed) if attributions else None
    write_table(table, output, PROPORTIONS, record)
    if genes is not None:
        write_table(genes, attributions, ATTRIBUTIONS, record)


def align(
    spots: ad.AnnData,
    model: Model,
    name: str,
    aliases: str | Path | None = None,
    orthologs: str | Path | None = None,
) -> tuple[Tensor, Tensor]:
    """Counts (spots, vocabulary) float32 and mask (vocabulary,) of what the sample measures."""
    facts = spots.uns.get("tissuemake", {})
    match = match_vocabulary(
        spots.var,
        model.vocabulary,
        sample_name=name,
        model_name=f"the model on '{model.config.get('shown', model.config['reference'])}'",
        sample_organism=str(facts.get("organism", "")),
        model_organism=model.config["organism"],
        aliases=aliases,
        orthologs=orthologs,
    )
    counts = np.zeros((spots.n_obs, len(model.vocabulary)), dtype=np.float32)
    counts[:, match.right] = spots.X[:, match.left].toarray()
    known = torch.zeros(len(model.vocabulary), dtype=torch.bool)
    known[torch.as_tensor(np.asarray(match.right))] = True
    return torch.from_numpy(counts), known


def answer_for(
    model: Model,
    counts: Tensor,
    known: Tensor,
    device: Device,
    seed: int = 0,
    images: Tensor | None = None,
    seen: Tensor | None = None,
) -> Answer:
    """Composition of all spots, on `device`; the answer stands on the CPU."""
    place = device.torch_name
    network, reference = model.network.to(place), _moved(model.reference, place)
    gate = model.gate.to(place) if model.gate is not None else None
    answer = compose(
        network,
        counts.to(place),
        known.to(place),
        reference,
        model.config["intervals"],
        gate=gate,
        images=None if images is None else images.to(place),
        seen=None if seen is None else seen.to(place),
        seed=seed,
    )
    gates = None if answer.gate is None else answer.gate.cpu()
    return Answer(answer.mean.cpu(), answer.sd.cpu(), gates)


def as_table(answer: Answer, types: list[str], barcodes: pd.Index) -> pd.DataFrame:
    """Shares of the types and the unknown, their sd, and the gate where an image was used."""
    names = [*types, UNKNOWN]
    mean = answer.mean.double().clamp_min(0)
    table = pd.DataFrame((mean / mean.sum(1, keepdim=True)).numpy(), index=barcodes, columns=names)
    sd = pd.DataFrame(answer.sd.double().numpy(), index=barcodes, columns=[f"{n}{SD_SUFFIX}" for n in names])
    table = pd.concat([table, sd], axis=1)
    if answer.gate is not None:
        table[GATE] = answer.gate.numpy().astype(float)
    return table


def speaking_genes(
    model: Model, counts: Tensor, known: Tensor, answer: Answer, device: Device, seed: int = 0
) -> pd.DataFrame:
    """The genes that raised each type's share most: columns cell_type, gene, score, rank (1 the strongest)."""
    place = device.torch_name
    reference = _moved(model.reference, place)
    scores = attribute(
        model.network.to(place), counts.to(place), known.to(place), reference, answer.mean.to(place), seed
    )
    parts = []
    for kind, name in enumerate(model.types):
        score = pd.Series(scores[kind].numpy(), index=model.vocabulary.index)[known.numpy()]
        top = score[score > 0].nlargest(GENES_PER_TYPE)
        parts.append(
            pd.DataFrame(
                {
                    "cell_type": name,
                    "gene": top.index,
                    "score": top.to_numpy(),
                    "rank": np.arange(1, len(top) + 1),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _images(
    embeddings: str | Path | None, model: Model, barcodes: pd.Index
) -> tuple[Tensor | None, Tensor | None]:
    if embeddings is None or model.gate is None:
        return None, None
    from tissuemake.models.sparank.cohort import read_images

    return read_images(Path(embeddings), barcodes, model.config["images"])


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _moved(reference: Reference, place: str) -> Reference:
    return Reference(reference.signature.to(place), reference.medians.to(place), reference.kinds.to(place))
