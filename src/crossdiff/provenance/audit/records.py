"""files = run.json: every input that a step recorded still has the content that the step read."""

from crossdiff.provenance.audit.finding import Finding
from crossdiff.provenance.audit.study import REPORT, Study


def check(study: Study) -> Finding:
    """Records are there and readable; the hashes in them are those of the files. Sources count as code."""
    found = Finding()
    for name in study.expected:
        found.equal(name in study.records, f"{study.name(name)} is missing or damaged: no record of its step", [name])
    known: dict[tuple[str, str], str] = {}
    for name, record in study.records.items():
        for path, digest in record.get("inputs", {}).items():
            known.setdefault((path, digest), name)
    for (path, digest), name in known.items():
        one_input(study, path, digest, name, found)
    return found


def one_input(study: Study, path: str, digest: str, name: str, found: Finding) -> None:
    """One file against one recorded hash; all steps that recorded the same are covered by it."""
    file = study.inside(path)
    now = study.hashes.sha256(study.base / path)
    readers = {step for step, inputs in study.steps.items() if path in inputs} - {REPORT}
    if now is None and file is None:
        found.unchecked.append(f"{path}, read by {study.name(name)}: it is not here")
        return
    why = "is gone" if now is None else f"has the hash {now[:12]}…"
    what = f"{path} {why}; {study.name(name)} recorded {digest[:12]}…"
    found.equal(now == digest, what, [file or path], readers if file is None else ())
