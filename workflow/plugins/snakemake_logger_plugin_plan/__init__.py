"""A logger plugin of Snakemake: the jobs of a dry run as JSON, one per line, for `tissuemake plan`; errors as text."""

import json
import logging
import sys

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent


class LogHandler(LogHandlerBase):
    """Write what a dry run says of each job to standard output, and what went wrong to standard error."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line for a job, the message of an error, and nothing of all else."""
        if getattr(record, "event", None) == LogEvent.JOB_INFO:
            wildcards = dict(record.wildcards or {})
            line = {"rule": record.rule_name, "wildcards": wildcards, "reason": record.reason}
            print(json.dumps(line), flush=False)
        elif record.levelno >= logging.ERROR:
            print(record.getMessage(), file=sys.stderr)
