"""Packages that train SAEs, each by its own trainer's code, on ready batches.

An adapter is made for a case (L = 1); `steps` takes one training step on each batch, `reconstruct` says what the SAE
makes of a batch. Nothing is imported before it is used: a package that is missing is a row of the table, not an error.
Pins and how to install them: benchmarks/README.md.

Shapes: B tokens, D width.
"""

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from benchmarks.subjects import Case, matmul_precision

AUX_WEIGHT = 1 / 32
"""Of the auxiliary loss, alike in all; no latent is dead in the few steps of a benchmark."""


class Peer(Protocol):
    """A package's trainer."""

    def steps(self, batches: list[Tensor]) -> object:
        """One training step on each batch [B, 1, D] fp32."""

    def reconstruct(self, x_BD: Tensor) -> Tensor:
        """x̂ [B, D] with as many active latents as in training."""


class DictionaryLearning:
    """dictionary-learning: `BatchTopKTrainer.update`."""

    def __init__(self, case: Case, autocast: bool):
        from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer

        self.trainer = BatchTopKTrainer(
            steps=1_000_000, activation_dim=case.width, dict_size=case.latents, k=case.k, layer=0, lm_name="none",
            lr=case.lr, auxk_alpha=AUX_WEIGHT, warmup_steps=1, threshold_start_step=1, seed=case.seed,
            device=case.device,
        )  # fmt: skip
        self.case, self.autocast, self.done = case, autocast, 0

    def steps(self, batches: list[Tensor]) -> None:
        kind = torch.bfloat16 if self.autocast else torch.float32
        for x_BLD in batches:
            with precision(self.case, self.autocast):
                self.trainer.update(self.done, x_BLD.flatten(1).to(kind))  # cast as its training loop does
            self.done += 1

    @torch.no_grad()
    def reconstruct(self, x_BD: Tensor) -> Tensor:
        return self.trainer.ae.decode(self.trainer.ae.encode(x_BD, use_threshold=False))


class SaeLens:
    """sae-lens: `SAETrainer.step` of a BatchTopK SAE."""

    def __init__(self, case: Case, autocast: bool):
        from sae_lens.config import LoggingConfig, SAETrainerConfig
        from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
        from sae_lens.training.sae_trainer import SAETrainer

        torch.manual_seed(case.seed)
        self.sae = BatchTopKTrainingSAE(
            BatchTopKTrainingSAEConfig(d_in=case.width, d_sae=case.latents, k=case.k, device=case.device)
        )
        settings = SAETrainerConfig(
            total_training_samples=1_000_000 * case.batch, train_batch_size_samples=case.batch, lr=case.lr,
            lr_end=case.lr, device=case.device, autocast=autocast, logger=LoggingConfig(log_to_wandb=False),
        )  # fmt: skip
        self.trainer: Any = SAETrainer(settings, self.sae, data_provider=iter(()))

    def steps(self, batches: list[Tensor]) -> None:
        for x_BLD in batches:
            self.trainer.step(x_BLD.flatten(1))
            self.trainer.n_training_steps += 1  # as its loop does

    @torch.no_grad()
    def reconstruct(self, x_BD: Tensor) -> Tensor:
        return self.sae(x_BD)


class Sparsify:
    """eai-sparsify: `Trainer.fit`, whole, over a stand-in model whose one hooked module gives out the batches."""

    def __init__(self, case: Case, autocast: bool, optimizer: str = "adam"):
        if case.device == "cpu":  # it takes its Triton kernel wherever Triton is installed, and fails without a GPU
            os.environ["SPARSIFY_DISABLE_TRITON"] = "1"
        with quiet():
            from sparsify import SaeConfig, TrainConfig, Trainer

            sae = SaeConfig(num_latents=case.latents, k=case.k)
            settings = TrainConfig(
                sae, batch_size=1, optimizer=optimizer, lr=case.lr,
                lr_warmup_steps=1, auxk_alpha=AUX_WEIGHT, hookpoints=["site"], init_seeds=[case.seed],
                log_to_wandb=False,
            )  # fmt: skip
            self.model = _StandIn(case)
            # Its schedule falls to 0 over the data set, so it is told of a long one.
            self.trainer: Any = Trainer(settings, _Ids(1_000_000, case.batch), self.model)
        self.trainer.save = lambda: None
        self.case, self.autocast = case, autocast

    def steps(self, batches: list[Tensor]) -> None:
        self.model.batches = iter(batches)
        self.trainer.dataset = _Ids(len(batches), self.case.batch)
        # `fit` sets the precision of float32 products for the whole process.
        with quiet(), matmul_precision(torch.get_float32_matmul_precision()), precision(self.case, self.autocast):
            self.trainer.fit()

    @torch.no_grad()
    def reconstruct(self, x_BD: Tensor) -> Tensor:
        (sae,) = self.trainer.saes.values()
        return sae(x_BD).sae_out.float()


class _StandIn(nn.Module):
    """What `Trainer` needs of a model: a module to hook, and a forward that passes a batch through it."""

    def __init__(self, case: Case):
        super().__init__()
        self.base_model = nn.ModuleDict({"site": nn.Identity()})
        self.device = torch.device(case.device)
        self.dummy_inputs = {"input_ids": torch.zeros(1, case.batch, dtype=torch.int64)}
        self.config = SimpleNamespace(num_hidden_layers=1)
        self.batches: Iterator[Tensor] = iter([torch.zeros(case.batch, 1, case.width, device=case.device)])

    def forward(self, input_ids: Tensor) -> None:
        self.base_model["site"](next(self.batches).transpose(0, 1))


class _Ids:
    """A data set of that many rows; the ids only say how many tokens a batch has."""

    def __init__(self, rows: int, tokens: int):
        self.rows, self.ids_T = rows, torch.ones(tokens, dtype=torch.int64)

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        return {"input_ids": self.ids_T}

    def select(self, rows: object) -> "_Ids":
        """What is left after the steps done before: this benchmark gives just the new ones."""
        return self


def precision(case: Case, autocast: bool) -> AbstractContextManager[object]:
    """bf16 autocast, or none."""
    return torch.autocast(case.device.split(":")[0], dtype=torch.bfloat16, enabled=autocast)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what a package prints, progress bars included."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


PEERS: dict[str, tuple[str, Callable[[Case], Peer]]] = {
    "dictionary-learning": ("dictionary-learning", lambda case: DictionaryLearning(case, False)),
    "dictionary-learning bf16": ("dictionary-learning", lambda case: DictionaryLearning(case, True)),
    "sae-lens": ("sae-lens", lambda case: SaeLens(case, False)),
    "sae-lens bf16": ("sae-lens", lambda case: SaeLens(case, True)),
    "sparsify": ("eai-sparsify", lambda case: Sparsify(case, False)),
    "sparsify bf16": ("eai-sparsify", lambda case: Sparsify(case, True)),
    "sparsify bf16 signum": ("eai-sparsify", lambda case: Sparsify(case, True, "signum")),
}
"""Subject -> the package it needs, and how to make it. sparsify runs in bf16 on a GPU whatever it is told."""
os.environ.setdefault("WANDB_MODE", "disabled")
