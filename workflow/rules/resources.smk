# Memory and time that jobs ask for.


def input_mb(input):
    """Size of a job's input: `input.size_mb`, which asks each file through an event loop at ten times the cost."""
    if any(getattr(file, "is_storage", False) for file in input):
        return input.size_mb
    return sum(map(os.path.getsize, input)) / 1024**2


def megabytes(per_input_mb, floor):
    """Resource function: memory in MB grows with the input's size and doubles with each attempt.

    What was measured stands in profiles/README.md. Snakemake does not see the size of a vendor folder's content;
    there the check's finding on expected memory warns, and a retry doubles.
    """
    return lambda wildcards, input, attempt: int(
        max(floor, floor / 2 + per_input_mb * input_mb(input)) * 2 ** (attempt - 1)
    )


def minutes(per_input_mb, floor):
    """Resource function: a job's time limit grows with the input's size and doubles with each attempt.

    Trainings have limits of their own, by preset: what hits its limit there goes on from its checkpoint.
    """
    return lambda wildcards, input, attempt: int(
        (floor + per_input_mb * input_mb(input)) * 2 ** (attempt - 1)
    )
