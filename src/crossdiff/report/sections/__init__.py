"""The sections of the page in their order: one line each."""

from crossdiff.report.section import Builder
from crossdiff.report.sections import (
    calls,
    cause,
    change,
    drawn,
    explorer,
    interpretation,
    made,
    methods,
    nulls,
    pair,
    published,
    seeds,
    specific,
    synthetic,
    training,
)

SECTIONS: tuple[Builder, ...] = (
    specific.section,
    calls.section,
    cause.section,
    methods.section,
    seeds.section,
    nulls.section,
    synthetic.section,
    drawn.section,
    published.section,
    change.section,
    interpretation.section,
    explorer.section,
    pair.section,
    training.section,
    made.section,
)
