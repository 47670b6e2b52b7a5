"""cell2location (Kleshchevnikov et al. 2022, Nat. Biotechnol.): a Bayesian count model of spots."""

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.deconvolution.gene_choice import shared_markers
from tissuemake.deconvolution.optional import require
from tissuemake.device import given_device

# The authors' own settings.
REFERENCE_EPOCHS = 250
EPOCHS = 30_000
DETECTION_ALPHA = 20
SAMPLES = 200
# Markers steer least squares; a count model gains from more genes, and its own filter keeps some thousands.
MARKERS_PER_TYPE = 200
# About one cell for 300 µm² of a section: 8 under a Visium spot of 55 µm, 26 under a legacy spot of 100 µm.
UM2_PER_CELL = 300.0


def proportions(
    spots: ad.AnnData,
    reference: ad.AnnData,
    signatures: pd.DataFrame,
    markers: pd.DataFrame,
    seed: int,
    gpus: int = 0,
) -> pd.DataFrame:
    """Posterior mean abundance by type (spots, types) and ``{type}_sd``; on the GPU that was given, else the CPU."""
    require("cell2location", "cell2location")
    device = given_device(min(gpus, 1))
    import scvi
    from cell2location.models import Cell2location

    scvi.settings.seed = seed
    here, there = shared_markers(spots, reference, markers, MARKERS_PER_TYPE)
    profiles = _regress_profiles(reference, there, device.accelerator)
    counted = ad.AnnData(
        sp.csr_matrix(spots.layers["counts"][:, here], dtype=np.float32),
        obs=pd.DataFrame(index=spots.obs_names),
        var=pd.DataFrame(index=profiles.index),
    )
    Cell2location.setup_anndata(counted)
    model = Cell2location(
        counted,
        cell_state_df=profiles,
        N_cells_per_location=cells_per_spot(spots),
        detection_alpha=DETECTION_ALPHA,
    )
    model.train(max_epochs=EPOCHS, batch_size=None, train_size=1, accelerator=device.accelerator)
    options = {"num_samples": SAMPLES, "batch_size": counted.n_obs, "accelerator": device.accelerator}
    counted = model.export_posterior(counted, sample_kwargs=options)
    means = _abundance(counted, "means", profiles.columns)
    spread = _abundance(counted, "stds", profiles.columns).add_suffix("_sd")
    table = pd.concat([means.reindex(columns=signatures.columns, fill_value=0.0), spread], axis=1)
    table.attrs = {"n_genes": len(here), "device": device.name, "epochs": EPOCHS}
    return table


def cells_per_spot(spots: ad.AnnData) -> int:
    """Expected cells under a spot, from its area; 1 at least."""
    diameter = float(spots.uns.get("tissuemake", {}).get("spot_diameter_um", 0) or 55.0)
    return max(1, round(np.pi / 4 * diameter**2 / UM2_PER_CELL))


def _regress_profiles(reference: ad.AnnData, genes: np.ndarray, accelerator: str) -> pd.DataFrame:
    """Expected expression per type, with the donors' effects taken out (genes, types)."""
    from cell2location.models import RegressionModel

    atlas = ad.AnnData(
        sp.csr_matrix(reference.X[:, genes], dtype=np.float32),
        obs=reference.obs[["cell_type", "donor"]].astype(str).astype("category"),
        var=pd.DataFrame(index=reference.var_names[genes]),
    )
    RegressionModel.setup_anndata(atlas, batch_key="donor", labels_key="cell_type")
    model = RegressionModel(atlas)
    model.train(max_epochs=REFERENCE_EPOCHS, batch_size=2500, train_size=1, lr=0.002, accelerator=accelerator)
    atlas = model.export_posterior(
        atlas, sample_kwargs={"num_samples": SAMPLES, "batch_size": 2500, "accelerator": accelerator}
    )
    names = list(atlas.uns["mod"]["factor_names"])
    profiles = atlas.varm["means_per_cluster_mu_fg"][[f"means_per_cluster_mu_fg_{name}" for name in names]]
    return profiles.set_axis(names, axis=1)


def _abundance(counted: ad.AnnData, statistic: str, types: pd.Index) -> pd.DataFrame:
    prefix = f"{statistic}_cell_abundance_w_sf"
    table = counted.obsm[prefix]
    columns = {name: table[f"{prefix.replace('_cell', 'cell')}_{name}"] for name in types}
    return pd.DataFrame(columns, index=counted.obs_names)
