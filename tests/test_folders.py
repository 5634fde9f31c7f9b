"""Folders that cannot be models' are refused before anything is made of them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from crossdiff.config import Config
from crossdiff.errors import UserError
from crossdiff.folders import check_folders
from crossdiff.overlay import merged
from crossdiff.parsing import parse

ROOT = Path(__file__).parents[1]


def study(**chat: Any) -> Config:
    pair = {"name": "mine", "base": {"path": "./base", "package": None}, "chat": {"planted": None, **chat}}
    plain = yaml.safe_load((ROOT / "config.yaml").read_text())
    return parse(Config, merged(plain, {"pair": pair, "calibration": {"null_tune": None}}))


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("base", "chat", "bare", "adapter"):
        Path(name).mkdir()
        if name != "bare":
            Path(name, "tokenizer.json").write_text("{}")
    Path("adapter/adapter_config.json").write_text("{}")
    Path("again").symlink_to("base")


def test_two_models_with_tokenizers_pass() -> None:
    check_folders(study(path="./chat"))


def test_hub_ids_and_files_are_not_looked_into() -> None:
    check_folders(study(path="org/chat"))
    Path("bare/model.gguf").write_text("")
    check_folders(study(path="./bare", gguf="model.gguf"))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("./adapter", r"^pair\.chat\.path: adapter holds a LoRA adapter, not a model; merge it"),
        ("./bare", r"^pair\.chat\.path: there is no tokenizer in bare \(none of tokenizer\.json"),
        ("./again", r"^pair\.chat\.path: again is the folder of pair\.base; name another model"),
    ],
)
def test_what_is_no_model_of_its_own_is_named(path: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_folders(study(path=path))
