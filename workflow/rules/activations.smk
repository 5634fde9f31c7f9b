rule activations:
    input:
        pair="results/{pair}/pair/pair.json",
        pair_run="results/{pair}/pair/run.json",
        rows="results/{pair}/corpus/rows.parquet",
        code=sources("crossdiff.activations"),
    output:
        manifest="results/{pair}/activations/manifest.json",
        run="results/{pair}/activations/run.json",
    log:
        "logs/{pair}/activations.log",
    benchmark:
        "logs/{pair}/benchmarks/activations.tsv"
    threads: study.compute.threads.models
    resources:
        gpu=gpus,
    params:
        settings=dump(study.activations),
        threads=study.compute.threads.models,
        device=device,
    message:
        "read both models' residual streams"
    shell:
        "python -m crossdiff.activations --settings {params.settings:q} --pair {input.pair:q} --rows {input.rows:q}"
        " --out results/{wildcards.pair}/activations --threads {params.threads} --device {params.device} 2>&1 | tee {log:q}"
