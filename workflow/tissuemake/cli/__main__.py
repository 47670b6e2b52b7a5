"""``python -m tissuemake.cli``."""

from tissuemake.cli import main

main()
