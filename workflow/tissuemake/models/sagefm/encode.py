"""Ask a pretrained model of a section: an embedding of every spot, and expression of every gene it knows."""

from pathlib import Path

import anndata as ad
import numpy as np
import torch
from torch import Tensor

from tissuemake.contracts import FILTERED, SPOT_EMBEDDINGS, read_anndata, write_anndata
from tissuemake.device import Device, given_device
from tissuemake.errors import InputError
from tissuemake.models.sagefm.architecture import Architecture
from tissuemake.models.sagefm.build import build_network, neighborhood, rings_of
from tissuemake.models.sagefm.lessons import Pupil
from tissuemake.models.sagefm.network import RingNetwork
from tissuemake.models.sagefm.reading import Loadings
from tissuemake.models.sagefm.section import Section, read_section
from tissuemake.models.store import load_model, weights_hash
from tissuemake.provenance import measured

ROWS_AT_ONCE = 512
FEWEST_SHARED = 20


class SageFM:
    """A trained network with its vocabulary.

    Attributes
    ----------
    genes
        Symbols of the vocabulary, (V,).
    shape
        Its `Architecture`.
    donors
        Whose tissue it was taught on.
    device
        Where it answers; provenance records its name.
    """

    def __init__(self, state: dict[str, Tensor], config: dict, device: Device) -> None:
        self.genes: list[str] = list(config["genes"])
        self.shape = Architecture(**config["architecture"])
        self.donors: list[str] = list(config["donors"])
        self.mean, self.sd = state["log.mean"].numpy(), state["log.sd"].numpy()
        self._loadings = Loadings(state["loadings.directions"], state["loadings.variance"])
        self.device = device
        network = build_network(self.shape, self._loadings, state["log.mean"], state["log.sd"])
        prefix = "network."
        own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        try:
            network.load_state_dict(own)
        except RuntimeError as error:
            raise InputError(
                "wrong_model",
                f"The weights of the model are not those of the network in its config ({str(error).splitlines()[0]}).",
                "Copy the whole folder again, or train the model again.",
            ) from error
        self._network = network.eval().to(device.torch_name)

    def read(self, adata: ad.AnnData, sample: str = "") -> Section:
        """Take the vocabulary out of a section.

        Raises
        ------
        InputError
            ``no_shared_genes`` when it measured hardly any gene of the vocabulary.
        """
        section = read_section(adata, self.genes, neighborhood(adata, self.shape))
        if section.measured.sum() < min(FEWEST_SHARED, len(self.genes)):
            raise InputError(
                "no_shared_genes",
                f"{sample or 'The section'} measured {int(section.measured.sum())} of the model's {len(self.genes)} "
                f"genes ({', '.join(self.genes[:3])}, …).",
                "Give a model of this organism and panel (config: models: sagefm: weights), or leave sagefm out.",
            )
        return section

    def embed(self, section: Section) -> np.ndarray:
        """Return the embedding of every spot, float32 (n, 2 x latent).

        The latent vector of the spot in its surroundings, and beside it the one that the surroundings alone give: for
        domains the two together are better than either (tests/benchmarks/SPATIAL.md).
        """
        pupil = self._pupil(section)
        if not isinstance(self._network, RingNetwork):
            return self._embed_whole(pupil)
        found = pupil.components(~section.measured)
        parts = []
        for rows in _blocks(len(section)):
            seen = pupil.surroundings(rows).to(self.device.torch_name)
            with torch.no_grad():
                own = found[rows].to(self.device.torch_name)
                parts.append(self._network.embed_both(own, seen).float().cpu().numpy())
        return np.concatenate(parts)

    def _embed_whole(self, pupil: Pupil) -> np.ndarray:
        """As `embed`, of any network: by whole lessons, which take ten times as long."""
        none = np.zeros(len(self.genes), dtype=bool)
        both = [
            np.concatenate([part.numpy() for part in self._ask(pupil, hidden, False, self._network.embed)])
            for hidden in (none, ~none)
        ]
        return np.hstack(both)

    def predict(
        self,
        section: Section,
        hidden: np.ndarray | None = None,
        *,
        centre: bool = True,
        everywhere: bool = False,
        genes: np.ndarray | None = None,
    ) -> np.ndarray:
        """Predict log1p CP10k, float32 (n, V) or (n, len(genes)).

        Parameters
        ----------
        hidden
            bool (V,): genes that are hidden in each spot while it is predicted; its neighbours keep them.
        centre
            False hides all genes of the spot itself.
        everywhere
            Hide `hidden` in the neighbours too, as if nobody had measured these genes.
        genes
            Positions in the vocabulary of the columns that are wanted; all by default.
        """
        if everywhere and not centre:
            raise ValueError("all genes of all spots cannot be hidden")
        none = np.zeros(len(self.genes), dtype=bool)
        unseen = ~none if not centre else none if hidden is None else np.asarray(hidden, dtype=bool)
        wanted = np.arange(len(self.genes)) if genes is None else np.asarray(genes)
        pupil = self._pupil(section)
        parts = [
            part.numpy()[:, wanted] * self.sd[wanted] + pupil.level[wanted]
            for part in self._ask(pupil, unseen, everywhere, self._network.answer)
        ]
        return np.concatenate(parts).astype(np.float32)

    def _pupil(self, section: Section) -> Pupil:
        return Pupil(section, self.mean, self.sd, self._loadings, rings_of(self.shape))

    @torch.no_grad()
    def _ask(self, pupil: Pupil, hidden: np.ndarray, everywhere: bool, question):
        """Yield the answers, block by block of spots, on the CPU."""
        for rows in _blocks(len(pupil.section)):
            lesson = pupil.lesson(rows, hidden, everywhere=everywhere).to(self.device.torch_name)
            yield question(lesson).float().cpu()


def _blocks(spots: int) -> list[np.ndarray]:
    return [np.arange(start, min(start + ROWS_AT_ONCE, spots)) for start in range(0, spots, ROWS_AT_ONCE)]


def load_sagefm(model: Path | str, gpus: int = 0) -> SageFM:
    """Load a model folder or hub id; errors are those of `store.load_model`."""
    state, config = load_model(model, "sagefm")
    return SageFM(state, config, given_device(gpus))


def weights_of(model: Path | str) -> str:
    """SHA-256 of a folder's weights, empty for a hub id, whose revision says which they are."""
    return weights_hash(model) if Path(model).is_dir() else ""


def embed_sagefm(filtered: Path, model: Path | str, output: Path, *, gpus: int = 0) -> None:
    """Write the embedding of every spot of a section as contract SPOT_EMBEDDINGS."""
    adata = read_anndata(filtered, FILTERED)
    with measured("sagefm", model=str(model), weights_sha256=weights_of(model)) as provenance:
        network = load_sagefm(model, gpus)
        provenance["device"] = network.device.name
        vectors = network.embed(network.read(adata, str(filtered)))
    embedded = ad.AnnData(vectors, obs=adata.obs[[]].copy())
    embedded.obsm["spatial"] = np.asarray(adata.obsm["spatial"])
    embedded.uns["tissuemake"] = provenance
    write_anndata(embedded, output, SPOT_EMBEDDINGS)
