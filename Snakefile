"""The study as a DAG: pair, corpus, activations, dictionaries, attribution, evidence, report.

What it is stands in config.yaml (other studies are laid over it: --configfile config.yaml configs/x.yaml), how it runs in
profiles/. Every step is `python -m crossdiff.<step>`; its source files are inputs, so editing one reruns what uses it.
"""

from snakemake.utils import min_version

min_version("9.19")


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/pair.smk"
include: "workflow/rules/synthetic.smk"
include: "workflow/rules/corpus.smk"
include: "workflow/rules/activations.smk"
include: "workflow/rules/dictionaries.smk"
include: "workflow/rules/attribution.smk"
include: "workflow/rules/evidence.smk"
include: "workflow/rules/interpretation.smk"
include: "workflow/rules/calls.smk"
include: "workflow/rules/examples.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        expand("results/{pair}/{file}", pair=study.pair.name, file=[*results(study), *REPORT, CRATE]),
    message:
        "the study is complete: results/{study.pair.name}/report/report.html"


onstart:
    shell(
        "python -m crossdiff.provenance.tracking open --study {study.pair.name} --config {study_json:q} --watch {process}"
    )


onsuccess:
    shell("python -m crossdiff.provenance.tracking close --status FINISHED")


onerror:
    shell("python -m crossdiff.provenance.tracking close --status FAILED")
