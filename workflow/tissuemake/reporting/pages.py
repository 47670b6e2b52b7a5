"""Templates to self-contained pages: everything inline, everything escaped, nothing fetched."""

import base64
import hashlib
import json
import math
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tissuemake import __version__, files

ASSETS = Path(__file__).parent / "assets"


def render(template: str, *, styles: tuple[str, ...], scripts: tuple[str, ...], **context: object) -> str:
    """Return the page of `template`, its styles and scripts inlined and pinned by a content security policy.

    The policy allows only these very styles and scripts and pictures in ``data:`` URIs, so a text that
    slipped through the escaping could neither run nor reach a network.
    """
    style = "\n".join(_asset(name) for name in styles)
    script = "\n".join(_asset(name) for name in scripts)
    policy = (
        "default-src 'none'; img-src data: blob:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    )
    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        number=number, fixed=fixed, score=score, probability=probability, seconds=seconds, megabytes=megabytes
    )
    return environment.get_template(template).render(
        style=Markup(style), script=Markup(script), policy=policy, version=__version__, **context
    )


def write_page(html: str, output: str | Path) -> None:
    """Write a page, whole or not at all. Lone surrogates of file names become question marks."""
    files.write_text(html.encode("utf-8", errors="replace").decode("utf-8"), output)


def json_block(content: object) -> Markup:
    """Return `content` as JSON that cannot end the script element it stands in; NaN becomes null."""
    text = json.dumps(plain(content), separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def data_uri(content: bytes, media_type: str) -> str:
    """Return `content` as a ``data:`` URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def plain(value: object) -> object:
    """Return `value` with numpy scalars and arrays as Python ones and what is not finite as None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value if value is None or isinstance(value, str) else str(value)


def number(value: object, digits: int = 3) -> str:
    """Return a number as people write it: thousands apart, `digits` significant, a dash for nothing."""
    if value is None or isinstance(value, str):
        return value or "–"
    value = float(value)
    if not math.isfinite(value):
        return "–"
    if (value == round(value) and abs(value) < 1e15) or abs(value) >= min(1000, 10**digits):
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−")


def fixed(value: float, digits: int = 2) -> str:
    """Return a number with `digits` decimals, for columns whose points should stand under each other."""
    if not math.isfinite(float(value)):
        return "–"
    # + 0.0: what rounds to nothing has no sign.
    return f"{round(float(value), digits) + 0.0:.{digits}f}".replace("-", "−")


def score(value: float) -> str:
    """Return a score with three decimals; beyond 1 it is a count of spots or genes."""
    return number(value) if abs(float(value)) > 1 else fixed(value, 3)


def probability(value: float) -> str:
    """Return a p-value or false discovery rate for reading."""
    if not math.isfinite(float(value)):
        return "–"
    return "< 0.001" if value < 0.001 else f"{float(value):.3f}"


def seconds(value: object) -> str:
    """Return a duration for reading."""
    if value is None or not math.isfinite(float(value)):
        return "–"
    value = float(value)
    if value < 60:
        return f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 3600 else f"{value / 3600:.1f} h"


def megabytes(value: object) -> str:
    """Return a memory size for reading."""
    if value is None or not math.isfinite(float(value)):
        return "–"
    return f"{float(value):.0f} MB" if float(value) < 1000 else f"{float(value) / 1024:.1f} GB"


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
