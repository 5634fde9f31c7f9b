"""A judge that is run here: a transformers model with a chat template, decoded greedily.

Asked for verdicts it is held to their form, as small models seldom keep to one: [v,v,…], each v the likelier of the
tokens 0 and 1 after what stands before it.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from crossdiff.corpus.render import render
from crossdiff.errors import UserError, first_line
from crossdiff.evidence.interpretation.prompts import Message
from crossdiff.pair.decoding import greedy


class Local:
    """One model in one process, asked one thing at a time. Messages of errors start with the config's key ``where``."""

    parallel = 1

    def __init__(self, path: str, revision: str | None, device: str, where: str) -> None:
        self.name = f"{path}@{revision}" if revision else path
        if path.startswith((".", "/", "~")) and not Path(path).is_dir():
            raise UserError(f"{where}.path: there is no folder {path}; mend the path (it counts from {Path.cwd()})")
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
            model = AutoModelForCausalLM.from_pretrained(path, revision=revision, dtype="auto")
        except (OSError, ValueError, SafetensorError) as error:
            raise UserError(f"{where}.path: {path} cannot be loaded as a language model: {first_line(error)}") from None
        if self.tokenizer.chat_template is None:
            raise UserError(f"{where}.path: {path} has no chat template, so it cannot be asked; give a chat model")
        model.to(torch.device(device))  # type: ignore[arg-type]
        self.model = model.eval().requires_grad_(False)

    def ask(self, messages: Sequence[Message], tokens: int, verdicts: int = 0) -> str:
        """The likeliest reply, token by token: free, or a list of ``verdicts`` zeros and ones."""
        quoted = [message | {"content": self.quoted(message["content"])} for message in messages]
        ids = render(self.tokenizer, quoted, True).ids
        if verdicts:
            return self._list(ids, verdicts)
        (reply,) = greedy(self.model, [ids], tokens, set(self.tokenizer.all_special_ids))
        return str(self.tokenizer.decode(reply)).strip()

    @torch.inference_mode()
    def _list(self, prefix: list[int], count: int) -> str:
        opening, comma = self._ids("["), self._ids(",")
        digits = [self._ids(digit)[-1] for digit in "01"]
        said: list[int] = []
        feed, cache = prefix + opening, None
        while len(said) < count:
            ids_1T = torch.tensor([feed], device=self.model.device)
            out = self.model(input_ids=ids_1T, past_key_values=cache, use_cache=True, logits_to_keep=1)
            said.append(int(out.logits[0, -1, digits].argmax()))
            feed, cache = [digits[said[-1]], *comma], out.past_key_values
        return str(said)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def quoted(self, text: str) -> str:
        """The text with its special tokens broken up: those of another chat's template would end this one's turn."""
        for token in self.tokenizer.all_special_tokens:
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text
