rule activations:
    input:
        pair="results/{pair}/pair/pair.json",
        pair_run="results/{pair}/pair/run.json",
        rows=rows,
        base=lambda wildcards: f"results/{study.pair.name}/activations/manifest.json" if wildcards.pair == null else [],
        code=sources("crossdiff.activations"),
    output:
        manifest="results/{pair}/activations/manifest.json",
        run="results/{pair}/activations/run.json",
    log:
        "logs/{pair}/activations.log",
    benchmark:
        "logs/{pair}/benchmarks/activations.tsv"
    wildcard_constraints:
        pair="|".join(pairs),
    threads: study.compute.threads.models
    resources:
        gpu=gpus,
    params:
        settings=dump(study.activations),
        base=lambda wildcards, input: f"--base {input.base}" if input.base else "",
        threads=study.compute.threads.models,
        device=device,
    message:
        "read both models' residual streams"
    shell:
        "python -m crossdiff.activations --settings {params.settings:q} --pair {input.pair:q} --rows {input.rows:q} {params.base}"
        " --out results/{wildcards.pair}/activations --threads {params.threads} --device {params.device} 2>&1 | tee {log:q}"
