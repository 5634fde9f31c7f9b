"""files = Snakemake's record: inputs have the content that Snakemake saw when it made each output."""

from crossdiff.provenance.audit.finding import Break, Finding
from crossdiff.provenance.audit.jobs import CODE, damaged, jobs
from crossdiff.provenance.audit.study import Study
from crossdiff.provenance.origins import record_of


def check(study: Study) -> Finding:
    """Compare every recorded input but the code, which has a check of its own."""
    found = Finding()
    known, unread = jobs(study.base, study.name("")), damaged(study.base, study.name(""))
    found.breaks += [Break(f"Snakemake's record of {output} cannot be read") for output in unread]
    if not (known or unread):
        found.unchecked.append("Snakemake's record: there is no .snakemake/metadata of this pair (dvc pull fetches it)")
        return found
    seen: dict[tuple[str, str], str] = {}
    for job in known.values():
        for path, digest in job.checksums.items():
            if not path.startswith(CODE):
                seen.setdefault((path, digest), job.output)
    for (path, digest), output in seen.items():
        file, now = study.inside(path), study.hashes.sha256(study.base / path)
        if now is None and file is None:
            found.unchecked.append(f"{path}, an input of {output}: it is not here")
            continue
        what = f"{path} is not the file that Snakemake read when it made {output}"
        step = record_of(study.inside(output) or output)
        found.equal(now == digest, what, [file or path], () if file else [step])
    return found
