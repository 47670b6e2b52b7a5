"""What a model must be to be trained by `training.fit`: losses from the subclass, the optimiser from here."""

from collections.abc import Mapping

import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from tissuemake.models.schedule import Schedule


class Trainable(LightningModule):
    """A model that `fit` can train.

    Subclasses give ``training_step(batch, index) -> loss`` and ``validation_step(batch, index)``, which logs
    ``"valid_loss"``. All that training changes must stand in parameters and buffers: only these are kept.
    """

    # Set by `fit`.
    schedule: Schedule
    # Parameters that weight decay leaves alone besides biases, norms and embeddings, by the end of their name.
    undecayed: tuple[str, ...] = ()
    # Which weights `fit` leaves in the module: of the "best" validation or the "last" one.
    keeps: str = "best"
    # Further columns of the curve; ``validation_step`` or the end of the validation logs each under its name.
    watched: tuple[str, ...] = ()
    _done = 0  # steps of the pieces before a kill
    _optimizer_state: dict | None = None

    @property
    def step(self) -> int:
        """Optimiser steps done since training began, those before a kill included (lightning's are not)."""
        return self._done + self.global_step

    def examine(self, columns: Mapping[str, list]) -> None:
        """Look at the curve after each validation; raise an `InputError` to stop a run that has gone wrong."""

    def configure_optimizers(self) -> dict:
        """AdamW (Loshchilov & Hutter 2019) with the rate of `schedule`, taken up where a kill left it."""
        groups = decay_groups(self, self.schedule.weight_decay, self.undecayed)
        optimizer = torch.optim.AdamW(groups, lr=self.schedule.learning_rate, fused=True)
        scheduler = LambdaLR(optimizer, lambda step: self.schedule.share(self._done + step))
        if self._optimizer_state is not None:
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": self._optimizer_state, "param_groups": groups})
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: object, **__: object) -> None:
        """Clip to `schedule.clip`; here, because lightning refuses fused optimisers in mixed precision.

        Its reason, scaled gradients, holds for float16 only, which no device of ours uses.
        """
        if self.schedule.clip:
            nn.utils.clip_grad_norm_(self.parameters(), self.schedule.clip)


def decay_groups(module: nn.Module, weight_decay: float, undecayed: tuple[str, ...] = ()) -> list[dict]:
    """Split the trained parameters: matrices and kernels decay; biases, norms and embeddings do not."""
    spared = {
        id(parameter)
        for part in module.modules()
        if isinstance(part, nn.Embedding | nn.EmbeddingBag)
        for parameter in part.parameters(recurse=False)
    }
    groups: list[dict] = [{"params": [], "weight_decay": weight_decay}, {"params": [], "weight_decay": 0.0}]
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            plain = parameter.ndim < 2 or id(parameter) in spared or name.endswith(undecayed or ("\0",))
            groups[int(plain)]["params"].append(parameter)
    return [group for group in groups if group["params"]]
