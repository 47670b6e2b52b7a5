"""torchvision beside a torch that its binary does not fit: enough of it for timm and transformers to be imported.

The registry's torchvision is built for CUDA. Beside a CPU build of torch its compiled operators cannot be loaded, and
its import ends with "operator torchvision::nms does not exist". No encoder here uses an operator of torchvision, so
the two that its Python code registers things for are declared, without code, and the import goes through.
"""

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def mend_torchvision() -> object | None:
    """Import torchvision where it is installed; return the declared operators if it needed them."""
    if find_spec("torchvision") is None:
        return None
    try:
        import_module("torchvision")
        return None
    except RuntimeError as error:
        if "does not exist" not in str(error):
            raise
    import torch

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]  # half imported
    # They are gone when this object is: the cache keeps it.
    fragment = torch.library.Library("torchvision", "FRAGMENT")
    for operator in OPERATORS:
        fragment.define(operator)
    import_module("torchvision")
    return fragment
