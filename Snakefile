# `snakemake` works from the root of the repository and, with --snakefile, from any run folder.
include: "workflow/Snakefile"


# An included file cannot set the default target, so the root names it again.
rule everything:
    default_target: True
    input:
        rules.all.input,
