"""Every way in which somebody's files can be broken is told by file and name, before anything is used."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign import Foreign, finetuning_crosscoder, finetuning_sae, kissane
from foreign_made import MADE
from foreign_saes import dictionary_learning, saelens, sparsify
from made import make_dictionary

from crossdiff.dictionaries import save
from crossdiff.dictionaries.published.adapt import check, scaled
from crossdiff.dictionaries.published.registry import weights
from crossdiff.errors import UserError

FRESH: dict[str, Callable[[], Foreign]] = {
    "crosscoder": lambda: finetuning_crosscoder(4, 9, 0),
    "diff-sae": lambda: finetuning_sae(4, 9, 0),
    "ckkissane": lambda: kissane(4, 9, 0),
    "dictionary_learning": lambda: dictionary_learning("BatchTopKSAE", 4, 9, 0),
    "jumprelu": lambda: dictionary_learning("JumpReluAutoEncoder", 4, 9, 0),
    "saelens": lambda: saelens("jumprelu", 4, 9, 0),
    "gated": lambda: saelens("gated", 4, 9, 0),
    "topk": lambda: saelens("topk", 4, 9, 0),
    "sparsify": lambda: sparsify(4, 9, 0),
}


def read(made: Foreign, folder: Path, kind: str = "") -> Any:
    format_, file = weights(made.write(folder), made.format)
    return format_.read(file, kind or ("crosscoder" if made.models == 2 else "diff-sae"))


ALL = FRESH | {
    name: (lambda make=make: make(4, 9, 0))
    for name, make in MADE.items()
    if not name.endswith(("raw", "normalised", "default")) or "decoupled" in name or "l1 crosscoder" in name
}
"""Every class of every format, and files of all ages; of the code normalisations those that have other tensors."""
EVERY_TENSOR = [(name, tensor) for name, make in ALL.items() for tensor in make().tensors]
OPTIONAL = ("code_normalization_id", "AutoEncoderTopK.threshold")
"""What older files of a format lack; the settings tell the form of the score, TopK has no use for a threshold."""


@pytest.mark.parametrize(("name", "tensor"), EVERY_TENSOR)
def test_a_missing_tensor_is_named(name: str, tensor: str, tmp_path: Path) -> None:
    made = ALL[name]()
    whole = read(made, tmp_path / "whole")
    del made.tensors[tensor]
    tensor = tensor.removeprefix("_orig_mod.")
    if tensor in OPTIONAL or f"{name}.{tensor}" in OPTIONAL:
        assert read(made, tmp_path).score == whole.score
        return
    with pytest.raises(UserError) as caught:
        read(made, tmp_path)
    assert made.files[0] in str(caught.value)
    assert tensor in str(caught.value)


@pytest.mark.parametrize("name", [name for name in ALL if {"k", "threshold"} <= ALL[name]().tensors.keys()])
def test_a_batchtopk_file_without_k_and_threshold_is_no_other_class(name: str, tmp_path: Path) -> None:
    made = ALL[name]()
    del made.tensors["k"], made.tensors["threshold"]
    told = made.settings.get("trainer", made.settings)
    told |= {"k": 3} if made.format == "science-of-finetuning" else {}
    if made.format == "science-of-finetuning":
        told.pop("dict_class", None)  # as in the files of early 2025
    with pytest.raises(UserError, match="lacks k"):
        read(made, tmp_path)


@pytest.mark.parametrize(("name", "tensor"), EVERY_TENSOR)
def test_a_misshapen_tensor_is_named(name: str, tensor: str, tmp_path: Path) -> None:
    made = ALL[name]()
    made.tensors[tensor] = torch.cat([made.tensors[tensor].reshape(-1), torch.ones(1)])
    tensor = tensor.removeprefix("_orig_mod.")
    with pytest.raises(UserError) as caught:
        read(made, tmp_path)
    assert made.files[0] in str(caught.value)
    assert tensor in str(caught.value)
    assert "has shape" in str(caught.value) or tensor in ("code_normalization_id", "group_sizes")


@pytest.mark.parametrize("name", ALL)
def test_a_transposed_weight_is_named(name: str, tmp_path: Path) -> None:
    made = ALL[name]()
    decoder = next(key for key in made.tensors if key.endswith(("decoder.weight", "W_dec")))
    made.tensors[decoder] = made.tensors[decoder].transpose(-1, -2)
    with pytest.raises(UserError, match=f"{decoder.removeprefix('_orig_mod.')} has shape"):
        read(made, tmp_path)


@pytest.mark.parametrize("name", ALL)
def test_an_extra_tensor_is_named(name: str, tmp_path: Path) -> None:
    made = ALL[name]()
    made.tensors["scaling_factor"] = torch.ones(9)
    with pytest.raises(UserError, match=rf"{made.files[0]} has unknown scaling_factor; this format has exactly"):
        read(made, tmp_path)


@pytest.mark.parametrize("name", FRESH)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_named(name: str, value: float, tmp_path: Path) -> None:
    made = FRESH[name]()
    decoder = next(key for key in made.tensors if key in ("decoder.weight", "W_dec"))
    made.tensors[decoder].view(-1)[3] = value
    with pytest.raises(UserError, match=f"{decoder} holds values that are not finite"):
        read(made, tmp_path)


@pytest.mark.parametrize("name", FRESH)
def test_settings_or_weights_that_are_missing_or_no_such_file_are_named(name: str, tmp_path: Path) -> None:
    made = FRESH[name]()
    format_, file = weights(made.write(tmp_path), made.format)
    kind = "crosscoder" if made.models == 2 else "diff-sae"
    settings = tmp_path / made.files[1]
    settings.write_text("{")
    with pytest.raises(UserError, match=rf"{made.files[1]} is not valid JSON"):
        format_.read(file, kind)
    settings.write_text("[]")
    with pytest.raises(UserError, match=rf"{made.files[1]} must hold a JSON object, not a list"):
        format_.read(file, kind)
    settings.unlink()
    with pytest.raises(UserError, match=rf"{made.files[1]} is missing"):
        format_.read(file, kind)
    settings.write_text(json.dumps(made.settings))
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(UserError, match=rf"{made.files[0]} cannot be read"):
        format_.read(file, kind)


def test_a_pickle_with_anything_but_tensors_is_not_run(tmp_path: Path) -> None:
    made = FRESH["dictionary_learning"]()
    made.write(tmp_path)
    torch.save({"encoder.weight": print}, tmp_path / "ae.pt")
    format_, file = weights(tmp_path, None)
    with pytest.raises(UserError, match=r"ae\.pt cannot be read"):
        format_.read(file, "diff-sae")
    torch.save({"encoder.weight": [1.0]}, tmp_path / "ae.pt")
    with pytest.raises(UserError, match=r"ae\.pt is no state dict"):
        format_.read(file, "diff-sae")


def one(name: str, **settings: Any) -> Foreign:
    made = FRESH[name]()
    made.settings.update(settings)
    return made


def with_tensor(name: str, **tensors: Any) -> Foreign:
    made = FRESH[name]()
    made.tensors.update({key.replace("__", "."): torch.as_tensor(value) for key, value in tensors.items()})
    return made


def trainer(**settings: Any) -> Foreign:
    made = FRESH["dictionary_learning"]()
    made.settings["trainer"].update(settings)
    return made


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (one("crosscoder", dict_size=8), "dict_size is 8, but by model.safetensors it is 9"),
        (one("crosscoder", num_layers=3), "num_layers is 3, but by model.safetensors it is 2"),
        (one("crosscoder", dict_class="CrossCoder"), "dict_class is 'CrossCoder', but by .* 'BatchTopKCrossCoder'"),
        (one("crosscoder", encoder_layers=[0]), r"encoder_layers = \[0\] is not supported"),
        (one("crosscoder", code_normalization="SAE"), "code_normalization_id says CROSSCODER, but config.json SAE"),
        (with_tensor("crosscoder", code_normalization_id=9), "code_normalization_id 9 is unknown"),
        (with_tensor("crosscoder", threshold=-1.0), "threshold was never set"),
        (with_tensor("crosscoder", activation_global_scale=[1.0, 1.0]), "a scale for each dimension is not supported"),
        (with_tensor("crosscoder", target_rms=float("inf")), "target_rms holds values that are not finite"),
        (with_tensor("diff-sae", threshold=-1.0), "threshold was never set"),
        (finetuning_sae(4, 9, 0, normalised=True), "kind: .* holds a BatchTopKSAE; a crosscoder was asked for"),
        (one("ckkissane", d_in=5), "d_in is 5, but by cc_weights.pt it is 4"),
        (one("ckkissane", activation_scales=[1.0, 0.0]), "activation_scales must be two positive numbers"),
        (trainer(dict_class="CrossCoder"), "dict_class 'CrossCoder' is not supported; known are AutoEncoder"),
        (trainer(activation_dim=7), "activation_dim is 7, but by ae.pt it is 4"),
        (Foreign(**{**vars(trainer()), "settings": {}}), "has no `trainer`"),
        (with_tensor("dictionary_learning", threshold=-1.0), "threshold was never set"),
        (one("saelens", architecture="transcoder"), "architecture 'transcoder' is not supported; known are standard"),
        (one("saelens", normalize_activations="layer_norm"), "normalize_activations is 'layer_norm'"),
        (one("saelens", reshape_activations="hook_z"), "reshape_activations and finetuning_scaling_factor"),
        (one("saelens", d_sae=3), "d_sae is 3, but by sae_weights.safetensors it is 9"),
        (one("topk", k=None), "k must be a positive number, got None"),
        (one("topk", k=0), "k must be a positive number, got 0"),
        (one("sparsify", transcode=True), "transcode is true; a transcoder does not reconstruct"),
        (one("sparsify", skip_connection=True), "skip_connection is true"),
        (one("sparsify", activation="groupmax"), "activation 'groupmax' is not supported, only topk"),
        (one("sparsify", num_latents=7), "num_latents is 7, but by sae.safetensors it is 9"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told(made: Foreign, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read(made, tmp_path, "crosscoder" if "a crosscoder was asked" in message else "")


def test_an_sae_is_no_crosscoder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="kind: the files hold an SAE, not a crosscoder; give chat-sae"):
        read(FRESH["sparsify"](), tmp_path, "crosscoder")
    with pytest.raises(UserError, match=r"kind: .* holds a crosscoder; a diff-sae was asked for"):
        read(FRESH["ckkissane"](), tmp_path / "other", "diff-sae")


def test_the_format_is_told_by_the_files_unless_it_is_given(tmp_path: Path) -> None:
    FRESH["sparsify"]().write(tmp_path)
    assert weights(tmp_path, None)[0].NAME == "sparsify"
    assert weights(tmp_path / "sae.safetensors", None)[0].NAME == "sparsify"
    (tmp_path / "sae.safetensors").rename(tmp_path / "mine.safetensors")
    with pytest.raises(UserError, match="holds no weight file of a known format"):
        weights(tmp_path, None)
    with pytest.raises(UserError, match="holds no weight file of a known format"):
        weights(tmp_path / "mine.safetensors", None)
    format_, file = weights(tmp_path / "mine.safetensors", "sparsify")
    assert format_.read(file, "base-sae").k == 2


def test_two_dictionaries_in_a_folder_are_not_guessed_between(tmp_path: Path) -> None:
    FRESH["sparsify"]().write(tmp_path)
    FRESH["dictionary_learning"]().write(tmp_path)
    with pytest.raises(UserError, match=r"more than one dictionary: ae\.pt \(dictionary_learning\), sae\.safetensors"):
        weights(tmp_path, None)
    assert weights(tmp_path, "sparsify")[1].name == "sae.safetensors"
    for step in (100, 200):
        (tmp_path / f"checkpoint_{step}.pt").write_bytes(b"")
    with pytest.raises(UserError, match=r"checkpoint_100\.pt .*, checkpoint_200\.pt"):
        weights(tmp_path, "science-of-finetuning")
    (tmp_path / "model_final.pt").write_bytes(b"")
    assert weights(tmp_path, "science-of-finetuning")[1].name == "model_final.pt"


def test_a_dictionary_of_ours_knows_its_kind(tmp_path: Path) -> None:
    save(make_dictionary("diff-sae"), tmp_path)
    format_, file = weights(tmp_path, None)
    assert torch.equal(format_.read(file, "diff-sae").encoder, make_dictionary("diff-sae").encoder)
    with pytest.raises(UserError, match="holds a diff-sae; a chat-sae was asked for"):
        format_.read(file, "chat-sae")


def test_width_layer_and_scales_must_be_those_of_the_study(tmp_path: Path) -> None:
    dictionary = read(FRESH["ckkissane"](), tmp_path)
    with pytest.raises(UserError, match=r"dictionaries\.x\.scales: files of ckkissane do not keep"):
        scaled(dictionary, None, "dictionaries.x")
    ready = scaled(dictionary, (2.0, 3.0), "dictionaries.x")
    assert ready.scale.tolist() == [[2.0], [3.0]]
    with pytest.raises(UserError, match=r"dictionaries\.x\.scales: these files keep their own scale"):
        scaled(ready, (2.0, 3.0), "dictionaries.x")
    check(ready, 4, 3, "dictionaries.x")  # blocks.4.hook_resid_pre is the stream after block 3
    with pytest.raises(UserError, match="the dictionary has width 4, but the models have width 576"):
        check(ready, 576, 3, "dictionaries.x")
    with pytest.raises(UserError, match=r"trained on the stream after block 3, but activations\.layer is 4"):
        check(ready, 4, 4, "dictionaries.x")
