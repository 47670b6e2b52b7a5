"""In silico perturbation: set a ligand in the neighbours of every spot, and read what becomes of the target."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import anndata as ad
import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, norm

from tissuemake.contracts import FILTERED, PERTURBATION, read_anndata, read_table, write_table
from tissuemake.domains.neighbors import microns
from tissuemake.errors import InputError
from tissuemake.models.sagefm.changes import change_of
from tissuemake.models.sagefm.pairs import Panel, choose_panel
from tissuemake.models.sagefm.perturbed import some_spots
from tissuemake.models.sagefm.responses import Responses, responses, rigid_motion
from tissuemake.models.sagefm.section import Section
from tissuemake.provenance import measured

PERMUTATIONS = 200
# Random pairs per pair, of genes among the controls nearest in expression to its own.
RANDOM_PAIRS, NEAREST = 10, 10
# The network is asked about so many spots at most: its answer is a mean.
MOST_SPOTS = 500
# A slope beside 20 controls, and its spread over rigid motions, say nothing of fewer.
FEWEST_SPOTS = 50
# What leaves a sample without rows: other samples of the run may well have some.
NOTHING_TO_ASK = ("few_spots", "no_pairs")


class Model(Protocol):
    """What is needed of a model: a vocabulary, and log1p CP10k of every gene with some hidden at the centre."""

    genes: list[str]

    def read(self, adata: ad.AnnData, sample: str = "") -> Section:
        """Take the vocabulary out of a section."""

    def predict(self, section: Section, hidden: np.ndarray | None = None) -> np.ndarray:
        """Return (n, V)."""


def perturb_spots(
    filtered: Path,
    model: Path | str,
    output: Path,
    *,
    pairs: Path | None = None,
    seed: int = 0,
    gpus: int = 0,
) -> None:
    """Write contract PERTURBATION for one sample: a row per pair, see `perturb`.

    A sample of too few spots, or that measured no pair, gets no rows; ``findings`` of the record say why.

    Parameters
    ----------
    pairs
        A table with the columns ``ligand``, ``receptor`` and, where the receptor is not what is read, ``target``;
        by default the measured pairs of liana's consensus resource.

    Raises
    ------
    InputError
        Those of `read_pairs` and of the model.
    """
    from tissuemake.models.sagefm.encode import load_sagefm

    adata = read_anndata(filtered, FILTERED)
    with measured("sagefm", seed=seed, model=str(model), pairs=str(pairs or "liana"), slides=1) as record:
        network = load_sagefm(model, gpus)
        record["device"] = network.device.name
        try:
            table = perturb(adata, network, pairs=pairs, seed=seed)
        except InputError as error:
            if error.code not in NOTHING_TO_ASK:
                raise
            # Only the choice of pairs is a person's to mend.
            mendable = pairs is not None and error.code == "no_pairs"
            table, record["findings"] = _no_rows(), [error.finding("warn" if mendable else "info")]
    write_table(table, output, PERTURBATION, record)


def perturb_cohort(tables: Sequence[Path], output: Path) -> None:
    """Combine the slides of a cohort, a row per pair that any slide measured; contract PERTURBATION.

    Effects are means over slides; z-scores, each from permutations within its slide, are summed over the root of
    their number (Stouffer). ``slides`` says how many measured the pair, ``agreement`` in which share of them the
    effect has the sign of the combined one: a single slide does not carry a cohort. Why others are empty stands in
    ``findings`` of the record.
    """
    with measured("sagefm", slides=len(tables)) as record:
        slides = [read_table(path, PERTURBATION) for path in tables]
        asked = [slide for slide in slides if len(slide)]
        combined = combine_slides(pd.concat(asked, ignore_index=True)) if asked else _no_rows()
        record["findings"] = [
            said for slide in slides for said in slide.attrs.get("tissuemake", {}).get("findings", [])
        ]
    write_table(combined, output, PERTURBATION, record)


def _no_rows() -> pd.DataFrame:
    names = {"ligand", "receptor", "target"}
    return pd.DataFrame(
        {name: pd.Series(dtype=str if name in names else float) for name in PERTURBATION.columns}
    )


def combine_slides(slides: pd.DataFrame) -> pd.DataFrame:
    """As `perturb_cohort`, for the rows of all slides one below the other."""
    groups = slides.groupby(["ligand", "receptor", "target"], sort=False)
    combined = groups.mean(numeric_only=True)
    number = groups.size()
    for name in ("zscore", "swapped_zscore"):
        combined[name] *= np.sqrt(number)
    sign = np.sign(combined["zscore"]).reindex(pd.MultiIndex.from_frame(slides[groups.keys])).to_numpy()
    agrees = (
        (np.sign(slides["zscore"]) == sign).groupby([slides[key] for key in groups.keys], sort=False).mean()
    )
    combined = _with_pvalues(combined.assign(slides=number, agreement=agrees).reset_index())
    return combined.sort_values("zscore", ascending=False, kind="stable").reset_index(drop=True)


def _with_pvalues(table: pd.DataFrame) -> pd.DataFrame:
    pvalue = 2 * norm.sf(np.abs(table["zscore"]))
    return table.assign(
        pvalue=pvalue,
        pvalue_fdr=false_discovery_control(pvalue),
        direction=(table["zscore"] - table["swapped_zscore"]) / np.sqrt(2),
    )


def perturb(adata: ad.AnnData, model: Model, *, pairs: Path | None = None, seed: int = 0) -> pd.DataFrame:
    """Ask what a ligand in the neighbours does to a target in the centre, in the data and in the model.

    Returns
    -------
    A row per pair, strongest first:

    effect
        Change of the target, in its SDs, while the mean of the ligand over the neighbours goes from its 5th to its
        95th percentile, at equal depth and equal genes of the centre that say most of either (`responses`).
    swapped_effect
        The same with the target in the neighbours and the ligand in the centre.
    random_effect
        Mean effect of random pairs of genes as often expressed.
    zscore, pvalue, pvalue_fdr
        Of the effect, two-sided, beside `PERMUTATIONS` rigid motions of the ligand's field over the section.
    direction
        Difference of the z-scores of effect and swapped effect, over the root of 2.
    network_effect, network_swapped_effect
        The same questions to the model: its predicted change while the ligand is set to these percentiles in all
        neighbours and hidden in the centre. A model of few latent dimensions hardly sees single genes.

    Raises
    ------
    InputError
        ``few_spots``, and those of `choose_panel` and of the model.
    """
    rng = np.random.default_rng(seed)
    sample = str(adata.uns["tissuemake"].get("sample", ""))
    if adata.n_obs < FEWEST_SPOTS:
        raise InputError(
            "few_spots",
            f"Sample {sample}: {adata.n_obs} observations are too few to ask what a ligand does, which takes "
            f"{FEWEST_SPOTS}.",
            "Nothing to mend if the section is that small; else look at what quality control dropped.",
        )
    section = model.read(adata, sample)
    seen = np.asarray((section.counts > 0).mean(axis=0)).ravel()
    panel = choose_panel(adata, model.genes, pairs, seen)
    values = _values(section, panel)
    others = np.setdiff1d(np.flatnonzero(seen > 0), panel.genes)
    positions = microns(adata)
    found = responses(values, section.log_values()[:, others], section.depth(), section.neighbors)
    table = _observed(panel, found, positions, values.mean(axis=0), rng)
    network = _ask_network(model, section, panel, found, values.std(axis=0), rng)
    table = pd.concat([panel.pairs, table, network], axis=1)
    return table.sort_values("zscore", ascending=False, kind="stable").reset_index(drop=True)


def _values(section: Section, panel: Panel) -> np.ndarray:
    """(n, names) log1p CP10k; of a complex, the mean of its subunits."""
    log_values = section.log_values()
    return np.column_stack(
        [np.asarray(log_values[:, genes].mean(axis=1)).ravel() for genes in panel.members]
    ).astype(float)


def _observed(
    panel: Panel, found: Responses, positions: np.ndarray, level: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    ligand, target = (panel.names.get_indexer(panel.pairs[name]) for name in ("ligand", "target"))
    motions = np.array([rigid_motion(positions, rng) for _ in range(PERMUTATIONS)])
    effect, zscore = _asked(found, ligand, target, motions)
    swapped, swapped_zscore = _asked(found, target, ligand, motions)
    table = pd.DataFrame(
        {
            "effect": effect,
            "swapped_effect": swapped,
            "random_effect": _random_effects(panel, found, level, ligand, target, rng),
            "zscore": zscore,
            "swapped_zscore": swapped_zscore,
        }
    )
    return _with_pvalues(table)


def _asked(
    found: Responses, signal: np.ndarray, response: np.ndarray, motions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Effects, and in units of their spread over the motions; by chance there is none, so their mean stays on."""
    effects = np.empty((2, len(signal)))
    for row, (one, other) in enumerate(zip(signal, response, strict=True)):
        effect, moved = found.effect(one, other, motions)
        effects[:, row] = effect, effect / max(moved.std(), 1e-9)
    return effects[0], effects[1]


