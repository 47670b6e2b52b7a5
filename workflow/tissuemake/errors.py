"""Ground floor: the one error a user sees: what is wrong, where, and what to do."""

from collections.abc import Sequence


class InputError(ValueError):
    """Something in the sheet, the config or an input file that a person can mend.

    Parameters
    ----------
    code
        Short stable name, e.g. ``"missing_positions"``; tests and reports key on it.
    message
        What is wrong, with the file or column and the value.
    remedy
        What the person should do, in the imperative.
    """

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(f"{message} Remedy: {remedy}")
        self.code = code
        self.message = message
        self.remedy = remedy

    def __reduce__(self):
        return type(self), (self.code, self.message, self.remedy)

    def finding(self, level: str = "fail") -> dict[str, str]:
        """Return the error as a finding of ``check.json``."""
        return {"level": level, "code": self.code, "message": self.message, "remedy": self.remedy}


def refuse_unknown_method(task: str, method: str, known: Sequence[str]) -> None:
    """Raise `InputError` ``unknown_method`` when the `task` of the config has no such method."""
    if method not in known:
        raise InputError(
            "unknown_method",
            f"The {task} method '{method}' is unknown.",
            f"Choose among {', '.join(known)} in the config ({task}: methods).",
        )
