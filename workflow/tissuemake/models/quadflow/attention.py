"""Attention of pathways and patches by flows: what is off is not computed; patches see patches on a graph only.

All that a token may see shares one softmax. A block of keys weighs by a learnt bias and not by how many there are, so
that 50,000 patches do not drown 50 pathways. `dense_reference` is the same with one masked product of all with all.
"""

import math

import torch
from torch import Tensor, nn

from tissuemake.models.gather import gather_rows
from tissuemake.models.quadflow.architecture import Flows
from tissuemake.models.quadflow.neighbors import Around

# Patches that attend at once where no gradient is wanted: keys of all their neighbours are held.
ROWS_AT_ONCE = 8192
# Unit of distances; a head starts by fading over 1, 2, 4, … of it.
UNIT_UM = 100.0
HARMONICS = 2


class FlowAttention(nn.Module):
    """Multi-head attention over two kinds of tokens, pathways (P, width) and patches (n, width)."""

    def __init__(self, width: int, heads: int, flows: Flows) -> None:
        super().__init__()
        self.heads, self.flows = heads, flows
        pathways_ask = flows.pathways_to_pathways or flows.pathways_read_patches
        patches_ask = flows.patches_read_pathways or flows.patches_to_patches
        pathways_seen = flows.pathways_to_pathways or flows.patches_read_pathways
        patches_seen = flows.pathways_read_patches or flows.patches_to_patches

        def linear(wanted: bool, times: int = 1) -> nn.Linear | None:
            return nn.Linear(width, times * width) if wanted else None

        self.pathway_query, self.patch_query = linear(pathways_ask), linear(patches_ask)
        self.pathway_keys, self.patch_keys = linear(pathways_seen, 2), linear(patches_seen, 2)
        self.pathway_join, self.patch_join = linear(pathways_ask), linear(patches_ask)
        self.bias = nn.ParameterDict({name: nn.Parameter(torch.zeros(heads)) for name in flows.names})
        if flows.patches_to_patches:
            reach = 2.0 ** torch.arange(heads)
            self.slope = nn.Parameter(1 / reach)
            self.direction = nn.Linear(2 * HARMONICS, heads, bias=False)
            nn.init.zeros_(self.direction.weight)

    @property
    def touched(self) -> tuple[bool, bool]:
        """Whether any flow starts or ends at pathways, and at patches."""
        flows = self.flows
        between = flows.pathways_read_patches or flows.patches_read_pathways
        return between or flows.pathways_to_pathways, between or flows.patches_to_patches

    def forward(
        self, pathways: Tensor, patches: Tensor, around: Around | None, said: dict[str, Tensor] | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return what is added to pathways (P, width) and to patches (n, width); None where no flow leads there.

        Parameters
        ----------
        around
            Neighbours of the patches; not looked at without H↔H.
        said
            Filled with the shares of attention of ``pathways_to_pathways`` (heads, P, P), ``pathways_read_patches``
            (heads, P, n) and ``patches_read_pathways`` (heads, P), mean over patches.
        """
        pathway_keys = None if self.pathway_keys is None else self._keys(self.pathway_keys, pathways)
        patch_keys = None if self.patch_keys is None else self._keys(self.patch_keys, patches)
        to_pathways = to_patches = None
        if self.pathway_query is not None:
            to_pathways = self._pathways(pathways, pathway_keys, patch_keys, said)
        if self.patch_query is not None:
            to_patches = self._patches(patches, pathway_keys, patch_keys, around, said)
        return to_pathways, to_patches

    def _keys(self, project: nn.Linear, tokens: Tensor) -> tuple[Tensor, Tensor]:
        key, value = project(tokens).view(len(tokens), 2, self.heads, -1).unbind(1)
        return key, value

    def _query(self, project: nn.Linear, tokens: Tensor) -> Tensor:
        query = project(tokens).view(len(tokens), self.heads, -1)
        return query / math.sqrt(query.shape[-1])

    def _pathways(self, tokens: Tensor, pathway_keys, patch_keys, said: dict | None) -> Tensor:
        query = self._query(self.pathway_query, tokens)
        names, blocks, values = [], [], []
        for name, keys in (("pathways_to_pathways", pathway_keys), ("pathways_read_patches", patch_keys)):
            if name in self.bias:
                score = torch.einsum("phd,khd->hpk", query, keys[0])
                blocks.append(score + (self.bias[name] - math.log(len(keys[0])))[:, None, None])
                values.append(keys[1])
                names.append(name)
        share = torch.softmax(torch.cat(blocks, dim=2), dim=2)
        if said is not None:
            said |= dict(zip(names, share.split([block.shape[2] for block in blocks], dim=2), strict=True))
        mixed = torch.einsum("hpk,khd->phd", share, torch.cat(values))
        return self.pathway_join(mixed.flatten(1))

    def _patches(self, tokens: Tensor, pathway_keys, patch_keys, around, said: dict | None) -> Tensor:
        rows = len(tokens) if torch.is_grad_enabled() else ROWS_AT_ONCE
        parts, spoken = [], 0.0
        for start in range(0, len(tokens), rows):
            part, shares = self._some_patches(
                tokens, slice(start, start + rows), pathway_keys, patch_keys, around
            )
            parts.append(part)
            if shares is not None and said is not None:
                spoken = spoken + shares.sum(dim=0)
        if said is not None and "patches_read_pathways" in self.bias:
            said["patches_read_pathways"] = spoken / len(tokens)
        return self.patch_join(torch.cat(parts))

    def _some_patches(self, tokens: Tensor, rows: slice, pathway_keys, patch_keys, around):
        query = self._query(self.patch_query, tokens[rows])
        blocks = []
        if "patches_read_pathways" in self.bias:
            score = torch.einsum("nhd,khd->nhk", query, pathway_keys[0])
            bias = self.bias["patches_read_pathways"] - math.log(len(pathway_keys[0]))
            blocks.append(score + bias[:, None])
        if "patches_to_patches" in self.bias:
            index, bias = self._graph(around, rows, len(query))
            score = torch.einsum("nhd,nkhd->nhk", query, gather_rows(patch_keys[0], index))
            blocks.append(score + bias)
        share = torch.softmax(torch.cat(blocks, dim=2), dim=2)
        mixed, told = 0.0, None
        if "patches_read_pathways" in self.bias:
            told = share[:, :, : len(pathway_keys[0])]
            mixed = torch.einsum("nhk,khd->nhd", told, pathway_keys[1])
        if "patches_to_patches" in self.bias:
            local = share[:, :, -index.shape[1] :]
            mixed = mixed + torch.einsum("nhk,nkhd->nhd", local, gather_rows(patch_keys[1], index))
        return mixed.flatten(1), told

    def _graph(self, around: Around, rows: slice, count: int) -> tuple[Tensor, Tensor]:
        """Places of a patch itself and its neighbours (n, 1 + k), and how much they weigh (n, heads, 1 + k)."""
        near, offset = around.index[rows], around.offset_um[rows] / UNIT_UM
        own = torch.arange(rows.start, rows.start + count, device=near.device)[:, None]
        there = near >= 0
        turns = torch.arange(1, HARMONICS + 1, device=near.device)
        angle = torch.atan2(offset[..., 1], offset[..., 0])[:, :, None] * turns
        bias = self.direction(torch.cat([angle.cos(), angle.sin()], dim=2))
        bias = bias - offset.norm(dim=2)[:, :, None] * self.slope
        bias = bias.masked_fill(~there[:, :, None], -math.inf)
        bias = torch.cat([torch.zeros_like(bias[:, :1]), bias], dim=1).transpose(1, 2)
        keys = (1 + there.sum(dim=1)).log()[:, None, None]
        return torch.cat([own, near.clamp(min=0)], dim=1), bias + self.bias["patches_to_patches"][
            :, None
        ] - keys


def dense_reference(attention: FlowAttention, pathways: Tensor, patches: Tensor, around: Around) -> tuple:
    """The same as `FlowAttention.forward` by one product of all tokens with all, masked: O((P + n)^2), for tests."""
    p, n, flows = len(pathways), len(patches), attention.flows
    weight = torch.full((attention.heads, p + n, p + n), -math.inf)
    bias = attention.bias
    if flows.pathways_to_pathways:
        weight[:, :p, :p] = (bias["pathways_to_pathways"] - math.log(p))[:, None, None]
    if flows.pathways_read_patches:
        weight[:, :p, p:] = (bias["pathways_read_patches"] - math.log(n))[:, None, None]
    if flows.patches_read_pathways:
        weight[:, p:, :p] = (bias["patches_read_pathways"] - math.log(p))[:, None, None]
    if flows.patches_to_patches:
        index, local = attention._graph(around, slice(0, n), n)
        for place in range(index.shape[1]):
            seen = torch.isfinite(local[:, 0, place])
            weight[:, p + torch.arange(n)[seen], p + index[seen, place]] = local[seen, :, place].T
    nothing = torch.zeros(p, attention.heads, pathways.shape[1] // attention.heads)
    padding = torch.zeros(n, *nothing.shape[1:])

    def query(project, tokens, empty):
        return empty if project is None else attention._query(project, tokens)

    def keys(project, tokens, empty):
        return (empty, empty) if project is None else attention._keys(project, tokens)

    q = torch.cat(
        [query(attention.pathway_query, pathways, nothing), query(attention.patch_query, patches, padding)]
    )
    pairs = zip(
        keys(attention.pathway_keys, pathways, nothing),
        keys(attention.patch_keys, patches, padding),
        strict=True,
    )
    k, v = (torch.cat(pair) for pair in pairs)
    share = torch.softmax(torch.einsum("qhd,khd->hqk", q, k) + weight, dim=2).nan_to_num(0.0)
    mixed = torch.einsum("hqk,khd->qhd", share, v).flatten(1)
    return (
        None if attention.pathway_join is None else attention.pathway_join(mixed[:p]),
        None if attention.patch_join is None else attention.patch_join(mixed[p:]),
    )
