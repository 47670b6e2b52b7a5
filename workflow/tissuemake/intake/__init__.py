"""A drop folder becomes rows of the sample sheet: recognised, settled, never twice, nothing of a person's touched."""

from tissuemake.intake.scan import ScanResult, scan_inbox

__all__ = ["ScanResult", "scan_inbox"]
