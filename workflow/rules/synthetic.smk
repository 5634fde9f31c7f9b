# Needs nothing of the pair, so it can run beside any stage: of the jobs that fit on free cores others go first.
if study.synthetic:

    rule synthetic:
        input:
            code=sources("crossdiff.truth.synthetic"),
        output:
            expand("results/{{pair}}/truth/synthetic/{{name}}/{file}", file=SYNTHETIC),
        log:
            "logs/{pair}/synthetic/{name}.log",
        benchmark:
            "logs/{pair}/benchmarks/synthetic/{name}.tsv"
        priority: -1
        threads: study.compute.threads.dictionaries
        resources:
            gpu=gpus,
        params:
            settings=dump(study.synthetic),
            dictionaries=lambda wildcards: dump({wildcards.name: study.trained[wildcards.name]}),
            threads=study.compute.threads.dictionaries,
            device=device,
        message:
            "train and measure {wildcards.name} on a pair whose factors are known"
        shell:
            "python -m crossdiff.truth.synthetic --settings {params.settings:q} --dictionaries {params.dictionaries:q}"
            " --out results/{wildcards.pair}/truth/synthetic/{wildcards.name} --threads {params.threads} --device {params.device} 2>&1 | tee {log:q}"
