"""Did everything that the sheet names by URL arrive?"""

from pathlib import Path

from tissuemake.files import read_json
from tissuemake.quality.verdict import Verdict


def check_receipts(verdict: Verdict, receipts: list[Path]) -> None:
    """Add a failure for each receipt of a fetch that failed or is not there.

    A receipt without a status (the truth of a simulated tissue) only has to exist.
    """
    for path in map(Path, receipts):
        if not path.is_file():
            verdict.fail(
                "not_fetched",
                f"{verdict.kind.title()} '{verdict.name}': the receipt {path} does not exist.",
                "Run again; the workflow fetches or simulates what is missing.",
            )
            continue
        receipt = read_json(path)
        if receipt.get("status", "ok") != "ok":
            verdict.fail(
                "not_fetched",
                f"{verdict.kind.title()} '{verdict.name}': {receipt['message']}",
                receipt["remedy"],
            )
