"""Shell: the pretraining cohort from its files, to teach the image gate of a model; and a sample's tiles to use it."""

import logging
from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tissuemake.device import Device
from tissuemake.errors import InputError
from tissuemake.files import sha256
from tissuemake.models.checkpoints import discard_checkpoints
from tissuemake.models.sparank.deconvolve import Model, align
from tissuemake.models.sparank.distil import train_gate
from tissuemake.models.sparank.model import Reference, SpaRank
from tissuemake.models.sparank.thin_sections import Distillation, TiledSection
from tissuemake.models.sparank.tile_images import TileImages, read_tile_images
from tissuemake.raw_counts import read_spots

log = logging.getLogger(__name__)

# Of a section so many spots teach: enough to know what its tissue looks like, and little memory.
MOST_SPOTS = 2000


def teach_gate(
    network: SpaRank,
    reference: Reference,
    sections: Sequence[tuple[Path, Path]],
    state: dict[str, Tensor],
    config: dict,
    checkpoints: Path,
    device: Device,
    seed: int,
    plan: Distillation | None = None,
) -> tuple[dict[str, Tensor], dict]:
    """Teach a gate on `sections` and return the model's weights and config with it.

    Parameters
    ----------
    sections
        ``filtered.h5ad`` and tile embeddings of each sample of the cohort; those without an image are passed over.
    state, config
        Of the model without a gate; they are not changed. What is added: weights ``gate.*``, and ``images`` with the
        encoder, the number of its features and the files of each section by hash.
    checkpoints
        Where a killed training goes on from; ``gate`` below it is this one's.

    Raises
    ------
    InputError
        ``no_sections`` when no section has an image, ``mixed_encoders`` when they come from different ones.
    """
    vocabulary = pd.DataFrame({"gene_id": config["gene_ids"]}, index=pd.Index(config["genes"], dtype=str))
    model = Model(network, reference, config["types"], vocabulary, None, config)
    taught, encoders, hashes = [], {}, {}
    for number, (filtered, embeddings) in enumerate(sections):
        spots = read_spots(filtered)
        images = read_tile_images(embeddings, spots.obs_names)
        name = str(spots.uns.get("tissuemake", {}).get("sample") or filtered)
        if not images.seen.any():
            log.warning("%s has no tile under its spots: it does not teach the image gate.", name)
            continue
        encoders[images.encoder, len(images.features)] = name
        hashes[name] = {"filtered": sha256(filtered), "embeddings": sha256(embeddings)}
        taught.append(_section(spots, images, model, str(filtered), seed + number))
    if len(encoders) > 1:
        found = ", ".join(f"{encoder} ({name})" for (encoder, _), name in encoders.items())
        raise InputError(
            "mixed_encoders",
            f"The tiles of the pretraining cohort come from different encoders: {found}.",
            "Embed all of them with one encoder and one version.",
        )
    kept = checkpoints / "gate"
    options = {"checkpoints": kept, "device": device, "seed": seed, "identity": {"sections": hashes}}
    gate, curve = train_gate(network, reference, taught, plan=plan, **options)
    encoder, features = next(iter(encoders))
    learnt = {"encoder": encoder, "features": features, "sections": hashes}
    learnt |= {"divergence": curve.best, "steps": curve.best_step}
    discard_checkpoints(kept)
    weights = {f"gate.{name}": value for name, value in gate.state_dict().items()}
    return state | weights, config | {"images": learnt}


def read_images(
    embeddings: Path, barcodes: pd.Index, learnt: dict
) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """Tile embeddings (spots, features) of a sample and whether each spot has one; None where no spot has.

    Parameters
    ----------
    learnt
        ``images`` of the model's config.

    Raises
    ------
    InputError
        ``wrong_encoder`` when the model learnt to look at another encoder's embeddings.
    """
    images = read_tile_images(embeddings, barcodes)
    if (images.encoder, len(images.features)) != (learnt["encoder"], learnt["features"]):
        raise InputError(
            "wrong_encoder",
            f"{embeddings} holds {len(images.features)} features of the encoder '{images.encoder}'; the model learnt "
            f"to look at {learnt['features']} of '{learnt['encoder']}'.",
            f"Set models: sparank: images to '{learnt['encoder']}', or leave it empty to use the counts alone.",
        )
    if not images.seen.any():
        log.info("No spot has a tile of its own: the counts speak alone.")
        return None, None
    return torch.from_numpy(images.vectors), torch.from_numpy(images.seen)


def _section(spots: ad.AnnData, images: TileImages, model: Model, name: str, seed: int) -> TiledSection:
    """The spots of a sample that have a tile, at most `MOST_SPOTS` of them."""
    chosen = np.flatnonzero(images.seen)
    if len(chosen) > MOST_SPOTS:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, MOST_SPOTS, replace=False))
    counts, measured = align(spots[chosen], model, name)
    facts = spots.uns.get("tissuemake", {})
    donor = str(facts.get("donor") or facts.get("sample") or name)
    return TiledSection(donor, counts, measured, torch.from_numpy(images.vectors[chosen]))
