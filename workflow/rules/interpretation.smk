# Asks language models about the latents of one seed of each dictionary; replies are kept beside the table as they come.
if study.evidence.interpretation:

    rule interpretation:
        input:
            pair="results/{pair}/pair/pair.json",
            rows="results/{pair}/corpus/rows.parquet",
            activations="results/{pair}/activations/manifest.json",
            weights="results/{pair}/dictionaries/{name}-seed{seed}/dictionary.safetensors",
            meta="results/{pair}/dictionaries/{name}-seed{seed}/dictionary.json",
            latents="results/{pair}/latents/{name}-seed{seed}.parquet",
            code=sources("crossdiff.evidence.interpretation"),
        output:
            expand("results/{{pair}}/evidence/interpretation/{{name}}-seed{{seed}}.{ending}", ending=INTERPRETATION),
        log:
            "logs/{pair}/interpretation/{name}-seed{seed}.log",
        benchmark:
            "logs/{pair}/benchmarks/interpretation/{name}-seed{seed}.tsv"
        threads: study.compute.threads.models
        resources:
            gpu=gpus,
        params:
            settings=dump(study.evidence.interpretation),
            threads=study.compute.threads.models,
            device=device,
        message:
            "explain latents of {wildcards.name}, seed {wildcards.seed}, and judge the explanations"
        shell:
            "python -m crossdiff.evidence.interpretation --settings {params.settings:q} --pair {input.pair:q} --rows {input.rows:q}"
            " --activations {input.activations:q} --latents {input.latents:q}"
            " --dictionary results/{wildcards.pair}/dictionaries/{wildcards.name}-seed{wildcards.seed} --out {output[0]:q}"
            " --threads {params.threads} --device {params.device} 2>&1 | tee {log:q}"
