"""The model as a whole: reader, network, ridge and gene layer, its answer and its state."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tissuemake.errors import InputError
from tissuemake.models.quadflow.architecture import Architecture
from tissuemake.models.quadflow.bottleneck import GeneLayer
from tissuemake.models.quadflow.network import QuadflowNetwork, View
from tissuemake.models.quadflow.section import Patches, Reader


@dataclass(frozen=True)
class Scales:
    """Units of pathways (P,) and genes (G,), float32.

    Attributes
    ----------
    level, sd
        Of measured scores: mean over the cohort, deviation within its slides.
    balance
        What the network's part is multiplied with so that it varies as the ridge's: else it would drown that.
    gain
        What an answer is multiplied with so that it varies as measured scores do: a mean given an image varies less.
    gene_level, gene_sd
        Of log1p CP10k.
    """

    level: Tensor
    sd: Tensor
    balance: Tensor
    gain: Tensor
    gene_level: Tensor
    gene_sd: Tensor


@dataclass(frozen=True)
class Answer:
    """What the model says of n patches, float32.

    Attributes
    ----------
    activities
        (n, P), on the scale of measured scores.
    genes
        (n, G), log1p CP10k, not negative.
    attention
        By layer, see `attention.FlowAttention.forward`.
    """

    activities: np.ndarray
    genes: np.ndarray
    attention: list[dict[str, Tensor]]


@dataclass(frozen=True)
class Model:
    """All that an answer takes. The ridge (f, P + 1) says the library size in its last column."""

    reader: Reader
    network: QuadflowNetwork
    ridge: Tensor
    gene_layer: GeneLayer
    scales: Scales

    @torch.no_grad()
    def answer(self, slide: Patches, device: str = "cpu", *, genes: bool = True) -> Answer:
        """Return activities and genes of a slide, and who looked at whom."""
        view = self.reader.view(slide)
        said: list[dict[str, Tensor]] = []
        standard = self.standard(view, device, said)
        scales = self.scales
        activities = scales.level + scales.sd * scales.gain * standard[:, :-1]
        found = np.zeros((len(slide), 0), np.float32)
        if genes:
            inputs = view.features if self.gene_layer.up.numel() else None
            values = self.gene_layer(standard, inputs) * scales.gene_sd + scales.gene_level
            found = values.clamp(min=0).numpy()  # log expression is not negative
        return Answer(activities.numpy(), found, said)

    def standard(self, view: View, device: str = "cpu", said: list | None = None) -> Tensor:
        """Activities and depth (n, P + 1) in units of deviations within slides: the mean of network and ridge.

        They err in different ways. Depth is the ridge's alone: the network is not taught it.
        """
        learnt, line = self.parts(view, device, said)
        return torch.cat([(learnt * self.scales.balance + line[:, :-1]) / 2, line[:, -1:]], dim=1)

    @torch.no_grad()
    def parts(self, view: View, device: str = "cpu", said: list | None = None) -> tuple[Tensor, Tensor]:
        """What the network says (n, P), and what the ridge (n, P + 1)."""
        network = self.network.to(device)(view.to(device), said).float().cpu()
        return network, view.features @ self.ridge

    def state(self) -> dict[str, Tensor]:
        """Weights by name."""
        state = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        state |= {f"genes.{name}": value for name, value in self.gene_layer.state().items()}
        state |= {f"scales.{name}": value for name, value in vars(self.scales).items()}
        state["ridge"] = self.ridge
        for name in ("directions", "loadings"):
            if getattr(self.reader, name) is not None:
                state[name] = torch.from_numpy(getattr(self.reader, name))
        return state


def build_model(state: dict[str, Tensor], config: dict) -> Model:
    """Put a model together from what `Model.state` gave.

    Raises
    ------
    InputError
        ``wrong_model`` when weights and config do not fit.
    """

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}

    try:
        shape = Architecture.from_dict(config["architecture"])
        network = QuadflowNetwork(shape, len(state["ridge"]), len(config["pathways"]))
        network.load_state_dict(part("network."))
        bases = (state[name].numpy() if name in state else None for name in ("directions", "loadings"))
        reader = Reader.for_shape(*bases, shape)
        layer, scales = GeneLayer(**part("genes.")), Scales(**part("scales."))
    except (RuntimeError, KeyError, TypeError) as error:
        raise InputError(
            "wrong_model",
            f"The weights of the model are not those of the network in its config ({str(error).splitlines()[0]}).",
            "Copy the whole folder again, or train the model again.",
        ) from error
    return Model(reader, network.eval(), state["ridge"], layer, scales)
