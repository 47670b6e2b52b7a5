"""What pretraining gains: rows of the pretrained encoder less those of the untrained one and colour, head by head."""

import pandas as pd

from benchmarks.histology_encoders import FINE_TUNED

PRETRAINED = ("spafoundation", FINE_TUNED)
AGAINST = ("untrained", "color")
# One or two numbers of each test; the others say the same in another unit.
DECIDING = ("PCC top 250", "depth-adjusted PCC top 250", "AUROC", "ARI", "r")
LINE = ["test", "problem", "head", "metric", "encoder"]


def gains(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns `LINE`, ``against``, ``difference`` (median over seeds), ``wins`` and ``seeds``.

    Parameters
    ----------
    rows
        Columns `histology_rows.COLUMNS`. A rival without chance in it, asked once, stands beside every seed.
    """
    parts = rows["method"].str.partition(", ")
    table = rows.assign(encoder=parts[0], head=parts[2])[rows["metric"].isin(DECIDING)]
    found = []
    for line, own in table[table["encoder"].isin(PRETRAINED)].groupby(LINE, sort=False):
        here = (table[LINE[:4]] == list(line[:4])).all(axis=1)
        for against in AGAINST:
            rival = table[here & (table["encoder"] == against)]
            difference = own.set_index("seed")["value"] - _by_seed(rival, own["seed"])
            difference = difference.dropna()
            if len(difference):
                said = dict(zip(LINE, line, strict=True)) | {"against": against}
                said |= {"difference": difference.median(), "wins": int((difference > 0).sum())}
                found.append(said | {"seeds": len(difference)})
    return pd.DataFrame(found, columns=[*LINE, "against", "difference", "wins", "seeds"])


def _by_seed(rival: pd.DataFrame, seeds: pd.Series) -> pd.Series:
    values = rival.set_index("seed")["value"]
    if len(values) == 1:
        return pd.Series(values.iloc[0], index=seeds.to_numpy())
    return values


def render_gains(table: pd.DataFrame) -> str:
    """Markdown: a row per test, problem, head, metric and encoder; and in how many of them pretraining pays."""
    title = "### Pretrained less untrained, and less colour, under the same head"
    if table.empty:
        return f"{title}\n\nThe pretrained encoder and a rival have no row in common."
    lines = []
    for line, part in table.groupby(LINE, sort=False):
        cells = dict(zip(LINE, line, strict=True))
        for against in AGAINST:
            row = part[part["against"] == against]
            cells[f"less {against}"] = f"{row['difference'].iloc[0]:+.3f}" if len(row) else ""
            cells[f"wins over {against}"] = (
                f"{row['wins'].iloc[0]} of {row['seeds'].iloc[0]}" if len(row) else ""
            )
        lines.append(cells)
    text = pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True)
    said = []
    for (encoder, against), part in table.groupby(["encoder", "against"], sort=False):
        ahead = int((part["difference"] > 0).sum())
        said.append(f"{encoder} is above {against} in {ahead} of {len(part)} rows")
    return f"{title}\n\nMedian over seeds.\n\n{text}\n\n{'; '.join(said)}."
