# Needs nothing of the pair, so it can run beside the first stages.
if study.synthetic:

    rule synthetic:
        input:
            code=sources("crossdiff.truth.synthetic"),
        output:
            expand("results/{{pair}}/truth/synthetic/{file}", file=SYNTHETIC),
        log:
            "logs/{pair}/synthetic.log",
        benchmark:
            "logs/{pair}/benchmarks/synthetic.tsv"
        threads: study.compute.threads.dictionaries
        resources:
            gpu=gpus,
        params:
            settings=dump(study.synthetic),
            dictionaries=dump(study.dictionaries),
            threads=study.compute.threads.dictionaries,
            device=device,
        message:
            "train and measure the dictionaries on a pair whose factors are known"
        shell:
            "python -m crossdiff.truth.synthetic --settings {params.settings:q} --dictionaries {params.dictionaries:q}"
            " --out results/{wildcards.pair}/truth/synthetic --threads {params.threads} --device {params.device} 2>&1 | tee {log:q}"
