"""One training loop for all models, over lightning: it validates, stops early, and resumes as if never killed."""

import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import nn
from torch.utils.data import DataLoader

from tissuemake import __version__
from tissuemake.device import Device
from tissuemake.errors import InputError
from tissuemake.models.curve import Curve
from tissuemake.models.journal import Journal
from tissuemake.models.schedule import Schedule
from tissuemake.models.streams import StepStream, as_is
from tissuemake.models.trainable import Trainable


def fit(
    module: Trainable,
    train: StepStream,
    valid: Iterable,
    schedule: Schedule,
    *,
    checkpoints: Path,
    device: Device,
    seed: int,
    identity: Mapping[str, object] | None = None,
    progress: bool = True,
) -> Curve:
    """Train `module`; at the end it stands on the CPU, in eval mode, with the weights of its best validation.

    Or with the last ones, where it says so (`Trainable.keeps`).

    Parameters
    ----------
    valid
        Batches of held-out donors, the same at each validation. Every process scores all of them, so that the
        loss does not depend on the number of processes.
    checkpoints
        Folder of ``last.ckpt``, written at each validation. A call with the same settings goes on from there
        and reaches the weights of an undisturbed run (to the bit on a CPU). The caller ends it with
        `checkpoints.discard_checkpoints` once the model is written.
    seed
        Of batches and dropout; the weights are the caller's to initialise. Chance is a function of seed, step
        and process. Torch's global generator is seeded at each step.
    identity
        What else makes this run this run (hashes of the data, preset): a checkpoint that differs is passed over.

    Returns
    -------
    Curve
        On the first process only: with ``device.processes > 1`` the others leave the program here, with status 0,
        because what follows (calibration, writing the model) must be done once.

    Raises
    ------
    InputError
        ``training_diverged`` when a loss is not finite; ``gpu_tasks`` when the scheduler started another
        number of processes than there are devices.
    """
    settings = _settings(module, schedule, seed, device, identity or {})
    journal = Journal(schedule, seed, device, settings, Path(checkpoints), progress)
    journal.take_up(module)
    if not journal.finished:
        _train(module, train, valid, journal, progress)
    module.load_state_dict(journal.best)
    module.eval()  # what follows is inference; dropout must not blur it
    return journal.curve


def _train(module: Trainable, train: StepStream, valid: Iterable, journal: Journal, progress: bool) -> None:
    schedule, device = journal.schedule, journal.device
    # A checkpoint that lightning wrote on a SLURM requeue signal counts steps its own way: ours is the truth.
    for stray in journal.folder.glob("hpc_ckpt_*.ckpt"):
        stray.unlink()
    with _quiet():
        trainer = Trainer(
            accelerator=device.accelerator,
            devices=device.count,
            num_nodes=device.nodes,
            precision=device.precision,
            plugins=_plugins(device),
            max_epochs=1,  # the stream is one long epoch
            max_steps=schedule.steps - journal.curve.step,
            val_check_interval=schedule.validate_every,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            callbacks=[journal],
            default_root_dir=journal.folder,
            use_distributed_sampler=False,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=progress and sys.stderr.isatty(),
        )
        if trainer.world_size != device.processes:
            raise InputError(
                "gpu_tasks",
                f"The scheduler started {trainer.world_size} process(es) for {device.processes} devices.",
                "Ask for one task per GPU on every node, or one task in all.",
            )
        try:
            trainer.fit(module, datamodule=_Data(train, valid, journal.seed, module, schedule.steps))
        except SIGTERMException:
            sys.exit(128 + 15)  # lightning would leave with status 0, as if it had finished
    if not journal.finished:
        raise RuntimeError(f"training ended at step {module.step} of {schedule.steps} without saying why")
    if trainer.world_size > 1 and trainer.global_rank > 0:
        module.load_state_dict(journal.best)
        sys.exit(0)


def _settings(module: nn.Module, schedule: Schedule, seed: int, device: Device, identity: Mapping) -> dict:
    """What two pieces of one run share; the kind of device is not part of it, so that any may go on."""
    shapes = [f"{name} {tuple(value.shape)} {value.dtype}" for name, value in module.state_dict().items()]
    return {
        "model": type(module).__qualname__,
        "architecture": sha256("\n".join(shapes).encode()).hexdigest(),
        "version": __version__,
        "seed": seed,
        "processes": device.processes,
        **{f"schedule.{name}": value for name, value in asdict(schedule).items()},
        **{f"identity.{name}": str(value) for name, value in identity.items()},
    }


def _plugins(device: Device) -> list:
    """Lightning reads SLURM's variables itself, but takes one task with n GPUs for a world of one process.

    Snakemake's job step is such a task: then the processes are started here.
    """
    if device.count > 1 and os.environ.get("SLURM_NTASKS") == "1":
        return [LightningEnvironment()]
    return []


class _Data(LightningDataModule):
    """Makes the loaders when the process knows its rank."""

    def __init__(self, train: StepStream, valid: Iterable, seed: int, module: Trainable, steps: int) -> None:
        super().__init__()
        self.train, self.valid, self.seed, self.module, self.steps = train, valid, seed, module, steps

    def train_dataloader(self) -> Iterable:
        return self.train.loader(
            seed=self.seed,
            rank=self.trainer.global_rank,
            start=self.module.step,
            stop=self.steps,
            device=self.trainer.strategy.root_device,
        )

    def val_dataloader(self) -> Iterable:
        if isinstance(self.valid, DataLoader):
            return self.valid
        return DataLoader(list(self.valid), batch_size=None, collate_fn=as_is)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep lightning's tips and its advice on loaders out of the log while the block runs."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
