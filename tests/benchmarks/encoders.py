"""Images per second of networks as tile encoders, beside the rate of the matrix units that they could at best reach.

Random networks of the size of ViT-S/16 and ResNet-50, through the code that encodes tiles. On a CPU seconds are those
that the process had of one core, so that a busy machine does not count; run it with ``OMP_NUM_THREADS=1``. Run with
``python tests/benchmarks/encoders.py [--gpus 1]``; one line per network and precision.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import ResNetConfig, ResNetModel, ViTConfig, ViTModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tissuemake.device import Device, given_device
from tissuemake.histology.encoders import write_embeddings
from tissuemake.histology.encoders.network import NetworkEncoder
from tissuemake.histology.encoders.transformers_models import FirstToken, MeanOfMap
from tissuemake.histology.published_encoders import IMAGENET
from tissuemake.histology.tile_store import write_tiles

PX = 224
MATRIX, PRODUCTS = 1024, 40
TILES = {"cpu": 32, "gpu": 4096}


def networks() -> dict[str, nn.Module]:
    """Random networks by name; a ViT-S/16 has 21.7 M parameters, a ResNet-50 23.5 M."""
    small = ViTConfig(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, intermediate_size=1536)
    return {
        "ViT-S/16": FirstToken(ViTModel(small, add_pooling_layer=False)),
        "ResNet-50": MeanOfMap(ResNetModel(ResNetConfig())),
    }


def rates(name: str, network: nn.Module, device: Device) -> str:
    """One line: images/s of the network alone and from file to file, and the share of the bound."""
    encoder = NetworkEncoder(name, network, size_px=PX, normalisation=IMAGENET, device=device)
    count = TILES[device.accelerator]
    tiles = np.random.default_rng(0).integers(0, 256, (count, PX, PX, 3), dtype=np.uint8)
    with FlopCounterMode(display=False) as counter:
        encoder.encode(tiles[:1], 0.5)
    clock = process_time if device.accelerator == "cpu" else perf_counter
    encoder.encode(tiles[: count // 2], 0.5)
    started = clock()
    encoder.encode(tiles, 0.5)
    alone = count / (clock() - started)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiles.arrow"
        write_tiles(path, pd.DataFrame(index=[f"t{i}" for i in range(count)]), tiles)
        started = clock()
        write_embeddings(path, Path(folder) / "e.h5ad", encoder, name)
        whole = count / (clock() - started)
    line = f"{name} {device.precision} on {device.name}: {alone:.1f} images/s, {whole:.1f} from file to file"
    if device.accelerator == "gpu":
        return line
    rate, flops = products_per_second(device.precision), counter.get_total_flops() / 1e9
    return f"{line}; {flops:.1f} GFLOP each, matrix units {rate:.0f} GFLOP/s: {100 * alone * flops / rate:.0f}% of them"


def products_per_second(precision: str) -> float:
    """GFLOP per core-second of a square product."""
    kind = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16}[precision]
    left = torch.randn(MATRIX, MATRIX).to(kind)
    left @ left
    started = process_time()
    for _ in range(PRODUCTS):
        left @ left
    return 2 * MATRIX**3 * PRODUCTS / (process_time() - started) / 1e9


def main() -> None:
    """Print the lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpus", type=int, default=0)
    given = given_device(parser.parse_args().gpus)
    for precision in ("32-true", "bf16-mixed"):
        for name, network in networks().items():
            print(rates(name, network, replace(given, precision=precision)), flush=True)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
