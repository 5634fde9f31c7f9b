calls_runs = [f"{{name}}-seed{seed}" for seed in study.seeds]


rule calls:
    input:
        latents=[f"results/{{pair}}/latents/{run}.parquet" for run in calls_runs],
        weights=[f"results/{{pair}}/dictionaries/{run}/dictionary.safetensors" for run in calls_runs],
        meta=[f"results/{{pair}}/dictionaries/{run}/dictionary.json" for run in calls_runs],
        nulls=lambda wildcards: null_latents(study, wildcards.name),
        synthetic=f"results/{{pair}}/{SYNTHETIC}" if study.calibration.synthetic else [],
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
        seeds=[f"--seeds {seed}" for seed in study.seeds],
        nulls=lambda wildcards, input: [f"--null {file}" for file in input.nulls],
        synthetic=lambda wildcards, input: f"--synthetic {input.synthetic}" if study.calibration.synthetic else "",
    message:
        "call the latents of {wildcards.name} over its seeds"
    shell:
        "python -m crossdiff.evidence.calls --settings {params.settings:q} --name {wildcards.name} {params.seeds}"
        " --results results/{wildcards.pair} {params.nulls} {params.synthetic} --out {output[0]:q} 2>&1 | tee {log:q}"
