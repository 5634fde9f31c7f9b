"""A copy of this tree with a miniature study, run once as `make study` runs it."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from warm import fresh

ROOT = Path(__file__).parents[2]
MAKE_STUDY = ("make", "--assume-old=.venv/.crossdiff-ready", "study")
"""`make study` with this environment in the place of .venv."""
ENVIRONMENT = Path(sys.executable).parent


@dataclass(frozen=True)
class Tree:
    """A checkout in which commands are run."""

    root: Path
    tools: Path = ENVIRONMENT
    """Where the commands are: those of this environment, or of a process that has imported what they need (`warm`)."""

    def run(self, *command: str, check: bool = True) -> str:
        """Output of a command (stdout and stderr); fails the test, showing it, if the command fails."""
        places = f"{self.tools}:{ENVIRONMENT}:{os.environ['PATH']}"
        environment = fresh(self.root.parent / "hub") | {"PATH": places, "PYTHONPATH": str(self.root / "src")}
        done = subprocess.run(command, cwd=self.root, env=environment, text=True, capture_output=True, check=False)
        output = done.stdout + done.stderr
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{output[-6000:]}", pytrace=False)
        return output

    def study(self) -> str:
        """Run the study."""
        return self.run(*MAKE_STUDY)

    def commit(self, message: str) -> None:
        """Commit everything git does not ignore."""
        self.run("git", "add", "--all")
        author = ("-c", "user.name=smoke", "-c", "user.email=smoke@localhost")
        self.run("git", *author, "commit", "--quiet", "--message", message)


def copied(target: Path, tools: Path) -> Tree:
    """The files of this tree that are, or could be, committed; without results, in a git repository of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in listed.split("\0"):
        if name and (ROOT / name).is_file() and not name.startswith("results/") and name != "dvc.lock":
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    return Tree(target, tools)


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory, tools: Path, llama_pair, web_parquet, chat_jsonl) -> Tree:
    """The miniature study, ready to run."""
    tree = copied(tmp_path_factory.mktemp("smoke") / "study", tools)
    shutil.copyfile(ROOT / "tests/smoke/config.yaml", tree.root / "config.yaml")
    shutil.copyfile(ROOT / "tests/smoke/any-word.yaml", tree.root / "src/crossdiff/truth/behaviours/any-word.yaml")
    shutil.copytree(llama_pair.base, tree.root / "data/base")
    for file in (web_parquet, chat_jsonl):
        shutil.copyfile(file, tree.root / "data" / file.name)
    tree.run("git", "init", "--quiet")
    tree.commit("the study")
    return tree


@pytest.fixture(scope="session")
def done(tree: Tree) -> Tree:
    """The miniature study after its first run."""
    started = time.monotonic()
    tree.study()
    print(f"\nmake study took {time.monotonic() - started:.0f} s")
    return tree
