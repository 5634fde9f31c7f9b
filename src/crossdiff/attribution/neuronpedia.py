"""Latents in the layout of Neuronpedia's exports (docs.neuronpedia.org/api-and-data/exports).

v1/MODEL/SOURCE/{model,release,sourceset,source}.jsonl and features/, activations/, explanations/batch-N.jsonl.gz,
1,024 latents a batch, one object a line. Left empty, as their own converter leaves it, is what is not measured here as
theirs is: histograms, whose bins differ, and neighbours. Nothing is invented: a latent without examples has no
activations, a dead one a maximum of 0.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossdiff.provenance.files import whole

BATCH = 1024
"""Latents a file."""
SIDES = {"pos": "promoted", "neg": "suppressed"}
"""Their names of a latent's tokens, and ours."""
RULE = "crossdiff-description"
"""What made the explanations."""
Row = dict[str, Any]
NOT_MEASURED = (
    "topkCosSimIndices", "topkCosSimValues", "neuron_alignment_indices", "neuron_alignment_values",
    "neuron_alignment_l1", "correlated_neurons_indices", "correlated_neurons_pearson", "correlated_neurons_l1",
    "correlated_features_indices", "correlated_features_pearson", "correlated_features_l1",
    "freq_hist_data_bar_heights", "freq_hist_data_bar_values", "logits_hist_data_bar_heights",
    "logits_hist_data_bar_values", "decoder_weights_dist",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where the latents will stand."""

    model: str
    """Id of the model there, such as gemma-2-2b-it."""
    source_set: str
    """Name of the set, such as chat-diff-18k; the source is LAYER-SET."""
    layer: int
    creator: str
    created: str
    """ISO time, of the measurement."""

    @property
    def source(self) -> str:
        """Id of the source."""
        return f"{self.layer}-{self.source_set}"

    @property
    def of_row(self) -> Row:
        """What every row says of its place."""
        return {"modelId": self.model, "layer": self.source, "creatorId": self.creator, "createdAt": self.created}


def feature(place: Place, latent: Row, vector: list[float], promoted: list[Row]) -> Row:
    """One latent: ``latent`` is its row of the latent table, ``vector`` what a unit of it adds to the stream.

    ``promoted`` are its rows of the table of tokens, strongest first; of these the chat model's are told.
    """
    largest = latent["max"] or 0.0
    chats = [row for row in promoted if row["model"] == "chat"]
    tokens = {
        f"{name}_{key}": [row[column] for row in chats if row["side"] == side]
        for name, side in SIDES.items()
        for key, column in (("str", "token"), ("values", "logit"))
    }
    return {
        **place.of_row,
        "sourceSetName": place.source_set,
        "index": str(latent["latent"]),
        "maxActApprox": largest,
        "frac_nonzero": latent["frequency"],
        "hasVector": True,
        "vector": vector,
        "vectorLabel": None,
        "vectorDefaultSteerStrength": largest,
        "hookName": f"blocks.{place.layer}.hook_resid_post",
        **tokens,
        **{name: [] for name in NOT_MEASURED},
    }


def activation(place: Place, example: Row) -> Row:
    """One example: ``example`` is its row of the example table. Tokens masked for their norm count as 0."""
    values = [value or 0.0 for value in example["activations"]]
    return {
        **place.of_row,
        "id": f"{place.model}-{place.source}-{example['latent']}-{example['rank']}",
        "index": str(example["latent"]),
        "tokens": example["tokens"],
        "values": values,
        "maxValue": max(values),
        "maxValueTokenIndex": values.index(max(values)),
        "minValue": min(values),
        "dataSource": example["source"],
        "dataIndex": str(example["row"]),
        "dfaValues": [],
        "dfaTargetIndex": None,
        "dfaMaxValue": None,
        "lossValues": [],
        "logitContributions": None,
        "binMin": None,
        "binMax": None,
        "binContains": None,
        "qualifyingTokenIndex": None,
    }


def explanation(place: Place, described: Row) -> Row:
    """One explanation: ``described`` is its row of the descriptions, which a rule wrote and no model."""
    index = described["latent"]
    return {
        **place.of_row,
        "id": f"{place.model}-{place.source}-{index}-rule",
        "index": str(index),
        "description": described["description"],
        "authorId": place.creator,
        "typeName": RULE,
        "explanationModelName": None,
        "notes": None,
    }


def about(place: Place, title: str, width: int) -> Iterator[tuple[str, Row]]:
    """(name, its one row) of the files that say what the source is."""
    made = {"creatorId": place.creator, "createdAt": place.created}
    yield "model", {"id": place.model, "displayName": place.model, "displayNameShort": place.model, "instruct": True,
                    "dimension": width, "updatedAt": place.created, **made}  # fmt: skip
    yield "release", {"name": place.source_set, "description": title, "descriptionShort": title, "urls": [],
                      "creatorName": place.creator, "creatorNameShort": place.creator, **made}  # fmt: skip
    yield "sourceset", {"modelId": place.model, "name": place.source_set, "description": title,
                        "releaseName": place.source_set, "creatorName": place.creator, **made}  # fmt: skip
    yield "source", {"id": place.source, "modelId": place.model, "setName": place.source_set, "hasDashboards": True,
                     "inferenceEnabled": False, **made}  # fmt: skip


def write(
    folder: Path,
    place: Place,
    title: str,
    latents: list[Row],
    vectors: list[list[float]],
    found: list[Row],
    described: list[Row],
    promoted: list[Row],
) -> None:
    """All files under ``folder``/v1/MODEL/SOURCE; ``latents`` and ``vectors`` by number, none left out."""
    tokens: dict[int, list[Row]] = {}
    for row in promoted:
        tokens.setdefault(row["latent"], []).append(row)
    root = folder / "v1" / place.model / place.source
    for batch, first in enumerate(range(0, len(latents), BATCH)):
        last = first + BATCH
        features = [
            feature(place, latents[number], vectors[number], tokens.get(number, []))
            for number in range(first, min(last, len(latents)))
        ]
        shown = [activation(place, example) for example in found if first <= example["latent"] < last]
        _lines(root / f"features/batch-{batch}.jsonl.gz", features)
        explained = [explanation(place, row) for row in described if first <= row["latent"] < last]
        _lines(root / f"activations/batch-{batch}.jsonl.gz", shown)
        _lines(root / f"explanations/batch-{batch}.jsonl.gz", explained)
    for name, row in about(place, title, len(vectors[0])):
        with whole(root / f"{name}.jsonl") as temporary:
            temporary.write_text(json.dumps(row) + "\n")


def _lines(file: Path, rows: list[Row]) -> None:
    """Gzipped, one object a line; the same rows give the same bytes."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    with whole(file) as temporary:
        temporary.write_bytes(gzip.compress(text.encode(), mtime=0))
