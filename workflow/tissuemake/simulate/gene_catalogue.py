"""The genes of the simulated transcriptome: real symbols and identifiers, and the part that some play."""

from functools import cache
from importlib.resources import files

import pandas as pd

# Parts in the column `role` besides the names of cell types. Programmes are activities that vary over the
# tissue within types, each with genes of the MSigDB Hallmark set of that name.
PROGRAMMES = ("hypoxia", "interferon", "proliferation", "emt", "inflammation")
MITOCHONDRIAL = "mitochondrial"
RIBOSOMAL = "ribosomal"


@cache
def gene_catalogue() -> pd.DataFrame:
    """Human genes by symbol, most important first; columns ``gene_id``, ``role``. Not to be changed in place.

    First the markers of each type, programmes, mitochondrial and ribosomal genes (``role`` says which), then
    partners of these in known ligand-receptor pairs, then members of Hallmark sets. Symbols and identifiers
    are those of Ensembl 98 (GENCODE 32).
    """
    path = files("tissuemake.simulate") / "gene_catalogue.tsv"
    with path.open(encoding="utf-8") as handle:
        return pd.read_csv(handle, sep="\t", index_col="symbol", keep_default_na=False)
