rule examples:
    input:
        pair="results/{pair}/pair/pair.json",
        weights="results/{pair}/dictionaries/{name}-seed{seed}/dictionary.safetensors",
        meta="results/{pair}/dictionaries/{name}-seed{seed}/dictionary.json",
        activations="results/{pair}/activations/manifest.json",
        rows=rows,
        latents="results/{pair}/latents/{name}-seed{seed}.parquet",
        calls="results/{pair}/calls/{name}.parquet",
        code=sources("crossdiff.examples"),
    output:
        expand("results/{{pair}}/examples/{{name}}-seed{{seed}}.{ending}", ending=EXAMPLES),
    log:
        "logs/{pair}/examples/{name}-seed{seed}.log",
    benchmark:
        "logs/{pair}/benchmarks/examples/{name}-seed{seed}.tsv"
    threads: study.compute.threads.dictionaries
    resources:
        gpu=gpus,
    params:
        settings=dump(study.examples),
        split=study.attribution.split,
        threads=study.compute.threads.dictionaries,
        device=device,
    message:
        "keep texts of {wildcards.name}, seed {wildcards.seed}"
    shell:
        "python -m crossdiff.examples --settings {params.settings:q} --split {params.split} --pair {input.pair:q}"
        " --rows {input.rows:q} --activations {input.activations:q} --latents {input.latents:q} --calls {input.calls:q}"
        " --dictionary results/{wildcards.pair}/dictionaries/{wildcards.name}-seed{wildcards.seed} --seed {wildcards.seed}"
        " --out {output[0]:q} --threads {params.threads} --device {params.device} 2>&1 | tee {log:q}"