def _random_effects(panel, found, level, ligand, target, rng):
    """Mean effect of random pairs of controls that are expressed as the pair is; NaN without controls."""
    controls = np.flatnonzero(panel.controls)
    if len(controls) < 2:
        return np.full(len(ligand), np.nan)

    def alike(name):
        return controls[np.argsort(np.abs(level[controls] - level[name]), kind="stable")[:NEAREST]]

    means = []
    for one, other in zip(ligand, target, strict=True):
        left, right = (rng.choice(alike(name), RANDOM_PAIRS) for name in (one, other))
        drawn = [found.effect(a, b)[0] for a, b in zip(left, right, strict=True) if a != b]
        means.append(np.mean(drawn) if drawn else np.nan)
    return np.array(means)


def _ask_network(
    model: Model, section: Section, panel: Panel, found: Responses, sd: np.ndarray, rng: np.random.Generator
) -> pd.DataFrame:
    """Let the model predict with each name low and high in all neighbours."""
    hidden = np.zeros(len(model.genes), dtype=bool)
    hidden[panel.genes] = True
    part = some_spots(section, MOST_SPOTS, rng)
    asked = {
        name: panel.names.get_loc(name)
        for name in pd.unique(panel.pairs[["ligand", "target"]].to_numpy().ravel())
    }
    ask = change_of(model, part, hidden)
    change = {
        name: ask(panel.members[number], found.low[number], found.high[number])
        for name, number in asked.items()
    }

    def effects(signal, response):
        return [
            change[one][panel.members[asked[other]]].mean() / max(sd[asked[other]], 1e-6)
            for one, other in zip(panel.pairs[signal], panel.pairs[response], strict=True)
        ]

    return pd.DataFrame(
        {
            "network_effect": effects("ligand", "target"),
            "network_swapped_effect": effects("target", "ligand"),
        }
    ).astype(float)
