"""docs/new-pair.md, followed literally: its overlay and its commands, with two tiny models in place of the names."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from .conftest import MAKE_STUDY, ROOT, Tree, copied

PAGE = ROOT / "docs/new-pair.md"
SMALL = """
pair: {dtype: float32}
corpus: {context: 64, train_tokens: 3000, validation_tokens: 1200}
activations: {dtype: float32, batch_tokens: 1024, shard_tokens: 1500}
dictionaries:
  crosscoder-batchtopk: &small
    {latents: 64, k: 4, steps: 20, batch: 128, warmup_steps: 2, decay_start: 15, threshold_start: 5}
  diff-sae: *small
seeds: [0]
synthetic: {preset: tiny, seeds: [0]}
attribution: {blocks: 4}
examples: {strongest: 3, latents: 8}
evidence: {conversations: 4, random_sets: 1, resamples: 100}
compute: {threads: {models: 1, dictionaries: 1}}
"""
"""What the page leaves as it is in config.yaml, made small, and two of its dictionaries."""


def blocks(language: str) -> list[str]:
    """Fenced blocks of the page in a language; "" for commands."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [text for name, text in fenced if name == language]


def commands() -> list[str]:
    """Lines of the plain blocks."""
    return [line for block in blocks("") for line in block.splitlines() if line]


@pytest.fixture(scope="module")
def follower(
    tmp_path_factory: pytest.TempPathFactory, tools: Path, llama_pair, web_parquet: Path, chat_jsonl: Path
) -> Tree:
    """A checkout with the page's overlay as it is printed, but for the names of the models and a site they have."""
    tree = copied(tmp_path_factory.mktemp("page") / "study", tools)
    overlay, names = (
        blocks("yaml")[0],
        {"org/base-instruct": "models/chat", "org/base": "models/base", "layer: 14": "layer: 1"},
    )
    for name, ours in names.items():
        assert len(re.findall(rf"{name}\b(?!-)", overlay)) == 1
        overlay = re.sub(rf"{name}\b(?!-)", ours, overlay)
    (tree.root / "configs/my-pair.yaml").write_text(overlay)
    shutil.copytree(llama_pair.base, tree.root / "models/base")
    shutil.copytree(llama_pair.chat, tree.root / "models/chat")
    (tree.root / "data").mkdir()
    for file in (web_parquet, chat_jsonl):
        shutil.copyfile(file, tree.root / "data" / file.name)
    default = tree.root / "config.yaml"
    study = yaml.safe_load(default.read_text())
    for part, change in yaml.safe_load(SMALL).items():
        if part == "dictionaries":
            study[part] = {name: study[part][name] | small for name, small in change.items()}
        else:
            study[part] = study.get(part, {}) | change if isinstance(change, dict) else change
    default.write_text(yaml.safe_dump(study))
    tree.run("git", "init", "--quiet")
    tree.commit("the study")
    return tree


def test_the_page_has_the_commands_of_a_study() -> None:
    assert [command.split()[0] for command in commands()] == ["make", "source", "crossdiff", "snakemake", "make"]


def test_installing_makes_the_environment_that_is_activated(follower: Tree) -> None:
    install, activate, *_ = commands()
    assert "--editable" in follower.run("make", "-n", *install.split()[1:])
    assert activate == "source .venv/bin/activate"


@pytest.mark.timeout(300)
def test_check_and_dry_run(follower: Tree) -> None:
    *_, check, dry_run, _ = commands()
    assert "nothing speaks against it" in follower.run(*check.split())
    plan = follower.run(*dry_run.split())
    assert re.search(r"^evidence +2$", plan, re.MULTILINE)
    assert not (follower.root / "results/my-pair/corpus").exists()


def test_the_other_overlay_is_a_config(follower: Tree, tmp_path: Path) -> None:
    (tmp_path / "stream.yaml").write_text(blocks("yaml")[1])
    assert "ok" in follower.run("python", "-m", "crossdiff.config", "config.yaml", "configs/my-pair.yaml", str(tmp_path / "stream.yaml"))  # fmt: skip  # noqa: E501


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_run(follower: Tree) -> None:
    make, target, overlay = commands()[-1].split()
    assert (make, target) == ("make", "study")
    follower.run(*MAKE_STUDY, overlay)
    assert (follower.root / re.search(r"`(results/\S+?html)`", PAGE.read_text())[1]).is_file()  # type: ignore[index]
