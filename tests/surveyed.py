"""What `crossdiff check-pair` finds of a config, by what it looked at."""

from crossdiff.config import Config
from crossdiff.overlay import merged
from crossdiff.parsing import parse
from crossdiff.survey import Survey, survey


def look(config: dict, **parts: object) -> Survey:
    return survey(parse(Config, merged(config, parts)))


def verdicts(found: Survey) -> dict[str, str]:
    return {finding.what: finding.verdict for finding in found.findings}


def text(found: Survey, what: str) -> str:
    return next(finding.text for finding in found.findings if finding.what == what)
