"""Ask a pretrained model of a slide: pathways and genes of every spot from its H&E alone, and who looked at whom."""

import logging
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from tissuemake.contracts import FILTERED, IMPUTED, PATHWAYS, read_anndata, write_anndata, write_table
from tissuemake.device import Device, given_device
from tissuemake.errors import InputError
from tissuemake.evaluation import held_out
from tissuemake.models.quadflow.asked import Asked, read_asked, with_expression
from tissuemake.models.quadflow.attention_tables import COLUMNS, attention_table, write_attention
from tissuemake.models.quadflow.model import Answer, build_model
from tissuemake.models.quadflow.section import Patches
from tissuemake.models.store import load_model, weights_hash
from tissuemake.provenance import measured

log = logging.getLogger(__name__)


class Quadflow:
    """A trained model with its vocabularies.

    Attributes
    ----------
    pathways, genes
        Names, (P,) and (G,).
    donors
        Whose tissue it was taught on.
    """

    def __init__(self, state: dict, config: dict, device: Device) -> None:
        self.pathways: list[str] = list(config["pathways"])
        self.genes = pd.DataFrame({"gene_id": config["gene_ids"]}, index=pd.Index(config["genes"], dtype=str))
        self.donors: list[str] = list(config["donors"])
        self.encoder: str = config["encoder"]
        self.features: list[str] = list(config["features"])
        self.model = build_model(state, config)
        self.device = device

    @property
    def reads_expression(self) -> bool:
        """Whether an answer takes the expression of the patches besides their image."""
        return self.model.reader.loadings is not None

    def answer(self, slide: Patches, *, genes: bool = True) -> Answer:
        """Return what the model says of the patches of a slide."""
        return self.model.answer(slide, self.device.torch_name, genes=genes)

    def refuse_other_encoder(self, tiles: ad.AnnData, embeddings: Path) -> None:
        """Raise ``wrong_encoder`` unless `tiles` were embedded by the encoder that the model was taught with."""
        encoder = str(tiles.uns["tissuemake"]["encoder"])
        if encoder != self.encoder or list(tiles.var_names) != self.features:
            raise InputError(
                "wrong_encoder",
                f"The model reads embeddings of '{self.encoder}' ({len(self.features)} features), {embeddings} holds "
                f"'{encoder}' ({tiles.n_vars} features).",
                f"Give the embeddings of '{self.encoder}' (config: models: quadflow: encoder).",
            )


def load_quadflow(model: Path | str, gpus: int = 0) -> Quadflow:
    """Load a model folder or hub id; errors are those of `store.load_model`, and ``wrong_model``."""
    state, config = load_model(model, "quadflow")
    return Quadflow(state, config, given_device(gpus))


