"""code = commit: the source that the steps ran is the source of the commit they name, and the source that lies here."""

import hashlib
import subprocess
from functools import lru_cache
from pathlib import Path

from crossdiff.provenance.audit.finding import Break, Finding
from crossdiff.provenance.audit.jobs import CODE, Job, jobs
from crossdiff.provenance.audit.study import Study
from crossdiff.provenance.origins import record_of


def check(study: Study) -> Finding:
    """Each record's commit; each source file that Snakemake hashed against that commit and against the checkout."""
    found = Finding()
    commits = {name: record.get("code", {}).get("commit") for name, record in study.records.items()}
    for name, record in study.records.items():
        if record.get("code", {}).get("dirty"):
            what = f"{study.name(name)}: the step ran with changes on top of commit {str(commits[name])[:12]}"
            found.breaks.append(Break(what, steps=frozenset([name])))
    unknown = sorted({str(commit) for commit in commits.values() if not known(study.base, commit)})
    for commit in unknown:
        found.unchecked.append(f"source against commit {commit[:12]}: this checkout does not have it")
    ran = jobs(study.base, study.name(""))
    if not ran:
        found.unchecked.append("source files: there is no .snakemake/metadata of this pair that names them")
    sources(study, ran, commits, found)
    return found


def sources(study: Study, ran: dict[str, Job], commits: dict[str, str | None], found: Finding) -> None:
    """Every source file once for each content and commit it was recorded with."""
    users: dict[tuple[str, str, str | None], set[str]] = {}
    for job in ran.values():
        step = record_of(study.inside(job.output) or job.output)
        for path, digest in job.checksums.items():
            if path.startswith(CODE):
                users.setdefault((path, digest, commits.get(step)), set()).add(step)
    for (path, digest, commit), steps in users.items():
        here = study.hashes.sha256(study.base / path)
        what = f"{path} is not the source that {first(steps)} ran; run the study again, or take the change back"
        found.equal(here == digest, what, steps=steps)
        if known(study.base, commit):
            same = committed(study.base, str(commit), path) == digest
            found.equal(same, f"{path} as {first(steps)} ran it is not in commit {str(commit)[:12]}", steps=steps)


def first(steps: set[str]) -> str:
    """Some of the steps in words."""
    names = sorted(step.removesuffix("run.json").rstrip("/.") for step in steps)
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more steps"


@lru_cache(maxsize=64)
def known(base: Path, commit: str | None) -> bool:
    """Whether the checkout has a commit."""
    return bool(commit) and git(base, "cat-file", "-e", f"{commit}^{{commit}}") is not None


@lru_cache(maxsize=4096)
def committed(base: Path, commit: str, path: str) -> str | None:
    """Hex SHA-256 of a file as it is in a commit; None if it is not in it."""
    blob = git(base, "cat-file", "blob", f"{commit}:./{path}")
    return None if blob is None else hashlib.sha256(blob).hexdigest()


def git(base: Path, *arguments: str) -> bytes | None:
    """Output of git; None if it fails or is not there."""
    try:
        done = subprocess.run(["git", "-C", base, *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
