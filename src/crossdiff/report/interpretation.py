"""How well explanations of latents predict, for the report: numbers for metrics.json. Pure; reads records only."""

from collections.abc import Mapping
from typing import Any

from crossdiff.report.collect import Dictionary, Study
from crossdiff.report.seeds import Tree, plain

BINS = {"by_nu": "by ν, the most chat-specific first", "by_delta": "by Δ_norm, the most chat-only last"}
COUNTS = ("latents", "texts", "judged", "malformed")


def record(study: Study, item: Dictionary) -> str | None:
    """Path of the record of a dictionary's interpretation; None where the study has none."""
    asked = study.config.evidence.interpretation
    return f"evidence/interpretation/{item.runs[0].folder}.run.json" if asked else None


def interpretation(study: Study, item: Dictionary) -> Tree | None:
    """Accuracies with intervals: over all judged latents, and by quarter; None where the study has none.

    {latents, texts, judged, malformed, overall: number -> leaf, by_nu, by_delta: quarter -> number -> leaf}
    """
    path = record(study, item)
    if path is None:
        return None
    results: Mapping[str, Any] = study.records[path]["results"]
    bins = {
        name: {quarter: leaves(numbers) for quarter, numbers in results[name].items()} for name in BINS if results[name]
    }
    return {name: results[name] for name in COUNTS} | {"overall": leaves(results["overall"])} | bins


def leaves(numbers: Mapping[str, dict[str, float]]) -> Tree:
    """Intervals as leaves."""
    return {name: plain(interval) for name, interval in numbers.items()}
