"""Ground floor: the device a job was given: a GPU if the scheduler gave one, else the CPU; never a silent swap."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from tissuemake.errors import InputError


@dataclass(frozen=True)
class Device:
    """Where a model runs.

    Attributes
    ----------
    accelerator
        ``"cpu"`` or ``"gpu"``, lightning's words.
    count
        Processes on a node, one per GPU; 1 on a CPU.
    name
        What provenance records, e.g. ``"cpu (2 threads)"`` or ``"2 x NVIDIA A100"``.
    precision
        Lightning's: ``"32-true"`` or ``"bf16-mixed"`` (weights 32 bit, matrix products bfloat16).
    nodes
        That train one model, each with as many GPUs.
    """

    accelerator: str
    count: int
    name: str
    precision: str
    nodes: int = 1

    @property
    def processes(self) -> int:
        """Of a training, on all of its nodes."""
        return self.count * self.nodes

    @property
    def torch_name(self) -> str:
        """The device as torch calls it; the first one where there are several."""
        return "cuda" if self.accelerator == "gpu" else "cpu"


def requested_gpus(resources: Mapping[str, object]) -> int:
    """How many GPUs a job's scheduler was asked for: the resource ``gpu``, or what ``gres`` says.

    Clusters that accept only ``--gres`` are asked with ``gres: "gpu:1"`` and ``gpu: 0`` (see profiles/slurm-gres):
    a job that read ``gpu`` alone would run on the CPU of a node whose GPU it holds.
    """
    gpus = int(resources.get("gpu") or 0)
    if gpus:
        return gpus
    # gres is `name[:type][:count]`, several of them separated by commas; without a count it is one.
    found = [part.split(":") for part in str(resources.get("gres") or "").split(",")]
    counts = [parts[-1] if parts[-1].isdigit() else "1" for parts in found if parts[0].strip() == "gpu"]
    return sum(map(int, counts))


def given_device(gpus: int) -> Device:
    """Return the device for a job that was given `gpus` GPUs by its scheduler (0: the CPU).

    Raises
    ------
    InputError
        ``gpu_not_visible`` when fewer GPUs can be seen than were given: running on the CPU instead would look
        like success and take days.
    """
    import torch

    if gpus < 0:
        raise ValueError(f"gpus is {gpus}; it counts devices")
    if gpus == 0:
        # bfloat16 is 1.6 to 2 times as fast on a CPU with bf16 units for products of a few hundred columns or more;
        # below that, casting costs what it saves; without such units it is far slower.
        return Device("cpu", 1, f"cpu ({torch.get_num_threads()} threads)", "32-true", _nodes())
    seen = torch.cuda.device_count()
    if seen < gpus:
        raise InputError(
            "gpu_not_visible",
            f"The job was given {gpus} GPU(s), but torch {torch.__version__} sees {seen} "
            f"(CUDA_VISIBLE_DEVICES is {os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}).",
            _remedy(torch.version.cuda),
        )
    names, nodes = [torch.cuda.get_device_name(index) for index in range(gpus)], _nodes()
    name = names[0] if gpus == 1 else f"{gpus} x {' + '.join(sorted(set(names)))}"
    name += f" on each of {nodes} nodes" if nodes > 1 else ""
    # Older GPUs emulate bfloat16, slower than 32 bit.
    native = all(torch.cuda.get_device_capability(index) >= (8, 0) for index in range(gpus))
    return Device("gpu", gpus, name, "bf16-mixed" if native else "32-true", nodes)


def _nodes() -> int:
    """Nodes on which ``srun`` started this command; a job step of one task is alone, whatever the job holds."""
    tasks = int(os.environ.get("SLURM_NTASKS", "1"))
    return int(os.environ.get("SLURM_NNODES", "1")) if tasks > 1 else 1


def _remedy(cuda: str | None) -> str:
    if cuda is None:
        return (
            "Install a CUDA build of torch (this one is for CPUs only), or run on the CPU on purpose: take the GPU "
            "out of the profile's resources (gpu=0)."
        )
    return (
        "Look at nvidia-smi on that node and at the profile's GPU flags, or run on the CPU on purpose: take the GPU "
        "out of the profile's resources (gpu=0)."
    )
