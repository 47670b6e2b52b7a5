"""A job runs on what it was given, or says that it cannot."""

import pytest
import torch

from tissuemake.device import given_device, requested_gpus
from tissuemake.errors import InputError


def pretend(
    monkeypatch, names: list[str], capability: tuple[int, int] = (9, 0), cuda: str | None = "13.0"
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: names[index])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)
    monkeypatch.setattr(torch.version, "cuda", cuda)


def test_no_gpu_given_is_the_cpu_even_where_one_is_seen(monkeypatch):
    pretend(monkeypatch, ["NVIDIA H200"])
    device = given_device(0)
    assert (device.accelerator, device.count, device.precision) == ("cpu", 1, "32-true")
    assert device.name == f"cpu ({torch.get_num_threads()} threads)" and device.torch_name == "cpu"


@pytest.mark.parametrize(("gpus", "seen"), [(1, 0), (2, 1)])
def test_a_gpu_that_was_given_and_cannot_be_seen_is_an_error(monkeypatch, gpus, seen):
    pretend(monkeypatch, ["NVIDIA H200"] * seen)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    with pytest.raises(InputError) as caught:
        given_device(gpus)
    assert caught.value.code == "gpu_not_visible"
    assert f"given {gpus} GPU" in caught.value.message and f"sees {seen}" in caught.value.message
    assert "CUDA_VISIBLE_DEVICES is 5" in caught.value.message and "nvidia-smi" in caught.value.remedy


def test_a_cpu_build_of_torch_is_named_as_the_reason(monkeypatch):
    pretend(monkeypatch, [], cuda=None)
    with pytest.raises(InputError) as caught:
        given_device(1)
    assert "CUDA build of torch" in caught.value.remedy


def test_gpus_are_named_and_use_bfloat16_where_they_have_it(monkeypatch):
    pretend(monkeypatch, ["NVIDIA A100", "NVIDIA A100"], (8, 0))
    device = given_device(2)
    assert (device.accelerator, device.count, device.precision) == ("gpu", 2, "bf16-mixed")
    assert device.name == "2 x NVIDIA A100" and device.torch_name == "cuda"
    pretend(monkeypatch, ["Tesla V100"], (7, 0))
    assert given_device(1).name == "Tesla V100" and given_device(1).precision == "32-true"


@pytest.mark.parametrize(
    ("tasks", "nodes", "shared"), [("", "", 1), ("8", "2", 2), ("4", "1", 1), ("1", "2", 1)]
)
def test_nodes_count_where_srun_started_a_task_for_each_gpu(monkeypatch, tasks, nodes, shared):
    pretend(monkeypatch, ["NVIDIA A100"] * 4)
    for name, value in (("SLURM_NTASKS", tasks), ("SLURM_NNODES", nodes)):
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    device = given_device(4)
    assert (device.count, device.nodes, device.processes) == (4, shared, 4 * shared)
    assert ("on each of 2 nodes" in device.name) == (shared == 2)


@pytest.mark.parametrize(
    ("resources", "gpus"),
    [
        ({}, 0),
        ({"gpu": 0}, 0),
        ({"gpu": 2}, 2),
        ({"gpu": 0, "gres": "gpu:1"}, 1),
        ({"gpu": 0, "gres": "gpu:a100:2"}, 2),
        ({"gpu": 0, "gres": "gpu"}, 1),
        ({"gpu": 0, "gres": "gpu:a100"}, 1),
        ({"gpu": 0, "gres": ""}, 0),
        ({"gres": "lustre:2,gpu:3"}, 3),
        ({"gres": "scratch:gpu:7"}, 0),
    ],
)
def test_a_gpu_asked_for_by_either_name_is_one(resources, gpus):
    assert requested_gpus(resources) == gpus
