rule simulate_tissue:
    output:
        truth="results/simulated/{zones}/truth.json",
    log:
        "logs/simulated/{zones}.log",
    benchmark:
        "benchmarks/simulated/{zones}.tsv"
    conda:
        "../../envs/spatial.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: (1500 + 2 * config["simulation"]["spots"]) * attempt,
        runtime=minutes(0, 30),
    params:
        spots=config["simulation"]["spots"],
        seed=config["seed"],
        programmes=config["simulation"]["programmes"],
    script:
        "../scripts/simulate_tissue.py"
