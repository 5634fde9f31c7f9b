"""JSON-LD entities of a Workflow Run RO-Crate. Pure.

Of the profile's terms: a *tool* (SoftwareApplication) is a step's module, a *CreateAction* one run of it, a
*HowToStep* its place in the workflow, a *ControlAction* Snakemake's starting it, an *OrganizeAction* Snakemake itself.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from crossdiff.provenance.origins import NULL

Entity = dict[str, Any]
PROFILES = ("process/0.5", "workflow/0.5", "provenance/0.5")
PROFILE = "https://w3id.org/ro/wfrun/"
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
CONTEXTS = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
FORMATS = {
    ".json": "application/json",
    ".html": "text/html",
    ".parquet": "application/vnd.apache.parquet",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
TERMS = {
    "@id": "#terms",
    "@type": "CreativeWork",
    "name": "Terms of the models and texts",
    "description": "Weights, activations and texts derive from the models and corpora that the settings name, whose own"
    " licences apply; the workflow's is Apache-2.0.",
}
APACHE = {
    "@id": "https://www.apache.org/licenses/LICENSE-2.0",
    "@type": "CreativeWork",
    "name": "Apache License 2.0",
    "description": "The licence of the workflow.",
}
BYTE = "https://qudt.org/vocab/unit/BYTE"


def refer(entities: Sequence[Entity]) -> list[dict[str, str]]:
    """References to entities."""
    return [{"@id": entity["@id"]} for entity in entities]


def of_type(entities: Sequence[Entity], kind: str) -> list[Entity]:
    """The entities of one type."""
    return [entity for entity in entities if entity["@type"] == kind]


def file(name: str, size: int, digest: str) -> Entity:
    """A file in the crate, by its path in it."""
    return {"@id": quote(name), "@type": "File", "name": name, "contentSize": str(size), "sha256": digest, **form(name)}


def form(name: str) -> dict[str, str]:
    """What kind of file it is, by its ending; of others it is only said that they are bytes."""
    return {"encodingFormat": FORMATS.get(name[name.rfind(".") :], "application/octet-stream")}


def outside(path: str, digest: str) -> Entity:
    """A file that is not in the crate, named by its content; the path tells files of equal content apart."""
    content = base64.urlsafe_b64encode(bytes.fromhex(digest)).decode().rstrip("=")
    address = f"ni:///sha-256;{content}?path={quote(path)}"
    return {"@id": address, "@type": "File", "name": path, "sha256": digest, **form(path)}


def steps_of(name: str, record: Mapping[str, Any], read: Sequence[Entity], made: Sequence[Entity]) -> list[Entity]:
    """One step: its tool, its place in the workflow, its settings, its run, and Snakemake's starting it."""
    step = name.removesuffix("run.json").rstrip("/.")
    kind = step.removeprefix(f"{NULL}/").split("/")[0]
    module = {"latents": "attribution", "models": "pair"}.get(kind, kind)
    tool = {
        "@id": f"#tool-{module}",
        "@type": "SoftwareApplication",
        "name": f"python -m crossdiff.{module}",
        "softwareVersion": str(record["code"]["commit"]),
    }
    how = {"@id": f"#step-{step}", "@type": "HowToStep", "name": step, "workExample": {"@id": tool["@id"]}}
    given = {
        "@id": f"#settings-{step}",
        "@type": "PropertyValue",
        "name": "settings",
        "value": json.dumps(record["params"], sort_keys=True),
    }
    memory = {
        "@id": f"#memory-{step}",
        "@type": "PropertyValue",
        "name": "most resident memory",
        "propertyID": "https://man7.org/linux/man-pages/man5/proc_pid_status.5.html#VmHWM",
        "value": str(record["peak_bytes"]),
        "unitCode": BYTE,
    }
    run = {
        "@id": f"#run-{step}",
        "@type": "CreateAction",
        "name": step,
        "description": f"{tool['name']} for {step}",
        "instrument": {"@id": tool["@id"]},
        "object": refer([*read, given]),
        "result": refer(made),
        "resourceUsage": refer([memory]),
        "startTime": record["started"],
        "endTime": ended(record),
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }
    control = {
        "@id": f"#control-{step}",
        "@type": "ControlAction",
        "name": f"start {step}",
        "instrument": {"@id": how["@id"]},
        "object": {"@id": run["@id"]},
    }
    return [tool, how, given, memory, run, control]


