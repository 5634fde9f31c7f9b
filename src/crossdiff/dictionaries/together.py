"""Several dictionaries trained on one stream: each window is read once and every one of them learns from it.

Checkpoints are written between windows, and hold the number of the next window and what the feed carries over. A
training that was interrupted goes on at the first window that any of them lacks, to the same outcome, bit for bit.
"""

import time
from collections.abc import Callable, Sequence

import torch

from crossdiff.activations.store import Activations
from crossdiff.activations.stream import Feed, Stream
from crossdiff.dictionaries.architecture import read
from crossdiff.dictionaries.train import Trainer


class Learner:
    """A training, the feed of its batches, and the window it needs next."""

    def __init__(self, trainer: Trainer):
        self.trainer = trainer
        recipe, beside = trainer.recipe, trainer.state.beside if trainer.state else {}
        self.feed = Feed(recipe.batch, trainer.seed, recipe.sources, beside.get("carried"))
        self.window = int(beside["window"]) if "window" in beside else 0
        self._kept = trainer.steps
        self.seconds = 0.0
        """What learning took here, reading left out."""

    def learn(self, window: Activations, number: int, on_step: Callable[[int], object]) -> None:
        """All batches of a window, or as many as are still to be learnt; then a checkpoint if one is due."""
        trainer, started = self.trainer, time.perf_counter()
        trainer.start_clock()
        for x_BLD in self.feed.batches(window, number, trainer.device):
            trainer.learn(read(trainer.recipe.kind, x_BLD))
            on_step(1)
            if trainer.finished:
                break
        self.window = number + 1
        if trainer.finished or trainer.steps - self._kept >= trainer.recipe.checkpoint_every:
            self._keep()
        self.seconds += time.perf_counter() - started

    def _keep(self) -> None:
        if self.trainer.state is not None:
            carried = {} if self.feed.carried_BLD is None else {"carried": self.feed.carried_BLD}
            self.trainer.state.beside = {"window": torch.tensor(self.window)} | carried
            self.trainer.keep()
            self._kept = self.trainer.steps


def train_together(stream: Stream, learners: Sequence[Learner], on_step: Callable[[int], object]) -> None:
    """Train all to the end. ``on_step`` is told how many steps were done."""
    on_step(sum(learner.trainer.steps for learner in learners))
    busy = [learner for learner in learners if not learner.trainer.finished]
    for number, rows_W in stream.windows(min((learner.window for learner in busy), default=0)):
        if not busy:
            return
        due = [learner for learner in busy if learner.window <= number]
        wanted = {source for learner in due for source in learner.feed.sources or stream.store.sources}
        window = stream.read(rows_W, sorted(wanted))
        for learner in due:
            learner.learn(window, number, on_step)
        busy = [learner for learner in busy if not learner.trainer.finished]
