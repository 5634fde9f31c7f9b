"""Findings are told in a table that fits a terminal."""

from crossdiff.errors import UserError
from crossdiff.finding import WIDTH, Finding, attempt, lines


def test_lines_are_a_table_that_wraps() -> None:
    def fail() -> str:
        raise UserError("a.key: wrong; change it")

    assert attempt("a", fail) == Finding("a", "failed", "a.key: wrong; change it")
    assert attempt("a", lambda: "fine") == Finding("a", "ok", "fine")
    table = lines([Finding("short", "ok", "fine"), Finding("a longer one", "failed", "word " * 60)])
    assert table[0] == "  ok      short         fine"
    assert len({line.index("word") for line in table[1:]}) == 1
    assert max(map(len, table)) <= WIDTH
    assert len(table) > 3
