"""Every variant of every format, by name: (width, latents, seed) -> its files and forward."""

from collections.abc import Callable

from foreign import CODE_IDS, Foreign, finetuning_crosscoder, finetuning_sae, kissane
from foreign_saes import dictionary_learning, saelens, sparsify

MADE: dict[str, Callable[[int, int, int], Foreign]] = {
    **{
        f"crosscoder {'topk' if topk else 'l1'} {code} {'normalised' if normalised else 'raw'}": (
            lambda w, n, s, c=code, t=topk, z=normalised: finetuning_crosscoder(w, n, s, c, t, z)
        )
        for code in CODE_IDS
        for topk in (True, False)
        for normalised in (True, False)
    },
    **{
        f"crosscoder {'topk' if topk else 'l1'} mixed by default": (
            lambda w, n, s, t=topk: finetuning_crosscoder(w, n, s, "mixed", t, alphas=(1.0, 0.1))
        )
        for topk in (True, False)
    },
    "crosscoder of 2024": lambda w, n, s: finetuning_crosscoder(w, n, s, topk=False, old=True),
    "crosscoder topk of early 2025": lambda w, n, s: finetuning_crosscoder(w, n, s, old=True),
    "crosscoder of a local run": lambda w, n, s: finetuning_crosscoder(w, n, s, local=True),
    "diff-sae normalised": lambda w, n, s: finetuning_sae(w, n, s),
    "diff-sae raw": lambda w, n, s: finetuning_sae(w, n, s, normalised=False),
    "diff-sae without buffers": lambda w, n, s: finetuning_sae(w, n, s, old=True),
    "ckkissane": lambda w, n, s: kissane(w, n, s),
    "ckkissane of one scale": lambda w, n, s: kissane(w, n, s, scales=(0.5, 0.5)),
    **{
        name: (lambda w, n, s, c=name: dictionary_learning(c, w, n, s))
        for name in ("AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "JumpReluAutoEncoder", "AutoEncoderTopK",
                     "BatchTopKSAE", "MatryoshkaBatchTopKSAE")
    },
    **{
        f"saelens {name}{' subtracting' if subtract else ''}{' old' if old else ''}": (
            lambda w, n, s, a=name, b=subtract, o=old: saelens(a, w, n, s, b, old=o)
        )
        for name in ("standard", "topk", "jumprelu", "gated")
        for subtract in (True, False)
        for old in (True, False)
    },
    "saelens topk rescaled": lambda w, n, s: saelens("topk", w, n, s, rescale=True),
    "sparsify": lambda w, n, s: sparsify(w, n, s),
}  # fmt: skip
SCALES = {"ckkissane": (0.3, 0.2), "ckkissane of one scale": (0.5, 0.5)}
