# Seeds of the dictionaries on each pair.
trained_seeds = {study.pair.name: study.seeds, null: study.calibration.null_seeds}

# Tokens that are read on the way are read once for all dictionaries of a pair.
if study.trained and study.activations.store == "stream":

    for where in pairs:

        rule:
            name:
                f"dictionaries_{tuned[where]}"
            input:
                activations=f"results/{where}/activations/manifest.json",
                pair=f"results/{where}/pair/pair.json",
                rows=rows,
                code=sources("crossdiff.dictionaries.stream"),
            output:
                expand(
                    "results/{pair}/dictionaries/{name}-seed{seed}/{file}",
                    pair=where,
                    name=study.trained,
                    seed=trained_seeds[where],
                    file=DICTIONARY,
                ),
            log:
                f"logs/{where}/dictionaries.log",
            benchmark:
                f"logs/{where}/benchmarks/dictionaries.tsv"
            threads: study.compute.threads.models
            resources:
                gpu=gpus,
            params:
                settings=dump(study.trained),
                seeds=[f"--seeds {seed}" for seed in trained_seeds[where]],
                out=f"results/{where}/dictionaries",
                threads=study.compute.threads.models,
                device=device,
            message:
                "train all dictionaries on both models' streams"
            shell:
                "python -m crossdiff.dictionaries.stream --settings {params.settings:q} {params.seeds} --pair {input.pair:q}"
                " --rows {input.rows:q} --activations {input.activations:q} --out {params.out:q}"
                " --threads {params.threads} --device {params.device} 2>&1 | tee {log:q}"

elif study.trained:

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
        wildcard_constraints:
            pair="|".join(pairs),
            name="|".join(study.trained),
        threads: study.compute.threads.dictionaries
        resources:
            gpu=gpus,
        params:
            settings=lambda wildcards: dump(study.trained[wildcards.name]),
            threads=study.compute.threads.dictionaries,
            device=device,
        message:
            "train {wildcards.name}, seed {wildcards.seed}"
        shell:
            "python -m crossdiff.dictionaries --settings {params.settings:q} --name {wildcards.name} --seed {wildcards.seed}"
            " --activations {input.activations:q} --out results/{wildcards.pair}/dictionaries/{wildcards.name}-seed{wildcards.seed}"
            " --threads {params.threads} --device {params.device} 2>&1 | tee {log:q}"


if study.imported:

    rule published:
        input:
            activations="results/{pair}/activations/manifest.json",
            files=lambda wildcards: published_files(study.imported[wildcards.name], wildcards.name),
            code=sources("crossdiff.dictionaries.published"),
        output:
            expand("results/{{pair}}/dictionaries/{{name}}-seed{{seed}}/{file}", file=IMPORTED),
        log:
            "logs/{pair}/published/{name}-seed{seed}.log",
        benchmark:
            "logs/{pair}/benchmarks/published/{name}-seed{seed}.tsv"
        wildcard_constraints:
            name="|".join(study.imported),
        threads: study.compute.threads.dictionaries
        resources:
            gpu=gpus,
        params:
            settings=lambda wildcards: dump(study.imported[wildcards.name]),
            threads=study.compute.threads.dictionaries,
            device=device,
        message:
            "take {wildcards.name} from where it was published"
        shell:
            "python -m crossdiff.dictionaries.published --settings {params.settings:q} --name {wildcards.name}"
            " --seed {wildcards.seed} --activations {input.activations:q}"
            " --out results/{wildcards.pair}/dictionaries/{wildcards.name}-seed{wildcards.seed}"
            " --threads {params.threads} --device {params.device} 2>&1 | tee {log:q}"
