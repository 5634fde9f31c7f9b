"""The sections of the page in their order: one line each."""

from crossdiff.report.section import Builder
from crossdiff.report.sections import cause, change, examples, made, methods, pair, specific, training

SECTIONS: tuple[Builder, ...] = (
    specific.section,
    cause.section,
    methods.section,
    change.section,
    examples.section,
    pair.section,
    training.section,
    made.section,
)
