"""The single-cell atlas: the same types in other people, on another platform, in the CELLxGENE layout."""

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from tissuemake.simulate import cell_types
from tissuemake.simulate.expression import (
    PROGRAMME_NAMES,
    Biology,
    calibrate,
    donor_effect,
    draw_molecules,
    platform_efficiency,
    thin,
)
from tissuemake.simulate.tissue import stream

DONORS = ("atlas_donor_1", "atlas_donor_2", "atlas_donor_3")
MEAN_UMI = 1600


def simulate_atlas(biology: Biology, seed: int, cells: int, gene_shift: float) -> ad.AnnData:
    """Draw an annotated atlas of about `cells` cells from `DONORS`; none of them gave the section.

    Returns
    -------
    AnnData
        Raw counts in ``X``; obs ``cell_type``, ``cell_type_major``, ``donor_id``; var indexed by Ensembl id
        with ``feature_name``.
    """
    rng = stream(seed, "atlas")
    efficiency = platform_efficiency(seed, "chromium", len(biology.genes), gene_shift)
    counts, rows = [], []
    for donor in DONORS:
        shares = rng.dirichlet(np.full(len(cell_types.NAMES), 5.0))
        # At least a few of each: rare types are enriched when an atlas is made.
        numbers = np.maximum(np.rint(shares * cells / len(DONORS)).astype(int), 12)
        kinds = rng.permutation(np.repeat(np.arange(len(numbers)), numbers))
        states = rng.normal(0, 0.8, (len(kinds), len(PROGRAMME_NAMES)))
        molecules = draw_molecules(biology, kinds, states, donor_effect(seed, donor, biology), rng)
        totals = np.asarray(molecules.mean(axis=0)).ravel()
        counts.append(thin(molecules, calibrate(efficiency, totals, MEAN_UMI), rng))
        rows.append(pd.DataFrame({"kind": kinds, "donor_id": donor}))
    table = pd.concat(rows, ignore_index=True)
    names = np.array(cell_types.NAMES)[table.pop("kind")]
    obs = table.assign(cell_type=names, cell_type_major=[cell_types.MAJOR[name] for name in names])
    obs = obs.assign(assay="10x 3' v3", suspension_type="cell", is_primary_data=True).astype(
        dict.fromkeys(("donor_id", "cell_type", "cell_type_major", "assay", "suspension_type"), "category")
    )
    obs.index = pd.Index([f"{donor}_{i:05d}" for i, donor in enumerate(table["donor_id"])], name="index")
    var = pd.DataFrame(
        {
            "feature_name": biology.genes.index,
            "feature_reference": "NCBITaxon:9606",
            "feature_biotype": "gene",
        },
        index=pd.Index(biology.genes["gene_id"], name="ensembl_id"),
    )
    atlas = ad.AnnData(sp.vstack(counts, format="csr").astype(np.float32), obs=obs, var=var)
    atlas.uns = {"schema_version": "5.2.0", "title": "Simulated atlas", "organism": "Homo sapiens"}
    return atlas
