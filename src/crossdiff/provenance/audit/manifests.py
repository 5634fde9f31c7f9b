"""weights = manifest: activations are what their manifest lists, dictionaries what they say they are."""

from pathlib import Path
from typing import Any

from crossdiff.provenance.audit.finding import Finding
from crossdiff.provenance.audit.study import Study
from crossdiff.provenance.origins import NULL, record_of

MANIFEST = "activations/manifest.json"


def check(study: Study) -> Finding:
    """Shards by size and hash, the corpus and pair behind them, the dictionaries' own descriptions, the models."""
    found = Finding()
    for above in places(study):
        one_pair(study, above, found)
    return found


def places(study: Study) -> list[str]:
    """Where the pairs that were read lie under results/<pair>: the study's own, and the null's if there is one."""
    return ["", *([f"{NULL}/"] if study.config and study.config.null_pair else [])]


def one_pair(study: Study, above: str, found: Finding) -> None:
    """All that was read and trained below ``above``."""
    name = above + MANIFEST
    manifest = study.json(name)
    if not isinstance(manifest, dict):
        found.equal(False, f"{study.name(name)} is missing or no JSON", [name])
        return
    shards(study, above, manifest, found)
    if "rows_sha256" in manifest:
        rows = "corpus/rows.parquet"
        same = study.hashes.sha256(study.root / rows) == manifest["rows_sha256"]
        found.equal(same, f"{study.name(rows)} is not the corpus that {name} was made of", [rows])
    dictionaries(study, above, manifest, found)
    models(study, above, found)


def shards(study: Study, above: str, manifest: dict[str, Any], found: Finding) -> None:
    """Each file that the manifest lists; with ``fast`` a shard of its size and not newer than its record is trusted."""
    trusted = 0
    listed = [*manifest.get("shards", []), *([manifest["rows_file"]] if "rows_file" in manifest else [])]
    for item in listed:
        file = f"{above}activations/{item['file']}"
        if study.fast and unmoved(study, file, item.get("bytes")):
            trusted += 1
        else:
            same = study.hashes.sha256(study.root / file) == item["sha256"]
            found.equal(same, f"{study.name(file)} is not the file that manifest.json lists", [file])
    if trusted:
        found.unchecked.append(f"content of {trusted} shards, trusted by size and time (--fast)")
    if not listed:
        found.unchecked.append("shards: the study keeps no activations")


def unmoved(study: Study, file: str, size: int | None) -> bool:
    """Whether a shard has its size and was last written before its step's record."""
    path, record = study.root / file, study.root / record_of(file)
    if size is None or not (path.is_file() and record.is_file()):
        return False
    return path.stat().st_size == size and path.stat().st_mtime <= record.stat().st_mtime


def dictionaries(study: Study, above: str, manifest: dict[str, Any], found: Finding) -> None:
    """Each dictionary was trained on this manifest and this pair, and its weights are those that were measured."""
    read = above + MANIFEST
    digest = study.hashes.sha256(study.root / read)
    for folder in (str(Path(name).parent) for name in study.expected if name.startswith(f"{above}dictionaries/")):
        file = f"{folder}/dictionary.json"
        about = (study.json(file) or {}).get("about")
        if not isinstance(about, dict):
            found.equal(False, f"{study.name(file)} is missing or does not describe a dictionary", [file])
            continue
        source = about.get("activations", {})
        if "manifest_sha256" in source:
            same = source["manifest_sha256"] == digest
            what = f"{study.name(file)} was trained on another {study.name(read)} than there is"
            found.equal(same, what, [file, read])
        if "pair" in about and "pair" in manifest:
            found.equal(about["pair"] == manifest["pair"], f"{study.name(file)} names other models", [file])


def models(study: Study, above: str, found: Finding) -> None:
    """Models from a hub are known by their commit alone; folders are hashed by the record of the pair step."""
    pair = study.json(f"{above}pair/pair.json")
    for side in ("base", "chat"):
        origin = pair.get(side) if isinstance(pair, dict) else None
        if isinstance(origin, dict) and not (study.base / str(origin.get("path"))).is_dir():
            revision = origin.get("revision")
            found.unchecked.append(f"weights of {origin.get('path')} at revision {revision}: no folder here holds them")
