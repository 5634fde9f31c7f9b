rule attribution:
    input:
        pair="results/{pair}/pair/pair.json",
        weights="results/{pair}/dictionaries/{name}-seed{seed}/dictionary.safetensors",
        meta="results/{pair}/dictionaries/{name}-seed{seed}/dictionary.json",
        activations="results/{pair}/activations/manifest.json",
        rows=rows,
        code=sources("crossdiff.attribution"),
    output:
        **{ending.partition(".")[0]: f"results/{{pair}}/latents/{{name}}-seed{{seed}}.{ending}" for ending in LATENTS},
    log:
        "logs/{pair}/attribution/{name}-seed{seed}.log",
    benchmark:
        "logs/{pair}/benchmarks/attribution/{name}-seed{seed}.tsv"
    wildcard_constraints:
        pair="|".join(pairs),
    threads: study.compute.threads.dictionaries
    resources:
        gpu=gpus,
    params:
        settings=dump(study.attribution),
        threads=study.compute.threads.dictionaries,
        device=device,
    message:
        "measure the latents of {wildcards.name}, seed {wildcards.seed}"
    shell:
        "python -m crossdiff.attribution --settings {params.settings:q} --pair {input.pair:q} --rows {input.rows:q}"
        " --activations {input.activations:q}"
        " --dictionary results/{wildcards.pair}/dictionaries/{wildcards.name}-seed{wildcards.seed} --out {output.parquet:q}"
        " --threads {params.threads} --device {params.device} 2>&1 | tee {log:q}"
