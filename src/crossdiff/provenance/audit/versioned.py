"""files = DVC: the results are those that dvc.lock names, file by file through DVC's folder objects.

dvc.lock gives each output its MD5; that of a folder ends in .dir and is the MD5 of a JSON list of its files, which DVC
keeps as an object in its cache. Both are plain files and are read as such; nothing is fetched.
"""

import hashlib
import json
from pathlib import Path

import yaml

from crossdiff.provenance.audit.finding import Break, Finding
from crossdiff.provenance.audit.jobs import FOLDER
from crossdiff.provenance.audit.manifests import MANIFEST, places, unmoved
from crossdiff.provenance.audit.study import Study
from crossdiff.provenance.origins import METRICS, NULL
from crossdiff.workflow import CRATE

CACHE = ".dvc/cache/files/md5"


def check(study: Study) -> Finding:
    """Every output of dvc.lock under results/<pair>, and Snakemake's metadata."""
    found = Finding()
    try:
        lock = yaml.safe_load((study.base / "dvc.lock").read_text())
        outs = {out["path"]: str(out["md5"]) for stage in lock["stages"].values() for out in stage.get("outs", [])}
    except FileNotFoundError:
        found.unchecked.append("dvc.lock: there is none")
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        found.breaks.append(Break(f"dvc.lock cannot be read: {type(error).__name__}"))
        return found
    covered = {inside for path in outs if (inside := study.inside(path))}
    if not covered:
        found.unchecked.append(f"dvc.lock does not know results/{study.pair}")
        return found
    for path, digest in outs.items():
        # Where Snakemake's records are not here, their own check says so.
        if study.inside(path) or (path == FOLDER and (study.base / path).is_dir()):
            one_out(study, path, digest, found)
    left_out(study, covered, found)
    return found


def left_out(study: Study, covered: set[str], found: Finding) -> None:
    """Results that are here and below none of the ``covered`` files and folders."""
    there = [name for name in (*study.expected, METRICS, CRATE) if (study.root / name).is_file()]
    missed: dict[str, list[str]] = {}
    for name in there:
        if not {name, name.split("/")[0]} & covered:
            missed.setdefault(name.split("/")[0], []).append(name)
    for top, names in missed.items():
        steps = [name for name in names if name in study.records]
        found.equal(False, f"dvc.lock does not name {study.name(top)}", names, steps)


def one_out(study: Study, path: str, digest: str, found: Finding) -> None:
    """A file or a folder of dvc.lock."""
    if not digest.endswith(".dir"):
        same = study.hashes.md5(study.base / path) == digest
        found.equal(same, f"{path} is not the file that dvc.lock names", [study.inside(path) or path])
        return
    listed = folder_object(study.base, digest)
    if listed is None:
        whole_folder(study, path, digest, found)
        return
    there = files(study.base / path)
    for name, md5 in listed.items():
        file = f"{path}/{name}"
        if study.fast and trusted(study, file):
            continue
        same = study.hashes.md5(study.base / file) == md5
        found.equal(same, f"{file} is not the file that dvc.lock names", owned(study, file))
    for name in sorted(there - listed.keys()):
        found.equal(False, f"{path}/{name} is not in dvc.lock", owned(study, f"{path}/{name}"))


def trusted(study: Study, file: str) -> bool:
    """Whether --fast passes over a shard."""
    inside = study.inside(file) or ""
    for above in places(study):
        for item in (study.json(above + MANIFEST) or {}).get("shards", []):
            if f"{above}activations/{item['file']}" == inside:
                return unmoved(study, inside, item.get("bytes"))
    return False


def whole_folder(study: Study, path: str, digest: str, found: Finding) -> None:
    """A folder whose object is not in the cache here: its hash is made again from its files, in DVC's format."""
    if study.fast and path.endswith(("/activations", f"/{NULL}")):
        found.unchecked.append(f"{path} against dvc.lock: its object is not in the cache, and --fast reads no shards")
        return
    names = sorted(files(study.base / path))
    listed = [{"md5": study.hashes.md5(study.base / path / name), "relpath": name} for name in names]
    same = (
        f"{hashlib.md5(json.dumps(listed, sort_keys=True).encode(), usedforsecurity=False).hexdigest()}.dir" == digest
    )
    inside = study.inside(path)
    every = [f"{inside}/{name}" for name in names] if inside else []
    what = f"{path} is not the folder that dvc.lock names; which file it is, its object in DVC's cache would tell"
    found.equal(same, what, every)


def folder_object(base: Path, digest: str) -> dict[str, str] | None:
    """MD5 of each file of a folder, from DVC's cache; None if the object is not there or is damaged itself."""
    path = base / CACHE / digest[:2] / digest[2:]
    try:
        content = path.read_bytes()
        if f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}.dir" != digest:
            return None
        return {item["relpath"]: item["md5"] for item in json.loads(content)}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def files(folder: Path) -> set[str]:
    """Files below a folder as DVC lists them; what .dvcignore leaves out (unfinished files) is left out."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in names if not name.endswith(".part") and "__pycache__" not in name}


def owned(study: Study, path: str) -> list[str]:
    """A file as a break names it; Snakemake's own records taint no number."""
    inside = study.inside(path)
    return [inside] if inside else []