def ended(record: Mapping[str, Any]) -> str:
    """When a step ended, in ISO 8601, whole seconds."""
    end = datetime.fromisoformat(record["started"]) + timedelta(seconds=record["seconds"])
    return end.isoformat(timespec="seconds")


def workflow(main: Entity, version: str, steps: Sequence[Entity]) -> Entity:
    """The Snakefile at a commit, with its tools and steps."""
    return main | {
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        "version": version,
        "license": {"@id": APACHE["@id"]},
        "programmingLanguage": {"@id": "#snakemake"},
        "hasPart": list({item["@id"]: {"@id": item["@id"]} for item in of_type(steps, "SoftwareApplication")}.values()),
        "step": refer(of_type(steps, "HowToStep")),
    }


def whole_run(
    pair: str, records: Mapping[str, Mapping[str, Any]], flow: Entity, steps: Sequence[Entity], made: Sequence[Entity]
) -> list[Entity]:
    """The study's run as one action, Snakemake, and its conducting of the steps."""
    version = records["report/run.json"]["versions"].get("snakemake")
    times = {
        "startTime": min(record["started"] for record in records.values()),
        "endTime": max(map(ended, records.values())),
    }
    inputs = {item["@id"]: item for run in of_type(steps, "CreateAction") for item in run["object"]}
    foreign = [item for at, item in inputs.items() if at.startswith("ni:")]
    run = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"the study {pair}",
        "description": f"snakemake: all steps of the study {pair}",
        "instrument": {"@id": flow["@id"]},
        "object": foreign,
        "result": refer(made),
        **times,
    }
    engine = {
        "@id": "#snakemake",
        "@type": ["ComputerLanguage", "SoftwareApplication"],
        "name": "Snakemake",
        "url": "https://snakemake.github.io",
        **({"softwareVersion": version} if version else {}),
    }
    organised = {
        "@id": "#organise",
        "@type": "OrganizeAction",
        "name": "snakemake",
        "instrument": {"@id": "#snakemake"},
        "result": {"@id": "#run"},
        "object": refer(of_type(steps, "ControlAction")),
        **times,
    }
    return [run, engine, organised]


def document(pair: str, report: Mapping[str, Any], entities: Sequence[Entity]) -> dict[str, Any]:
    """The whole crate around its entities; one that is told twice, as a tool is, enters once."""
    profiles: list[Entity] = [
        {"@id": PROFILE + profile, "@type": "CreativeWork", "name": f"{profile.split('/')[0].title()} Run Crate"}
        for profile in PROFILES
    ]
    profiles.append({"@id": WORKFLOW_CRATE, "@type": "CreativeWork", "name": "Workflow RO-Crate"})
    flow = next(entity for entity in entities if "ComputationalWorkflow" in entity["@type"])
    data = [entity for entity in entities if "File" in entity["@type"]]
    actions = [entity for entity in entities if str(entity["@type"]).endswith("Action")]
    root: Entity = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"crossdiff study {pair}",
        "description": f"Results of the model-diffing study {pair}: activations, dictionaries, evidence and report.",
        "datePublished": report["started"],
        "license": {"@id": TERMS["@id"]},
        "conformsTo": refer(profiles),
        "mainEntity": {"@id": flow["@id"]},
        "hasPart": refer(data),
        "mentions": refer(actions),
    }
    descriptor: Entity = {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": [{"@id": "https://w3id.org/ro/crate/1.1"}, {"@id": WORKFLOW_CRATE}],
    }
    graph = {entity["@id"]: single(entity) for entity in [descriptor, root, TERMS, APACHE, *profiles, *entities]}
    return {"@context": CONTEXTS, "@graph": list(graph.values())}


def single(entity: Entity) -> Entity:
    """The entity as RO-Crate wants it: a list of one told as that one, an empty list not at all."""
    return {
        key: value[0] if isinstance(value, list) and len(value) == 1 else value
        for key, value in entity.items()
        if value != []
    }
