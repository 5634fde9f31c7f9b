"""The published crosscoder trainer's work, stated again: the yardstick of `benchmarks.training`.

Written from what its survey found, not from its code: activations [B, L, D]; the encoder as one dense product a model,
summed afterwards; a full `topk` over the flattened batch × F scores; codes scattered into a dense [B, F]; a dense
product a model to decode; a dense autograd backward; the gradient norm clipped; PyTorch's plain Adam; dead latents
counted and k read by way of the host. Its two extra losses every 50 steps and its data loader are left out.

Shapes: B tokens, L models, D width, F latents.
"""

import torch
from torch import Tensor, nn

DEAD_AFTER = 10_000_000


class PublishedTrainer:
    """A BatchTopK dictionary with its optimizer."""

    def __init__(self, models: int, width: int, latents: int, k: int, lr: float, device: str, seed: int):
        generator = torch.Generator().manual_seed(seed)
        rows_FD = torch.randn(latents, width, generator=generator)
        rows_FD /= rows_FD.norm(dim=1, keepdim=True)
        decoder_LFD = rows_FD.to(device).expand(models, latents, width)
        self.decoder_LFD = nn.Parameter(decoder_LFD.clone())
        self.encoder_LDF = nn.Parameter(decoder_LFD.transpose(1, 2).clone())
        self.encoder_bias_F = nn.Parameter(torch.zeros(latents, device=device))
        self.decoder_bias_LD = nn.Parameter(torch.zeros(models, width, device=device))
        self.weights = [self.encoder_LDF, self.encoder_bias_F, self.decoder_LFD, self.decoder_bias_LD]
        self.k = torch.tensor(k, device=device)
        self.threshold = torch.tensor(0.0, device=device)
        self.silent_F = torch.zeros(latents, dtype=torch.int64, device=device)
        self.optimizer = torch.optim.Adam(self.weights, lr=lr)

    def encode(self, x_BLD: Tensor) -> Tensor:
        """Codes [B, F] with B·k entries."""
        pre_BLF = torch.einsum("bld,ldf->blf", x_BLD, self.encoder_LDF)
        code_BF = torch.relu(pre_BLF.sum(1) + self.encoder_bias_F)
        score_BF = code_BF * self.decoder_LFD.norm(dim=2).sum(0)
        chosen = score_BF.flatten().topk(int(self.k.item()) * len(x_BLD), sorted=False)
        mask_N = torch.zeros_like(score_BF.flatten()).scatter_(0, chosen.indices, 1.0)
        return code_BF * mask_N.view_as(code_BF)

    def decode(self, code_BF: Tensor) -> Tensor:
        """Reconstruction [B, L, D]."""
        return torch.einsum("bf,lfd->bld", code_BF, self.decoder_LFD) + self.decoder_bias_LD

    def step(self, x_BLD: Tensor) -> float:
        """One training step; returns the loss."""
        code_BF = self.encode(x_BLD)
        error_BLD = x_BLD - self.decode(code_BF)
        loss = error_BLD.norm(dim=2).mean()
        with torch.no_grad():
            active_BF = code_BF > 0
            self.silent_F += len(x_BLD)
            self.silent_F[active_BF.any(0)] = 0
            if int((self.silent_F >= DEAD_AFTER).sum()) > 0:
                raise RuntimeError("a latent died: this yardstick has no auxiliary loss; measure fewer steps")
            self.threshold = 0.999 * self.threshold + 0.001 * code_BF[active_BF].min()
        loss.backward()
        nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()
