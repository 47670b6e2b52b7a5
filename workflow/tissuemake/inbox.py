"""Ground floor: what scans of drop folders left out of the sample sheet, as findings for the cohort's page."""

from pathlib import Path

from tissuemake.files import read_json

# What `tissuemake scan` keeps in a run folder.
MEMORY = Path("config") / "inbox.json"
# A person took its row out of the sheet: nothing that a page need say.
SETTLED = ("removed",)


def left_out(memory: Path = MEMORY) -> dict[str, dict]:
    """Return name → finding of all that was left out, its key ``sample`` the path below its inbox.

    What still waits is not among it: the next scan looks at it again. Without a scan, or with a memory that only a scan
    can mend, nothing was left out.
    """
    try:
        inboxes = read_json(memory)["inboxes"].values()
        found = [pair for inbox in inboxes for pair in inbox["found"].items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    kept = [(path, said) for path, said in found if said.get("state") == "left_out"]
    kept = [(path, said) for path, said in kept if said.get("code") not in SETTLED]
    return {f"left-out-{number}": _finding(path, said) for number, (path, said) in enumerate(kept, 1)}


def _finding(path: str, said: dict) -> dict:
    about = {key: said.get(key, "") for key in ("code", "message", "remedy")}
    return {"level": "fail", **about, "sample": path}
