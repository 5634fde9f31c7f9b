rule report:
    input:
        expand("results/{{pair}}/{file}", file=results(study)),
        code=sources("crossdiff.report", "templates/*", "published.yaml"),
    output:
        page=report("results/{pair}/report/report.html", caption="../report/page.rst", category="Report"),
        figures=report(
            directory("results/{pair}/report/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        origins="results/{pair}/report/origins.json",
        run="results/{pair}/report/run.json",
        metrics=report("results/{pair}/metrics.json", caption="../report/metrics.rst", category="Numbers"),
    log:
        "logs/{pair}/report.log",
    benchmark:
        "logs/{pair}/benchmarks/report.tsv"
    params:
        config=study_json,
    message:
        "write the report"
    shell:
        "python -m crossdiff.report --config-json {params.config:q} --results results/{wildcards.pair}"
        " --out results/{wildcards.pair}/report --metrics {output.metrics:q} 2>&1 | tee {log:q}"


rule crate:
    input:
        expand("results/{{pair}}/{file}", file=[*results(study), *REPORT]),
        snakefile="Snakefile",
        code=sources("crossdiff.provenance.crate"),
    output:
        "results/{pair}/ro-crate-metadata.json",
    log:
        "logs/{pair}/crate.log",
    benchmark:
        "logs/{pair}/benchmarks/crate.tsv"
    params:
        config=study_json,
    message:
        "describe the study as a Workflow Run RO-Crate"
    shell:
        "python -m crossdiff.provenance.crate --config-json {params.config:q} --results results/{wildcards.pair}"
        " --snakefile {input.snakefile:q} --out {output:q} 2>&1 | tee {log:q}"
