"""Write the report: numbers, figures and one page.

    python -m crossdiff.report --config-json JSON --results results/<pair> --out results/<pair>/report \\
        --metrics results/<pair>/metrics.json
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from crossdiff.cli import progress, stage
from crossdiff.config import Config
from crossdiff.parsing import settings
from crossdiff.provenance.files import check_name, whole
from crossdiff.provenance.record import record
from crossdiff.report.collect import collect
from crossdiff.report.figures.files import save
from crossdiff.report.metrics import metrics
from crossdiff.report.origins import origins
from crossdiff.report.page import page


def main(
    config_json: Annotated[str, typer.Option(help="The whole config: JSON, or a file.")],
    results: Annotated[Path, typer.Option(help="results/<pair>, where the earlier steps wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for report.html, figures/, origins.json and run.json.")],
    metrics_file: Annotated[Path, typer.Option("--metrics", help="metrics.json to write.")],
    png_scale: Annotated[float, typer.Option(help="Pixels a unit of the main figure's PNG.")] = 2.0,
) -> None:
    """Draw the numbers, figures and page of a study from its files."""
    check_name(metrics_file, ".json")
    study = collect(settings(Config, config_json), results)
    with record("report", out / "run.json", study.config.model_dump(mode="json"), study.files) as run:
        numbers = metrics(study)
        sources = origins(study, numbers)
        drawn = page(study, numbers, sources)
        with progress(len(drawn.figures), "figures", "figure") as bar:
            for figure in drawn.figures:
                save(figure, out / "figures", png_scale if figure is drawn.figures[0] else None)
                bar.update()
        with whole(metrics_file) as file:
            file.write_text(json.dumps(numbers, indent=1, allow_nan=False) + "\n")
        sources.write(out / "origins.json")
        with whole(out / "report.html") as file:
            file.write_text(drawn.html)
        run.result(figures=len(drawn.figures), bytes=len(drawn.html.encode()))


if __name__ == "__main__":
    stage(main)
