"""The tissue that genes tell of: genes that few tissues transcribe, and how high they stand in a sample."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

# Symbols in capitals; mouse genes are compared in capitals, their orthologs are called alike but for these few.
MARKERS = {
    "brain": "SNAP25 SYT1 MBP PLP1 GFAP SLC17A7 GAD1 GAD2 NRGN ENC1 STMN2 THY1 MOBP RBFOX3 NEFL",
    "olfactory bulb": "CDHR1 DOC2G OMP GNG4 TH PENK FABP7 S100A5 PCP4 SLC17A7 GAD1 EOMES",
    "liver": "ALB APOA1 APOA2 APOC3 TTR SERPINA1 HP FGA FGB FGG CYP3A4 CYP2E1 CPS1 ASS1 MUP20",
    "pancreas": "PRSS1 PRSS2 CTRB1 CTRB2 CPA1 CPA2 CELA3A CELA3B CLPS PNLIP REG1A INS GCG CEL PRSS3",
    "breast": "SCGB2A2 SCGB1D2 PIP AZGP1 KRT7 TFF1 TFF3 ERBB2 GATA3 ESR1 AGR3 MUCL1 ANKRD30A TRPS1 CSN3",
    "prostate": "KLK3 KLK2 ACPP ACP3 MSMB NKX3-1 STEAP2 TMPRSS2 FOLH1 SLC45A3 PLA2G2A RDH11",
    "colon": "PIGR FABP1 LGALS4 CDX1 CDX2 PHGR1 TSPAN8 KRT20 CEACAM5 CEACAM6 MUC2 FCGBP CLCA1 SLC26A3 EPCAM",
    "small intestine": "FABP2 FABP6 APOA4 ALPI RBP2 ANPEP SI OLFM4 DEFA5 DEFA6 VIL1 REG3A",
    "stomach": "PGC GKN1 GKN2 TFF1 TFF2 MUC5AC MUC6 LIPF GIF PGA3 PGA4 ATP4A",
    "lung": "SFTPC SFTPB SFTPA1 SFTPA2 SFTPD SCGB1A1 SCGB3A1 SCGB3A2 AGER NAPSA SLC34A2 LAMP3 CLDN18",
    "kidney": "UMOD SLC12A1 SLC12A3 AQP2 PDZK1IP1 LRP2 SLC34A1 NPHS1 NPHS2 KAP CDH16 GPX3 PODXL",
    "heart": "MYH6 MYH7 MYL2 MYL3 MYL7 TNNT2 TNNI3 ACTC1 NPPA NPPB MB TTN MYBPC3 RYR2",
    "skeletal muscle": "ACTA1 CKM MYH1 MYH2 MYH4 MYH7 TNNT3 TNNC2 MYLPF ACTN3 MB NEB MYL1 ENO3",
    "skin": "KRT1 KRT5 KRT10 KRT14 KRT2 LOR KRTDAP DSG1 DSC1 SBSN DMKN SFN CALML5 LGALS7",
    "lymphoid tissue": "MS4A1 CD79A CD79B CD19 CR2 CXCL13 CCL19 CCL21 LTB CD3E CD3D TRAC IL7R CXCR5 FDCSP CD37",
    "ovary": "WFDC2 MUC16 PAX8 FOLR1 SOX17 EMX2 MSLN STAR CYP17A1 INHA FOXL2",
    "testis": "PRM1 PRM2 TNP1 TNP2 ACRV1 ODF1 DDX4 SYCP3 TEX101 CRISP2",
    "placenta": "CSH1 CSH2 CGA PSG1 PSG3 KISS1 PAPPA ERVW-1 GH2 PAGE4 PLAC4",
    "thyroid": "TG TPO TSHR SLC26A4 PAX8 NKX2-1 DIO1 FOXE1 IYD",
    "adipose tissue": "ADIPOQ PLIN1 PLIN4 LEP FABP4 LPL CIDEC CIDEA GPD1 LIPE THRSP",
    "eye": "RHO SAG GNAT1 PDE6A OPN1SW RCVRN CRYAA CRYBB2 RPE65 NRL ARR3",
    "cartilage and bone": "COL2A1 ACAN COL10A1 COMP MATN3 SPP1 IBSP BGLAP COL1A1 ALPL SP7 COL9A1",
}
FEWEST_MARKERS, SURE_MARKERS = 4, 6
SURE, PLAUSIBLE, CLEAR = (
    (0.85, 0.06),
    (0.72, 0.03),
    (0.6, 0.1),
)  # least score, least lead over the next tissue


@dataclass(frozen=True)
class Guess:
    """What was guessed (empty: nothing), how sure (``sure``, ``likely`` or empty), and from what."""

    value: str = ""
    sure: str = ""
    why: str = ""


def guess_tissue(profile: pd.Series) -> Guess:
    """The tissue whose markers stand highest among the detected genes.

    Parameters
    ----------
    profile
        Mean expression by gene symbol.
    """
    scores = score_tissues(profile)
    if scores.empty:
        return Guess(why="too few marker genes of any tissue on the panel")
    best, score, markers = scores.index[0], float(scores["score"].iloc[0]), int(scores["markers"].iloc[0])
    lead = score - (float(scores["score"].iloc[1]) if len(scores) > 1 else 0.0)
    why = f"{markers} markers rank at {score:.0%} of all genes"
    if len(scores) > 1:
        why += f", those of {scores.index[1]} at {score - lead:.0%}"

    def reaches(least: tuple[float, float]) -> bool:
        return score >= least[0] and lead >= least[1]

    if not (reaches(PLAUSIBLE) or reaches(CLEAR)):
        return Guess(why=f"undecided: {best}: {why}")
    return Guess(best, "sure" if reaches(SURE) and markers >= SURE_MARKERS else "likely", why)


def score_tissues(profile: pd.Series) -> pd.DataFrame:
    """By tissue, the best first: ``score``, the mean rank (0 to 1) of its markers, and how many the panel has."""
    symbols = profile.index.astype(str).str.upper()
    ranks = pd.Series(profile.rank(pct=True).to_numpy() * (profile.to_numpy() > 0), index=symbols)
    ranks = ranks[~ranks.index.duplicated()]
    rows = {}
    for tissue, names in MARKERS.items():
        found = ranks.reindex(names.split()).dropna()
        if len(found) >= FEWEST_MARKERS:
            rows[tissue] = {"score": float(np.mean(found)), "markers": len(found)}
    return (
        pd.DataFrame.from_dict(rows, orient="index").sort_values("score", ascending=False)
        if rows
        else pd.DataFrame()
    )
