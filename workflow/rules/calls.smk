synthetic_nulls = benchmarked(study) if study.calibration.synthetic else []


def of_all_seeds(path):
    """A file of a dictionary, for each of its seeds."""
    return lambda wildcards: [path.format(seed=seed, **wildcards) for seed in study.seeds_of(wildcards.name)]


rule calls:
    input:
        latents=of_all_seeds("results/{pair}/latents/{name}-seed{seed}.parquet"),
        firing=of_all_seeds("results/{pair}/latents/{name}-seed{seed}.firing.parquet"),
        weights=of_all_seeds("results/{pair}/dictionaries/{name}-seed{seed}/dictionary.safetensors"),
        meta=of_all_seeds("results/{pair}/dictionaries/{name}-seed{seed}/dictionary.json"),
        nulls=lambda wildcards: [f"results/{wildcards.pair}/{file}" for file in null_latents(study, wildcards.name)],
        synthetic=lambda wildcards: (
            "results/{pair}/truth/synthetic/{name}/latents.parquet" if wildcards.name in synthetic_nulls else []
        ),
        code=sources("crossdiff.evidence.calls"),
    output:
        expand("results/{{pair}}/calls/{{name}}.{ending}", ending=CALLS),
    log:
        "logs/{pair}/calls/{name}.log",
    benchmark:
        "logs/{pair}/benchmarks/calls/{name}.tsv"
    threads: study.compute.threads.dictionaries
    params:
        settings=dump(study.calibration),
        threads=study.compute.threads.dictionaries,
        seeds=lambda wildcards: [f"--seeds {seed}" for seed in study.seeds_of(wildcards.name)],
        nulls=lambda wildcards, input: [f"--null {file}" for file in input.nulls],
        synthetic=lambda wildcards, input: f"--synthetic {input.synthetic}" if input.synthetic else "",
    message:
        "call the latents of {wildcards.name} over its seeds"
    shell:
        "python -m crossdiff.evidence.calls --settings {params.settings:q} --name {wildcards.name} {params.seeds}"
        " --results results/{wildcards.pair} {params.nulls} {params.synthetic} --out {output[0]:q}"
        " --threads {params.threads} 2>&1 | tee {log:q}"
