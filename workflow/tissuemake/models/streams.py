"""Batches as a function of (seed, step, process), so that a resumed run sees what an undisturbed one sees."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info


@dataclass(frozen=True)
class StepStream:
    """Training data made while training.

    Attributes
    ----------
    make_batch
        ``make_batch(step, generator)`` returns the batch of that step. All chance in it comes from `generator`
        (for numpy: ``numpy.random.default_rng(generator.initial_seed())``); it must not depend on earlier steps.
    workers
        Processes that make batches ahead; 0 makes them between the steps.
    on_device
        Whether the generator, and so the batch, stands on the training device; needs ``workers=0``.
    """

    make_batch: Callable[[int, torch.Generator], Any]
    workers: int = 0
    on_device: bool = False

    def __post_init__(self) -> None:
        if self.on_device and self.workers:
            raise ValueError("batches made on the device are made by the training process: workers=0")

    def loader(self, *, seed: int, rank: int, start: int, stop: int, device: torch.device) -> DataLoader:
        """Return a loader of the batches of steps `start` to `stop` - 1, in order."""
        place = device if self.on_device else torch.device("cpu")
        return DataLoader(
            _Steps(self.make_batch, seed, rank, start, stop, place),
            batch_size=None,
            collate_fn=as_is,
            num_workers=self.workers,
            pin_memory=device.type == "cuda" and not self.on_device,
        )


class _Steps(IterableDataset):
    """Batches of a range of steps; worker i of n makes every n-th, and the loader takes them in turn."""

    def __init__(
        self, make_batch: Callable, seed: int, rank: int, start: int, stop: int, device: torch.device
    ) -> None:
        self.make_batch, self.seed, self.rank = make_batch, seed, rank
        self.start, self.stop, self.device = start, stop, device

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        for step in range(self.start + first, self.stop, stride):
            generator = torch.Generator(self.device).manual_seed(
                step_seed("batch", self.seed, step, self.rank)
            )
            yield self.make_batch(step, generator)


def step_seed(purpose: str, seed: int, step: int, rank: int) -> int:
    """Return a seed of 63 bits that differs for every purpose, seed, step and process."""
    text = f"{purpose}:{seed}:{step}:{rank}".encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") >> 1


def as_is(batch: Any) -> Any:
    """Collate nothing: a batch is made whole."""
    return batch
