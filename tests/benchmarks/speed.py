"""Seconds and memory of each method on the same 10,000 spots."""


def run(work, only):
    raise NotImplementedError
