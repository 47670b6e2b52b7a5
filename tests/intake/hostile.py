"""What the tests of a hostile drop folder share: a pickle that leaves a mark, and what a scan says and keeps."""

import os
from pathlib import Path

from tissuemake.intake import scan_inbox
from tissuemake.sheets import Sample, read_samples

MATRIX = "filtered_feature_bc_matrix.h5"


class Evil:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch '{self.mark}'",)


def scanned(inbox: Path) -> dict[str, str]:
    """What was left out of the box, by path, with its code; every reason has words."""
    result = scan_inbox(inbox, inbox.parent / "run", settle=0)
    assert not result.waiting and all(outcome.message for outcome in result.left_out)
    return {str(Path(outcome.path).relative_to(inbox)): outcome.code for outcome in result.left_out}


def rows(inbox: Path) -> dict[str, Sample]:
    path = inbox.parent / "run" / "config" / "samples.tsv"
    return read_samples(path).rows if path.exists() else {}
