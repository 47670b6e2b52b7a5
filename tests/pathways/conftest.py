"""A made-up section with a programme that does not follow how deeply its spots were sequenced."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

SPOTS, GENES, MEMBERS = 240, 300, 20


def make_section(name: str = "toy", seed: int = 0, spots: int = SPOTS) -> ad.AnnData:
    """Poisson counts of differing depth; the first genes grow with ``obs["programme"]``, which stands beside depth."""
    rng = np.random.default_rng(seed)
    share = rng.lognormal(0, 1, GENES)
    share /= share.sum()
    programme = rng.normal(size=spots)
    depth = rng.lognormal(6.5, 0.6, spots)
    rate = np.repeat(share[None], spots, axis=0)
    rate[:, :MEMBERS] *= np.exp(0.4 * programme)[:, None]
    counts = sp.csr_matrix(rng.poisson(rate * depth[:, None]).astype(np.float32))
    total = np.asarray(counts.sum(axis=1)).ravel()
    genes = pd.Index([f"GENE{i}" for i in range(GENES)])
    adata = ad.AnnData(
        sp.csr_matrix(sp.diags(1e4 / total) @ counts).log1p(),
        obs=pd.DataFrame(
            {
                "in_tissue": True,
                "total_counts": total,
                "n_genes_by_counts": counts.getnnz(axis=1),
                "programme": programme,
            },
            index=[f"spot{i}" for i in range(spots)],
        ),
        var=pd.DataFrame({"gene_id": ""}, index=genes),
        obsm={"spatial": rng.uniform(0, 1000, (spots, 2))},
        uns={
            "tissuemake": {"sample": name, "organism": "human"},
            "spatial": {},
            "dropped": pd.DataFrame({"reason": []}),
        },
    )
    adata.layers["counts"] = counts
    return adata


@pytest.fixture
def section() -> ad.AnnData:
    return make_section()


@pytest.fixture
def sets(section) -> dict[str, list[str]]:
    """The programme, and three sets of genes that are not in it."""
    genes = section.var_names
    return {"PROGRAMME": list(genes[:MEMBERS])} | {
        f"OTHER_{i}": list(genes[start : start + 30]) for i, start in enumerate((40, 100, 200))
    }


@pytest.fixture
def gmt(tmp_path, sets):
    path = tmp_path / "sets.gmt"
    path.write_text("".join(f"{name}\tmade up\t" + "\t".join(genes) + "\n" for name, genes in sets.items()))
    return path
