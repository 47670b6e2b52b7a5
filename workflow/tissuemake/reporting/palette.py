"""Colours of the pages: viridis for numbers, 24 for classes that colour-blind readers can tell apart."""

import numpy as np

# Okabe & Ito's seven, then always the colour farthest from those before it in CIELAB, where a distance is the
# smallest of normal, deuteranope and protanope vision (Machado et al. 2009). No two are nearer than ΔE 14.
CATEGORICAL = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#0069ff",
    "#870f0f", "#69f096", "#692d5a", "#3c2da5", "#ffc3d2", "#2d96ff", "#ff005a", "#ff965a",
    "#2d693c", "#780f78", "#b42d00", "#3cd296", "#69e1ff", "#a54b87", "#0069d2", "#c30fa5",
)  # fmt: skip
MISSING = "#9aa0a6"
# Darker than "no value", and none of the classes.
UNKNOWN_COLOUR = "#50555b"

# Anchors of matplotlib's viridis (van der Walt & Smith, CC0), every 1/16; between them straight lines.
_VIRIDIS = (
    "440154", "48186a", "472d7b", "424086", "3b528b", "33638d", "2c728e", "26828e",
    "21918c", "1fa088", "28ae80", "3fbc73", "5ec962", "84d44b", "addc30", "d8e219",
    "fde725",
)  # fmt: skip
# Blue, white, red: Moreland's cool-warm ends with a neutral middle.
_DIVERGING = ((59, 76, 192), (242, 242, 242), (180, 4, 38))


def categorical(n: int) -> list[str]:
    """Return `n` hex colours; after 24 they come round again."""
    return [CATEGORICAL[i % len(CATEGORICAL)] for i in range(n)]


def viridis(n: int = 64) -> list[str]:
    """Return `n` hex colours from dark violet to yellow."""
    anchors = np.array([[int(text[i : i + 2], 16) for i in (0, 2, 4)] for text in _VIRIDIS], dtype=float)
    return _ramp(anchors, n)


def diverging(value: float, limit: float) -> str:
    """Return the hex colour of `value` on a blue-white-red scale from ``-limit`` to ``limit``."""
    share = 0.5 if limit <= 0 else float(np.clip(0.5 + value / limit / 2, 0, 1))
    steps = _ramp(np.array(_DIVERGING, dtype=float), 201)
    return steps[round(share * 200)]


def is_dark(colour: str) -> bool:
    """Whether white text reads better than black on `colour` (relative luminance of WCAG 2)."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722)) < 0.18


def _ramp(anchors: np.ndarray, n: int) -> list[str]:
    at = np.linspace(0, len(anchors) - 1, n)
    channels = [np.interp(at, np.arange(len(anchors)), anchors[:, i]) for i in range(3)]
    return [
        "#{:02x}{:02x}{:02x}".format(*(round(value) for value in colour))
        for colour in zip(*channels, strict=True)
    ]
