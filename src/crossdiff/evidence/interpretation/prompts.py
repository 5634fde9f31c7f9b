"""What explainer and scorer are asked, and how their replies are read: strictly, so that nothing is guessed."""

import json
import re
from collections.abc import Sequence

Message = dict[str, str]
"""{role, content}; all is said as the user, for not every chat template knows a system."""
OPEN, CLOSE = "«", "»"
EXPLAIN = (
    "You study one neuron-like unit inside a language model. It is active on some tokens of some texts. In each text"
    f" below, the tokens on which it is active stand between {OPEN} and {CLOSE}; the texts on which it is most active"
    " come first. Say in one short sentence what those tokens, or the text right before them, have in common."
    " Reply with that sentence and nothing else."
)
SCORE = (
    "A unit inside a language model is described by one sentence. For each numbered text, decide whether the unit is"
    " active anywhere in it. Reply with a JSON list that has one entry for each text in order: 1 if the unit is active,"
    " 0 if it is not. Reply with the list and nothing else."
)
VERDICTS = {"0": False, "1": True, "false": False, "true": True}


def marked(tokens: Sequence[str], active: Sequence[bool]) -> str:
    """A text with its active tokens between marks; neighbours share them."""
    text, inside = "", False
    for token, on in zip(tokens, active, strict=True):
        if on != inside:
            text += OPEN if on else CLOSE
        text, inside = text + token, on
    return text + (CLOSE if inside else "")


def explain(texts: Sequence[str]) -> list[Message]:
    """Ask for an explanation of a latent by its marked ``texts``."""
    return [{"role": "user", "content": f"{EXPLAIN}\n\n{numbered(texts)}"}]


def score(explanation: str, texts: Sequence[str]) -> list[Message]:
    """Ask on which of ``texts`` a latent of this explanation is active."""
    return [{"role": "user", "content": f"{SCORE}\n\nDescription: {explanation}\n\n{numbered(texts)}"}]


def numbered(texts: Sequence[str]) -> str:
    """Texts as a list, each in one line."""
    lines = (text.replace("\n", "\\n") for text in texts)
    return "\n".join(f"Text {number}: {line}" for number, line in enumerate(lines, 1))


def explanation(reply: str) -> str | None:
    """The explanation in a reply: its first paragraph in one line; None if there is none."""
    paragraphs = [part.strip() for part in reply.strip().split("\n\n") if part.strip()]
    text = " ".join(paragraphs[0].split()) if paragraphs else ""
    return re.sub(r"^\W*explanation\W*:\W*", "", text, flags=re.IGNORECASE) or None


def verdicts(reply: str, texts: int) -> list[bool] | None:
    """The one list of ``texts`` zeros and ones in a reply; None if it holds none, several, or one of another kind."""
    lists = re.findall(r"\[[^\[\]]*\]", reply)
    if len(lists) != 1:
        return None
    try:
        values = [json.dumps(value) for value in json.loads(lists[0])]
    except ValueError:
        return None
    if len(values) != texts or any(value not in VERDICTS for value in values):
        return None
    return [VERDICTS[value] for value in values]
