"""Each format against a forward written from its definition; import, export and import again changes no bit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign import Foreign, finetuning_crosscoder, norms
from foreign_made import MADE, SCALES
from foreign_saes import dictionary_learning, saelens, sparsify
from hypothesis import given, settings
from hypothesis import strategies as st
from made import make_dictionary
from safetensors.torch import load_file

from crossdiff.dictionaries import load
from crossdiff.dictionaries.architecture import Dictionary
from crossdiff.dictionaries.published.adapt import scaled
from crossdiff.dictionaries.published.registry import FORMATS, weights, write
from crossdiff.errors import UserError

CLEAR = 1e-3
"""Distance of a score from its level beyond which fp32 and float64 must agree."""


def taken(folder: Path, made: Foreign, name: str = "") -> Dictionary:
    format_, file = weights(folder, None)
    assert made.format == format_.NAME
    return scaled(
        format_.read(file, "crosscoder" if made.models == 2 else "diff-sae"), SCALES.get(name), "dictionaries.x"
    )


@pytest.mark.parametrize("name", MADE)
def test_encode_and_decode_are_those_of_the_format(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    @given(width=st.integers(1, 7), latents=st.integers(3, 13), tokens=st.integers(1, 9), seed=st.integers(0, 999))
    @settings(max_examples=12, deadline=None)
    def compare(width: int, latents: int, tokens: int, seed: int) -> None:
        made = MADE[name](width, latents, seed)
        dictionary = taken(made.write(tmp_path_factory.mktemp("files")), made, name)
        assert dictionary.shape == (made.models, width, latents)
        x = 2 * torch.randn(tokens, made.models, width, generator=torch.Generator().manual_seed(seed + 1))
        theirs, margin = made.encode(x.double().numpy())
        ours = dictionary.encode(x)
        clear = margin > CLEAR
        np.testing.assert_allclose(ours.double().numpy()[clear], theirs[clear], rtol=1e-4, atol=1e-4)
        codes = dictionary.codes(x)
        dense = torch.zeros_like(ours).index_put((codes.token_N, codes.latent_N), codes.value_N)
        assert torch.equal(dense, ours)
        decoded = dictionary.decode(torch.from_numpy(theirs)).double().numpy()
        np.testing.assert_allclose(decoded, made.decode(theirs), rtol=1e-4, atol=1e-4)

    compare()


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("seed", [0, 1])
def test_export_and_import_again_changes_no_bit(name: str, seed: int, tmp_path: Path) -> None:
    made = MADE[name](5, 11, seed)
    before = taken(made.write(tmp_path / "theirs"), made, name)
    write(before, tmp_path / "ours", made.format)
    format_, file = weights(tmp_path / "ours", None)
    after = format_.read(file, before.kind)
    assert made.format == format_.NAME
    assert (after.kind, after.k) == (before.kind, before.k)
    for part, tensor in before.tensors.items():
        assert torch.equal(after.tensors[part], tensor), part
    x = torch.randn(20, made.models, 5)
    assert torch.equal(after.encode(x), before.encode(x))


def bits(tensor: torch.Tensor) -> tuple[torch.dtype, tuple[int, ...], bytes]:
    return tensor.dtype, tuple(tensor.shape), tensor.contiguous().numpy().tobytes()


def assert_same_files(folder: Path, made: Foreign) -> None:
    """Every tensor and setting of the first files stands in the others; an std is known by its norm alone."""
    tensors = load_file(folder / made.files[0])
    for name, tensor in made.tensors.items():
        if name == "activation_std" and not tensor.isnan().any():
            torch.testing.assert_close(tensors[name].norm(dim=1), tensor.norm(dim=1))
        else:
            assert bits(tensors[name]) == bits(tensor), name
    assert made.settings.items() <= json.loads((folder / made.files[1]).read_text()).items()


# L1 codes do not depend on w: `decoupled` is read as the sum of norms.
@pytest.mark.parametrize("name", [n for n in MADE if n.startswith("crosscoder") and n.endswith(("raw", "normalised"))])
def test_a_crosscoder_s_file_comes_back(name: str, tmp_path: Path) -> None:
    made = MADE[name](5, 11, 2)
    write(taken(made.write(tmp_path / "theirs"), made), tmp_path / "ours", made.format)
    if "l1 decoupled" in name:
        made.tensors["code_normalization_id"], made.settings["code_normalization"] = torch.tensor(1), "CROSSCODER"
    assert_same_files(tmp_path / "ours", made)


@pytest.mark.parametrize("topk", [True, False])
@pytest.mark.parametrize("alphas", [(1 / 3, 0.7), (0.0, 1.0), (2.5, 0.0), (1.0, 0.1), (0.1, 1)])
def test_shares_of_a_mixed_weight_come_back_from_a_study_s_own_files(
    topk: bool, alphas: tuple[float, float], tmp_path: Path
) -> None:
    made = finetuning_crosscoder(7, 23, 5, "mixed", topk, alphas=alphas)
    made.settings |= {"norm_init_scale": 0.005, "target_rms": 3, "code_normalization": "CodeNormalization.MIXED"}
    write(taken(made.write(tmp_path / "theirs"), made), tmp_path / "study", "crossdiff")
    write(load(tmp_path / "study"), tmp_path / "ours", made.format)
    assert_same_files(tmp_path / "ours", made)
    format_, file = weights(tmp_path / "study", "crossdiff")
    write(format_.read(file, "crosscoder"), tmp_path / "again", made.format)
    assert_same_files(tmp_path / "again", made)


def test_activity_of_other_shares_is_the_bare_code(tmp_path: Path) -> None:
    theirs, usual = (finetuning_crosscoder(7, 23, 5, "mixed", alphas=alphas) for alphas in ((0.7, 0.4), (1.0, 0.1)))
    bare, weighed = (taken(made.write(tmp_path / str(n)), made) for n, made in enumerate((theirs, usual)))
    w = norms("mixed", theirs.tensors["decoder.weight"].double().numpy(), (0.7, 0.4))
    assert torch.equal(bare.score_weight(), torch.ones(23))
    np.testing.assert_allclose(bare.threshold.double().numpy() * w, 1.1, rtol=1e-6)
    assert bool((weighed.score_weight() != 1).all())


@pytest.mark.parametrize("name", ["JumpReluAutoEncoder", "GatedAutoEncoder", "saelens gated", "diff-sae normalised"])
@pytest.mark.parametrize("format_", ["saelens", "dictionary_learning"])
def test_an_sae_of_one_package_works_in_another(name: str, format_: str, tmp_path: Path) -> None:
    made = MADE[name](5, 11, 3)
    before = taken(made.write(tmp_path / "theirs"), made)
    write(before, tmp_path / "ours", format_)
    after = FORMATS[format_].read(weights(tmp_path / "ours", None)[1], "diff-sae")
    x = torch.randn(50, 1, 5)
    f = before.encode(x)
    torch.testing.assert_close(after.encode(x), f, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(after.decode(f), before.decode(f), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "format_", "threshold"),
    [
        ("crosscoder", "science-of-finetuning", 0.3),
        ("crosscoder", "science-of-finetuning", 0.0),
        ("crosscoder", "ckkissane", 0.0),
        ("diff-sae", "science-of-finetuning", 0.3),
        ("chat-sae", "dictionary_learning", 0.3),
        ("chat-sae", "dictionary_learning", 0.0),
        ("base-sae", "saelens", 0.3),
        ("base-sae", "saelens", 0.0),
        ("diff-sae", "crossdiff", 0.3),
    ],
)
def test_a_dictionary_of_ours_is_the_same_function_in_their_files(
    kind: str, format_: str, threshold: float, tmp_path: Path
) -> None:
    before = make_dictionary(kind, threshold=threshold)
    before.about["recipe"] = {"k": 32}
    write(before, tmp_path, format_)
    after = FORMATS[format_].read(weights(tmp_path, None)[1], kind)
    x = 2 * torch.randn(200, before.shape[0], 6)
    f, g = before.encode(x), after.encode(x)
    assert (f > 0).float().mean() > 0.1
    torch.testing.assert_close(g, f, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(after.decode(g), before.decode(f), rtol=1e-4, atol=1e-4)
    write(after, tmp_path / "again", format_)
    again = FORMATS[format_].read(weights(tmp_path / "again", None)[1], kind)
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in after.tensors.items())


def topk(tmp_path: Path) -> Dictionary:
    made = sparsify(4, 9, 0)
    return taken(made.write(tmp_path / "topk"), made)


def jumprelu(tmp_path: Path) -> Dictionary:
    made = dictionary_learning("JumpReluAutoEncoder", 4, 9, 0)
    return taken(made.write(tmp_path / "jumprelu"), made)


def mixed(tmp_path: Path, topk: bool) -> Dictionary:
    made = finetuning_crosscoder(4, 9, 0, "mixed", topk)
    return taken(made.write(tmp_path / "mixed"), made)


def other_levels(tmp_path: Path) -> Dictionary:
    dictionary = mixed(tmp_path, topk=True)
    return replace(dictionary, threshold=dictionary.threshold * 1.01)


def rescaled(tmp_path: Path) -> Dictionary:
    made = saelens("topk", 4, 9, 0, rescale=True)
    return taken(made.write(tmp_path / "rescaled"), made)


@pytest.mark.parametrize(
    ("make", "format_", "message"),
    [
        (lambda _: make_dictionary("crosscoder"), "saelens", "saelens holds SAEs of one model's activations"),
        (lambda _: make_dictionary("crosscoder"), "dictionary_learning", "export it as science-of-finetuning"),
        (lambda _: make_dictionary("crosscoder"), "sparsify", "a crosscoder's encoder needs both models"),
        (lambda _: make_dictionary("crosscoder", threshold=0.3), "ckkissane", "ReLU crosscoders without a threshold"),
        (lambda _: make_dictionary("diff-sae"), "ckkissane", "ckkissane holds crosscoders"),
        (lambda _: make_dictionary("diff-sae"), "sparsify", "holds TopK SAEs that rank bare codes"),
        (topk, "science-of-finetuning", "holds no TopK dictionary"),
        (jumprelu, "science-of-finetuning", "holds one threshold, not one a latent"),
        (other_levels, "science-of-finetuning", "holds one threshold, not one a latent"),
        (lambda path: mixed(path, topk=True), "ckkissane", "ReLU crosscoders without a threshold"),
        (lambda path: mixed(path, topk=False), "ckkissane", "weighs codes by the sum of their decoder norms, not by"),
        (rescaled, "sparsify", "rank bare codes"),
        (rescaled, "dictionary_learning", "ranks a TopK SAE's bare codes"),
        (lambda _: make_dictionary("diff-sae"), "gguf", "there is no format gguf; there are science-of-finetuning"),
    ],
)
def test_what_a_format_cannot_hold_is_told_and_nothing_written(
    make, format_: str, message: str, tmp_path: Path
) -> None:
    dictionary, out = make(tmp_path), tmp_path / "out"
    with pytest.raises(UserError, match=message):
        write(dictionary, out, format_)
    assert not out.exists()


def test_a_dictionary_of_the_opposite_difference_has_the_same_codes() -> None:
    before = make_dictionary("diff-sae")
    after = before.negated()
    x = torch.randn(40, 1, 6)
    assert torch.equal(after.encode(-x), before.encode(x))
    assert torch.equal(after.decode(before.encode(x)), -before.decode(before.encode(x)))
    assert torch.equal(after.negated().encoder, before.encoder)