def predict_pathways(
    embeddings: Path,
    model: Path | str,
    output_pathways: Path,
    output_genes: Path | None = None,
    output_attention: Path | None = None,
    *,
    filtered: Path | None = None,
    microns_per_pixel: float | None = None,
    gpus: int = 0,
) -> None:
    """Write what the model says of a slide: contract PATHWAYS and, where a path is given, IMPUTED and attention.

    Transcripts take no part, unless the model was taught to read them too: then no gene is scored. Where `filtered` is
    given, rows are its barcodes (NaN without a tile), and genes are
    scored against it, unless the model was taught on tissue of the same donor: then ``held_out_r`` is missing. A
    sample without an image gets tables without pathways and genes, whose ``reason`` says so: in a cohort that must
    not keep its page from being written.

    Parameters
    ----------
    embeddings
        Of the encoder that the model was taught with.
    filtered, microns_per_pixel
        See `asked.read_asked`.

    Raises
    ------
    InputError
        ``wrong_encoder``, ``no_images`` (without `filtered`), ``missing_scale``, ``expression_needed``,
        ``no_shared_genes``; those of `load_quadflow`.
    """
    made_by = {"model": str(model), "weights_sha256": weights_hash(model) if Path(model).is_dir() else ""}
    with measured("quadflow", **made_by) as record:
        network = load_quadflow(model, gpus)
        try:
            asked = read_asked(embeddings, filtered, microns_per_pixel)
        except InputError as error:
            if error.code != "no_images" or filtered is None:
                raise
            log.warning("%s", error)
            record |= {"encoder": network.encoder, "reason": str(error)}
            _write_nothing(filtered, record, output_pathways, output_genes, output_attention)
            return
        network.refuse_other_encoder(asked.tiles, embeddings)
        if network.reads_expression:
            asked = with_expression(asked, filtered, network.genes.index)
        answer = network.answer(asked.slide, genes=output_genes is not None)
        taught = bool(asked.donors & set(network.donors))
        record |= {
            "device": network.device.name,
            "encoder": network.encoder,
            "pretrained_on_this_donor": taught,
            "reads_expression": network.reads_expression,
            "n_spots_without_tile": int((asked.patch < 0).sum()),
        }
    table = pd.DataFrame(asked.per_row(answer.activities), index=asked.rows, columns=network.pathways)
    write_table(table, output_pathways, PATHWAYS, record)
    if output_genes is not None:
        genes = _genes(asked, network, answer, filtered, scored=not (taught or network.reads_expression))
        genes.uns["tissuemake"] = record
        write_anndata(genes, output_genes, IMPUTED)
    if output_attention is not None:
        looked = attention_table(
            answer.attention, answer.activities, network.pathways, asked.tiles.obs_names[asked.slide.rows]
        )
        write_attention(looked, output_attention, record)


def _write_nothing(
    filtered: Path, record: dict, pathways: Path, genes: Path | None, attention: Path | None
) -> None:
    """Write tables that say nothing but why."""
    adata = read_anndata(filtered, FILTERED)
    write_table(pd.DataFrame(index=adata.obs_names), pathways, PATHWAYS, record)
    if genes is not None:
        columns = {"gene_id": str, "measured": bool, "held_out_r": float, "held_out_r_depth_adjusted": float}
        var = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
        empty = held_out.assemble(adata, np.zeros((adata.n_obs, 0)), var, var)
        empty.obsm["spatial"] = np.asarray(adata.obsm["spatial"], float)
        empty.obs["total_counts"] = adata.obs["total_counts"].to_numpy()
        empty.uns["tissuemake"] = {**record, "note": record["reason"]}
        write_anndata(empty, genes, IMPUTED)
    if attention is not None:
        write_attention(pd.DataFrame(columns=list(COLUMNS)), attention, record)


def _genes(
    asked: Asked, network: Quadflow, answer: Answer, filtered: Path | None, *, scored: bool
) -> ad.AnnData:
    """Genes of every row, as `imputation` writes them; as many as fit where there are very many rows."""
    most = held_out.most_genes(len(asked.rows))
    var = network.genes.iloc[:most].copy()
    values = asked.per_row(answer.genes[:, : len(var)])
    scores = pd.DataFrame(columns=["held_out_r", "held_out_r_depth_adjusted"], dtype=float)
    var["measured"] = False
    if filtered is None:
        bare = ad.AnnData(obs=pd.DataFrame(index=asked.rows))
        genes = held_out.assemble(bare, values, var, scores)
    else:
        adata = read_anndata(filtered, FILTERED)
        var["measured"] = var.index.isin(adata.var_names)
        seen = asked.patch >= 0
        if scored and seen.sum() > 2:
            known = np.flatnonzero(var["measured"])
            column = adata.var_names.get_indexer(var.index[known])
            scores = held_out.score(adata[seen], column, values[seen][:, known])
        genes = held_out.assemble(adata, values, var, scores)
        genes.obs["total_counts"] = adata.obs["total_counts"].to_numpy()
    genes.obsm["spatial"] = asked.places
    return genes
