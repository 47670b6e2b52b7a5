"""The cell types of the simulated tissue: lineage, marker genes, RNA content, and how their nuclei look in H&E."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CellType:
    """One cell type.

    Parameters
    ----------
    major
        Lineage, the coarser level of the hierarchy.
    rna
        RNA content relative to an average cell.
    nucleus_um
        Semi-axes of the nucleus (long, short), µm.
    haematoxylin
        Optical density of the nucleus in the haematoxylin channel.
    aligned
        Whether the long axis follows the fibres of the tissue around it.
    cytoplasm_um, cytoplasm_eosin, cytoplasm_haematoxylin
        Radius of the visible cytoplasm (µm) and what it adds to either stain.
    markers
        Symbols expressed mainly by this type.
    """

    name: str
    major: str
    rna: float
    nucleus_um: tuple[float, float]
    haematoxylin: float
    aligned: bool
    cytoplasm_um: float
    cytoplasm_eosin: float
    cytoplasm_haematoxylin: float
    markers: tuple[str, ...]


CELL_TYPES: tuple[CellType, ...] = (
    CellType(
        "Luminal epithelial",
        "Epithelial",
        1.6,
        (4.7, 3.9),
        0.72,
        False,
        7.5,
        0.10,
        0.14,
        tuple(
            "EPCAM KRT8 KRT18 KRT19 KRT7 MUC1 CDH1 CLDN3 CLDN4 ELF3 TFF3 AGR2 ESR1 GATA3 FOXA1 SPINT2 CD24 WFDC2 "
            "ERBB3 AREG LCN2 SLPI".split()
        ),
    ),
    CellType(
        "Basal epithelial",
        "Epithelial",
        1.1,
        (4.4, 2.7),
        0.98,
        False,
        5.5,
        0.06,
        0.20,
        tuple(
            "KRT5 KRT14 KRT15 KRT17 TP63 ITGA6 ITGB4 LAMC2 DST COL17A1 SFN S100A2 JAG2 EGFR CDH3 DSG3 TRIM29 "
            "LAMB3 PERP".split()
        ),
    ),
    CellType(
        "Fibroblast",
        "Stromal",
        0.75,
        (6.0, 1.6),
        0.92,
        True,
        4.0,
        0.12,
        0.0,
        tuple(
            "COL1A1 COL1A2 COL3A1 DCN LUM PDGFRA FBLN1 COL6A3 POSTN FAP MMP2 THY1 CXCL12 FN1 IGF1 SFRP2 CTHRC1 "
            "FGF7 VCAN BGN".split()
        ),
    ),
    CellType(
        "Endothelial",
        "Stromal",
        0.6,
        (5.2, 1.3),
        1.0,
        True,
        3.0,
        0.05,
        0.05,
        tuple(
            "PECAM1 VWF CDH5 KDR CLDN5 FLT1 TEK ERG EMCN PLVAP RAMP2 ESAM ENG EGFL7 SELE ACKR1 NOTCH4 DLL4 "
            "TIE1".split()
        ),
    ),
    CellType(
        "Smooth muscle",
        "Stromal",
        0.95,
        (7.6, 1.7),
        0.74,
        True,
        5.0,
        0.18,
        0.0,
        tuple(
            "ACTA2 MYH11 TAGLN CNN1 DES LMOD1 MYLK SMTN CALD1 SYNPO2 ACTG2 RGS5 PDGFRB NOTCH3 MCAM MYL9 SORBS1 "
            "ITGA8".split()
        ),
    ),
    CellType(
        "Adipocyte",
        "Stromal",
        0.85,
        (3.6, 1.1),
        0.95,
        False,
        0.0,
        0.0,
        0.0,
        tuple(
            "ADIPOQ PLIN1 FABP4 LEP LPL PLIN4 CIDEC PPARG LIPE CD36 GPD1 AQP7 CIDEA PCK1 ADRB3 TRARG1 G0S2 "
            "SAA1".split()
        ),
    ),
    CellType(
        "T cell",
        "Immune",
        0.5,
        (2.9, 2.7),
        1.45,
        False,
        3.4,
        0.0,
        0.05,
        tuple(
            "CD3D CD3E CD3G CD2 CD8A CD4 IL7R TRAC TRBC2 CCR7 CD28 CTLA4 LCK GZMK GZMB CCL5 IFNG CD27 ICOS PDCD1 "
            "CD40LG FOXP3".split()
        ),
    ),
    CellType(
        "B cell",
        "Immune",
        0.55,
        (3.3, 3.1),
        1.30,
        False,
        3.9,
        0.0,
        0.08,
        tuple(
            "MS4A1 CD19 CD79A CD79B CD22 PAX5 BANK1 FCRL1 CXCR5 CR2 BLK FCER2 TNFRSF13C VPREB3 HLA-DOB CD40 SPIB "
            "CD83".split()
        ),
    ),
    CellType(
        "Plasma cell",
        "Immune",
        1.4,
        (3.1, 2.7),
        1.22,
        False,
        5.2,
        0.04,
        0.34,
        tuple(
            "JCHAIN MZB1 IGHG1 IGHA1 IGKC SDC1 XBP1 TNFRSF17 DERL3 PRDM1 FKBP11 IGHM SSR4 HSP90B1 CD38 "
            "PIM2".split()
        ),
    ),
    CellType(
        "Macrophage",
        "Immune",
        1.2,
        (4.6, 2.9),
        0.66,
        False,
        8.0,
        0.02,
        -0.03,
        tuple(
            "CD68 CD163 CSF1R C1QA C1QB C1QC MRC1 FCGR3A LYZ AIF1 TYROBP ITGAM MARCO SPP1 APOE MSR1 VSIG4 IL1B "
            "TNF CD14 LGALS9".split()
        ),
    ),
)
NAMES: tuple[str, ...] = tuple(kind.name for kind in CELL_TYPES)
MAJOR: dict[str, str] = {kind.name: kind.major for kind in CELL_TYPES}

# Programmes that vary over the tissue within types, each from genes of the MSigDB Hallmark set of that name.
PROGRAMMES: dict[str, tuple[str, ...]] = {
    "hypoxia": tuple(
        "VEGFA CA12 ADM ANKRD37 NDRG1 SLC2A1 BNIP3L LDHA PGK1 ENO1 ALDOA P4HA1 PDK1 HK2 DDIT4 EGLN3 KDM3A "
        "ANGPTL4 MIF BHLHE40".split()
    ),
    "interferon": tuple(
        "ISG15 IFI44 IFI44L IFIT1 IFIT2 IFIT3 MX1 OAS1 OAS2 STAT1 IRF7 IFI35 IFITM1 IFITM3 CXCL10 CXCL9 RSAD2 "
        "XAF1 BST2 PSMB9".split()
    ),
    "proliferation": tuple(
        "MKI67 TOP2A CDK1 CCNB2 BIRC5 AURKA AURKB PLK1 BUB1 CENPF TPX2 KIF11 MCM2 MCM5 PCNA CDC20 UBE2C RRM2 "
        "TYMS E2F1".split()
    ),
    "emt": tuple(
        "VIM SNAI2 TGFBI SERPINE1 ITGB1 ITGA5 TNC SPARC TAGLN2 TIMP1 CCN2 CCN1 LOX INHBA TPM2 MMP14 WNT5A "
        "CD44 TGFB1 PMEPA1".split()
    ),
    "inflammation": tuple(
        "NFKBIA TNFAIP3 CXCL8 CXCL2 CCL2 ICAM1 JUNB FOS FOSB EGR1 IER3 ATF3 SOD2 RELB BIRC3 CXCL1 IL6 PTGS2 "
        "NFKB1 ZFP36".split()
    ),
}
MITOCHONDRIAL: tuple[str, ...] = tuple(
    f"MT-{name}" for name in "ND1 ND2 ND3 ND4 ND4L ND5 ND6 CO1 CO2 CO3 CYB ATP6 ATP8".split()
)
RIBOSOMAL: tuple[str, ...] = tuple(
    "RPS3 RPS6 RPS12 RPS18 RPS27A RPL3 RPL7A RPL10 RPL13 RPL13A RPL32 RPLP0 RPLP1 RPLP2".split()
)
