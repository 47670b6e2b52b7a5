"""Who looked at whom, as a table: pathways at pathways, and the patches that speak for each pathway."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from tissuemake.files import atomic

TOP_PATCHES = 20
COLUMNS = ("kind", "pathway", "other", "weight", "rank")


def attention_table(
    attention: Sequence[dict[str, Tensor]],
    activities: np.ndarray,
    pathways: Sequence[str],
    patches: Sequence[str],
) -> pd.DataFrame:
    """Return a row per pair.

    Parameters
    ----------
    attention
        By layer, see `attention.FlowAttention.forward`.
    activities
        (n, P), of all patches.

    Returns
    -------
    DataFrame
        ``kind``: ``pathway`` (``other`` is a pathway that `pathway` listens to, rank 1 the most), ``patch`` (``other``
        is a patch that it reads), ``signature`` (a patch where its activity is highest). ``weight``: attention over
        that of an even look, mean of layers and heads (1: no more than any other); for ``signature`` the activity in
        deviations from the slide's mean. A flow that is off has no rows.
    """
    parts = []
    between = _mean(attention, "pathways_to_pathways")
    if between is not None:
        parts.append(
            _ranked(
                "pathway", between / between.mean(axis=1, keepdims=True), pathways, pathways, len(pathways)
            )
        )
    looked = _mean(attention, "pathways_read_patches")
    if looked is not None:
        parts.append(
            _ranked("patch", looked / looked.mean(axis=1, keepdims=True), pathways, patches, TOP_PATCHES)
        )
    spread = activities.std(axis=0)
    relative = ((activities - activities.mean(axis=0)) / np.where(spread > 0, spread, 1)).T
    parts.append(_ranked("signature", relative, pathways, patches, TOP_PATCHES))
    return pd.concat(parts, ignore_index=True)


def write_attention(table: pd.DataFrame, output: Path, provenance: dict) -> None:
    """Write the table as parquet, whole or not at all."""
    table.attrs = {"tissuemake": provenance}
    with atomic(output) as partial:
        table.to_parquet(partial)


def _mean(attention: Sequence[dict[str, Tensor]], flow: str) -> np.ndarray | None:
    """Over layers and heads; None where the flow is off."""
    found = [layer[flow].float().mean(dim=0).cpu().numpy() for layer in attention if flow in layer]
    return np.mean(found, axis=0) if found else None


def _ranked(
    kind: str, weights: np.ndarray, rows: Sequence[str], columns: Sequence[str], most: int
) -> pd.DataFrame:
    order = np.argsort(-weights, axis=1, kind="stable")[:, :most]
    return pd.DataFrame(
        {
            "kind": kind,
            "pathway": np.repeat(np.asarray(rows, dtype=object), order.shape[1]),
            "other": np.asarray(columns, dtype=object)[order].ravel(),
            "weight": np.take_along_axis(weights, order, axis=1).ravel().astype(np.float32),
            "rank": np.tile(np.arange(1, order.shape[1] + 1), len(order)),
        },
        columns=list(COLUMNS),
    )
