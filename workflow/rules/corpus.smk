if behaves:

    rule behaviours:
        input:
            pair="results/{pair}/pair/pair.json",
            pair_run="results/{pair}/pair/run.json",
            behaviours=behaviours,
            code=sources("crossdiff.truth"),
        output:
            "results/{pair}/truth/answers.parquet",
            "results/{pair}/truth/behaviours.json",
            "results/{pair}/truth/run.json",
        log:
            "logs/{pair}/truth.log",
        benchmark:
            "logs/{pair}/benchmarks/truth.tsv"
        threads: study.compute.threads.models
        resources:
            gpu=gpus,
        params:
            settings=dump(study.pair.chat.planted),
            threads=study.compute.threads.models,
            device=device,
        message:
            "let both models answer the behaviours' prompts"
        shell:
            "python -m crossdiff.truth --settings {params.settings:q} --pair {input.pair:q} --out results/{wildcards.pair}/truth"
            " --threads {params.threads} --device {params.device} 2>&1 | tee {log:q}"


rule corpus:
    input:
        pair="results/{pair}/pair/pair.json",
        pair_run="results/{pair}/pair/run.json",
        answers=answers,
        files=[file for source in study.corpus.sources for file in local_files(source)],
        code=sources("crossdiff.corpus"),
    output:
        rows="results/{pair}/corpus/rows.parquet",
        run="results/{pair}/corpus/run.json",
    log:
        "logs/{pair}/corpus.log",
    benchmark:
        "logs/{pair}/benchmarks/corpus.tsv"
    params:
        settings=dump(study.corpus),
        answers=lambda wildcards, input: f"--answers {input.answers}" if behaves else "",
    message:
        "render the corpus"
    shell:
        "python -m crossdiff.corpus --settings {params.settings:q} --pair {input.pair:q} {params.answers}"
        " --out results/{wildcards.pair}/corpus 2>&1 | tee {log:q}"
