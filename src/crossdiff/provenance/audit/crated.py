"""files = RO-Crate: the crate that is handed on with the results describes these files."""

from urllib.parse import unquote

from crossdiff.provenance.audit.finding import Break, Finding
from crossdiff.provenance.audit.manifests import unmoved
from crossdiff.provenance.audit.study import Study
from crossdiff.workflow import CRATE


def check(study: Study) -> Finding:
    """The hash of each file that the crate describes."""
    found = Finding()
    if not (study.root / CRATE).is_file():
        found.unchecked.append(f"{study.name(CRATE)}: there is none")
        return found
    crate = study.json(CRATE)
    try:
        entries = [item for item in crate["@graph"] if "sha256" in item]
    except (TypeError, KeyError):
        found.breaks.append(Break(f"{study.name(CRATE)} is damaged"))
        return found
    for item in entries:
        file = unquote(item["@id"])
        if ":" in file.split("/")[0] or file.startswith("#"):
            continue  # content outside the crate, told by its hash alone
        if study.fast and unmoved(study, file, int(item["contentSize"])) and "activations/shard-" in file:
            continue
        same = study.hashes.sha256(study.root / file) == item["sha256"]
        found.equal(same, f"{study.name(file)} is not the file that {CRATE} describes", [file])
    return found
