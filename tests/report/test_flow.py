"""The graph of stages: what reads what, drawn without arrows that follow from others."""

from hypothesis import given
from hypothesis import strategies as st

from crossdiff.report.flow import HIGH, WIDE, Flow, Stage, flow


def record(*inputs: str, seconds: float = 1.0, peak: int = 10) -> dict:
    return {"inputs": {f"results/p/{name}": "" for name in inputs}, "seconds": seconds, "peak_bytes": peak}


RECORDS = {
    "models/chat/run.json": record("models/base/model.safetensors"),
    "models/base/run.json": record(),
    "pair/run.json": record("models/base/model.safetensors"),
    "truth/synthetic/a/run.json": record(),
    "activations/run.json": record("pair/pair.json") | {"inputs": {"results/p/pair/pair.json": "", "src/x.py": ""}},
    "dictionaries/a-seed0/run.json": record("activations/manifest.json", seconds=2, peak=30),
    "dictionaries/a-seed1/run.json": record("activations/manifest.json", seconds=5, peak=20),
    "latents/a-seed0.run.json": record("dictionaries/a-seed0/dictionary.safetensors", "pair/pair.json"),
    "calls/a.run.json": record("latents/a-seed0.parquet", "truth/synthetic/a/latents.parquet"),
}


def test_stages_read_stages() -> None:
    found = flow("p", RECORDS, ["calls/a.parquet", "pair/pair.json", "dictionaries/a-seed0/run.json"])
    reads = {name: set(stage.reads) for name, stage in found.stages.items()}
    assert reads == {
        "models": set(), "pair": {"models"}, "synthetic": set(), "activations": {"pair"},
        "dictionaries": {"activations"}, "latents": {"dictionaries", "pair"}, "calls": {"latents", "synthetic"},
        "report": {"calls", "pair", "dictionaries"},
    }  # fmt: skip
    trained = found.stages["dictionaries"]
    assert (trained.jobs, trained.seconds, trained.peak_bytes) == (2, 7, 30)
    assert found.arrows == [
        ("models", "pair"), ("pair", "activations"), ("activations", "dictionaries"), ("dictionaries", "latents"),
        ("synthetic", "calls"), ("latents", "calls"), ("calls", "report"),
    ]  # fmt: skip
    assert found.columns["synthetic"] == found.columns["latents"] == found.columns["calls"] - 1
    assert found.size == (7 * WIDE + 6 * 28, 2 * HIGH + 16)


@given(st.lists(st.sets(st.integers(0, 7)), min_size=1, max_size=8))
def test_any_graph_keeps_what_can_be_reached_and_draws_from_left_to_right(reads: list[set[int]]) -> None:
    stages = {
        str(at): Stage(str(at), 1, 0.0, 0, frozenset(str(read) for read in set_ if read < at))
        for at, set_ in enumerate(reads)
    }
    found = Flow(stages)

    def behind(name: str, arrows: list[tuple[str, str]]) -> set[str]:
        direct = {read for read, reader in arrows if reader == name}
        return direct.union(*(behind(read, arrows) for read in direct))

    every = [(read, stage.name) for stage in stages.values() for read in stage.reads]
    for name in stages:
        assert behind(name, found.arrows) == behind(name, every) == found.above[name]
    for read, reader in found.arrows:
        without = [arrow for arrow in found.arrows if arrow != (read, reader)]
        assert read not in behind(reader, without)
        assert found.boxes[read].x + WIDE < found.boxes[reader].x
    places = {(box.x, box.y) for box in found.boxes.values()}
    assert len(places) == len(stages)


def test_records_in_a_circle_are_drawn_all_the_same() -> None:
    stages = {name: Stage(name, 1, 0.0, 0, frozenset({other})) for name, other in (("a", "b"), ("b", "a"))}
    assert len(Flow(stages).boxes) == 2
