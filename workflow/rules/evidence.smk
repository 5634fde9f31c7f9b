# The conversations of the KL experiment.
conversed = f"results/{{pair}}/{'evidence/prompts' if study.evidence.prompts else 'corpus'}/rows.parquet"
# What both rules read and how both are run; a dictionary's rule adds the dictionary and its latents.
evidence_files = {
    "pair": "results/{pair}/pair/pair.json",
    "pair_run": "results/{pair}/pair/run.json",
    "rows": conversed,
    "answers": answers,
    "activations": "results/{pair}/activations/manifest.json",
    "code": sources("crossdiff.evidence"),
    "behaviours": behaviours if behaves else [],
}
evidence_command = (
    "python -m crossdiff.evidence --settings {params.settings:q} --pair {input.pair:q} --rows {input.rows:q}"
    " {params.answers} --activations {input.activations:q} --threads {params.threads} --device {params.device}"
)
answers_option = lambda wildcards, input: (f"--answers {input.answers}" if behaves else "")


rule baselines:
    input:
        **evidence_files,
    output:
        expand("results/{{pair}}/evidence/baselines/{file}", file=[*evidence_results(study), SHARED]),
    log:
        "logs/{pair}/evidence/baselines.log",
    benchmark:
        "logs/{pair}/benchmarks/evidence/baselines.tsv"
    priority: 1  # the evidence on every dictionary waits for it
    threads: study.compute.threads.dictionaries
    resources:
        gpu=gpus,
    params:
        settings=dump(study.evidence.experiments),
        answers=answers_option,
        threads=study.compute.threads.dictionaries,
        device=device,
    message:
        "run the experiments that need no dictionary"
    shell:
        f"{evidence_command} --out results/{{wildcards.pair}}/evidence/baselines 2>&1 | tee {{log:q}}"


rule evidence:
    input:
        **evidence_files,
        weights="results/{pair}/dictionaries/{name}-seed{seed}/dictionary.safetensors",
        meta="results/{pair}/dictionaries/{name}-seed{seed}/dictionary.json",
        latents="results/{pair}/latents/{name}-seed{seed}.parquet",
        calls="results/{pair}/calls/{name}.parquet" if behaves else [],
        shared=f"results/{{pair}}/evidence/baselines/{SHARED}",
    output:
        expand(
            "results/{{pair}}/evidence/{{name}}-seed{{seed}}/{file}",
            file=evidence_results(study),
        ),
    log:
        "logs/{pair}/evidence/{name}-seed{seed}.log",
    benchmark:
        "logs/{pair}/benchmarks/evidence/{name}-seed{seed}.tsv"
    threads: study.compute.threads.dictionaries
    resources:
        gpu=gpus,
    params:
        settings=dump(study.evidence.experiments),
        answers=answers_option,
        threads=study.compute.threads.dictionaries,
        device=device,
        calls=lambda wildcards, input: f"--calls {input.calls}" if behaves else "",
    message:
        "test the latents of {wildcards.name}, seed {wildcards.seed}, on the models"
    shell:
        f"{evidence_command} --dictionary results/{{wildcards.pair}}/dictionaries/{{wildcards.name}}-seed{{wildcards.seed}}"
        " --latents {input.latents:q} {params.calls} --shared {input.shared:q} --out results/{wildcards.pair}/evidence/{wildcards.name}-seed{wildcards.seed}"
        " 2>&1 | tee {log:q}"


if study.evidence.prompts:

    rule prompts:
        input:
            pair="results/{pair}/pair/pair.json",
            pair_run="results/{pair}/pair/run.json",
            files=local_files(study.evidence.prompts),
            code=sources("crossdiff.evidence.prompts"),
        output:
            expand("results/{{pair}}/evidence/prompts/{file}", file=PROMPTED),
        log:
            "logs/{pair}/evidence/prompts.log",
        benchmark:
            "logs/{pair}/benchmarks/evidence/prompts.tsv"
        threads: study.compute.threads.models
        resources:
            gpu=gpus,
        params:
            settings=dump(study.evidence.experiments),
            context=study.corpus.context,
            threads=study.compute.threads.models,
            device=device,
        message:
            "let the chat model answer the prompts"
        shell:
            "python -m crossdiff.evidence.prompts --settings {params.settings:q} --pair {input.pair:q}"
            " --context {params.context} --out results/{wildcards.pair}/evidence/prompts --threads {params.threads}"
            " --device {params.device} 2>&1 | tee {log:q}"


if study.evidence.layer_sweep:

    rule layers:
        input:
            pair="results/{pair}/pair/pair.json",
            pair_run="results/{pair}/pair/run.json",
            rows=conversed,
            code=sources("crossdiff.evidence.kl.layers"),
        output:
            expand("results/{{pair}}/evidence/layers/{file}", file=LAYERS),
        log:
            "logs/{pair}/evidence/layers.log",
        benchmark:
            "logs/{pair}/benchmarks/evidence/layers.tsv"
        threads: study.compute.threads.models
        resources:
            gpu=gpus,
        params:
            settings=dump(study.evidence.experiments),
            threads=study.compute.threads.models,
            device=device,
        message:
            "join the two models after other blocks"
        shell:
            "python -m crossdiff.evidence.kl.layers --settings {params.settings:q} --pair {input.pair:q} --rows {input.rows:q}"
            " --out results/{wildcards.pair}/evidence/layers --threads {params.threads} --device {params.device}"
            " 2>&1 | tee {log:q}"


if study.evidence.steering:

    rule steering:
        input:
            pair="results/{pair}/pair/pair.json",
            pair_run="results/{pair}/pair/run.json",
            answers=answers,
            activations="results/{pair}/activations/manifest.json",
            weights="results/{pair}/dictionaries/{name}-seed{seed}/dictionary.safetensors",
            meta="results/{pair}/dictionaries/{name}-seed{seed}/dictionary.json",
            latents="results/{pair}/latents/{name}-seed{seed}.parquet",
            calls="results/{pair}/calls/{name}.parquet",
            code=sources("crossdiff.evidence.steering"),
            behaviours=behaviours,
        output:
            expand(
                "results/{{pair}}/evidence/steering-{{name}}-seed{{seed}}/{file}",
                file=STEERED,
            ),
        log:
            "logs/{pair}/evidence/steering-{name}-seed{seed}.log",
        benchmark:
            "logs/{pair}/benchmarks/evidence/steering-{name}-seed{seed}.tsv"
        threads: study.compute.threads.dictionaries
        resources:
            gpu=gpus,
        params:
            settings=dump(study.evidence.experiments),
            answers=answers_option,
            threads=study.compute.threads.dictionaries,
            device=device,
        message:
            "steer both models by latents of {wildcards.name}, seed {wildcards.seed}"
        shell:
            "python -m crossdiff.evidence.steering --settings {params.settings:q} --pair {input.pair:q}"
            " --activations {input.activations:q} {params.answers}"
            " --dictionary results/{wildcards.pair}/dictionaries/{wildcards.name}-seed{wildcards.seed}"
            " --latents {input.latents:q} --calls {input.calls:q} --out results/{wildcards.pair}/evidence/steering-{wildcards.name}-seed{wildcards.seed}"
            " --threads {params.threads} --device {params.device} 2>&1 | tee {log:q}"
