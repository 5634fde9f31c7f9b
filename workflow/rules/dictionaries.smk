rule dictionary:
    input:
        activations="results/{pair}/activations/manifest.json",
        code=sources("crossdiff.dictionaries"),
    output:
        weights="results/{pair}/dictionaries/{name}-seed{seed}/dictionary.safetensors",
        meta="results/{pair}/dictionaries/{name}-seed{seed}/dictionary.json",
        training="results/{pair}/dictionaries/{name}-seed{seed}/training.parquet",
        run="results/{pair}/dictionaries/{name}-seed{seed}/run.json",
    log:
        "logs/{pair}/dictionaries/{name}-seed{seed}.log",
    benchmark:
        "logs/{pair}/benchmarks/dictionaries/{name}-seed{seed}.tsv"
    threads: study.compute.threads.dictionaries
    resources:
        gpu=gpus,
    params:
        settings=lambda wildcards: dump(study.dictionaries[wildcards.name]),
        threads=study.compute.threads.dictionaries,
        device=device,
    message:
        "train {wildcards.name}, seed {wildcards.seed}"
    shell:
        "python -m crossdiff.dictionaries --settings {params.settings:q} --name {wildcards.name} --seed {wildcards.seed}"
        " --activations {input.activations:q} --out results/{wildcards.pair}/dictionaries/{wildcards.name}-seed{wildcards.seed}"
        " --threads {params.threads} --device {params.device} 2>&1 | tee {log:q}"
