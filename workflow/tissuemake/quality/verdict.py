"""Findings gathered into ``check.json``; whatever goes wrong while looking is itself a finding."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tissuemake.errors import InputError
from tissuemake.files import write_json

LEVELS = ("pass", "warn", "fail")


class Verdict:
    """What was found about one sample or reference.

    Parameters
    ----------
    kind
        ``"sample"`` or ``"reference"``.
    name
        Its name in the sheet.
    """

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        self.name = name
        self.findings: list[dict[str, str]] = []
        self.facts: dict[str, object] = {}

    def fail(self, code: str, message: str, remedy: str) -> None:
        """Note something that stops this sample."""
        self.add(InputError(code, message, remedy).finding("fail"))

    def warn(self, code: str, message: str, remedy: str) -> None:
        """Note something the user should know."""
        self.add(InputError(code, message, remedy).finding("warn"))

    def add(self, finding: dict[str, str]) -> None:
        """Add a finding of ``check.json`` once; its message names the sample."""
        if self.name not in finding["message"]:
            finding = {**finding, "message": f"{self.kind.title()} '{self.name}': {finding['message']}"}
        if finding not in self.findings:
            self.findings.append(finding)

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """Turn whatever the block raises into a finding; `what` says what it was looking at."""
        try:
            yield
        except InputError as error:
            self.add(error.finding("fail"))
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self.fail(
                "unexpected",
                f"{self.kind.title()} '{self.name}': looking at {what} failed with "
                f"{type(error).__name__}: {error}",
                "Report this with the log: it should have been a clear message.",
            )

    @property
    def status(self) -> str:
        """The worst level found."""
        return max((finding["level"] for finding in self.findings), key=LEVELS.index, default="pass")

    @property
    def failed(self) -> bool:
        """Whether the sample cannot go on."""
        return self.status == "fail"

    def write(self, output: Path) -> None:
        """Write ``check.json``, worst findings first."""
        findings = sorted(self.findings, key=lambda finding: -LEVELS.index(finding["level"]))
        content = {self.kind: self.name, "status": self.status, "findings": findings, "facts": self.facts}
        write_json(content, output)
