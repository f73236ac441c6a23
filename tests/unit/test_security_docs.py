"""docs/security.md names the tests that prove each defence; see `tests.security_table`."""

from pathlib import Path

from tests.markdown import read
from tests.security_table import PAGE, collect, row_ids, with_proofs

PROOFS = collect()


def test_the_tests_column_is_current() -> None:
    assert with_proofs(read(PAGE), PROOFS) == read(PAGE), "run `python -m tests.security_table`"


def test_every_row_is_proved_and_every_mark_has_a_row() -> None:
    ids = row_ids(read(PAGE))
    assert len(ids) == len(set(ids)) >= 60
    assert sorted(ids) == sorted(PROOFS)


def test_marks_are_collected(tmp_path: Path) -> None:
    source = (
        "import pytest\n"
        "class TestA:\n"
        "    @pytest.mark.parametrize('x', [1])\n"
        "    @pytest.mark.defends('one', 'two')\n"
        "    def test_a(self, x): ...\n"
        "@pytest.mark.defends('one')\n"
        "def test_b(): ...\n"
        "def test_c(): ...\n"
    )
    (tmp_path / "test_x.py").write_text(source, encoding="utf-8")
    assert {attack: sorted(links) for attack, links in collect(tmp_path).items()} == {
        "one": ["[test_a](../tests/test_x.py)", "[test_b](../tests/test_x.py)"],
        "two": ["[test_a](../tests/test_x.py)"],
    }


def test_only_the_last_column_of_rows_with_an_id_is_written() -> None:
    page = "| id | attack | tests |\n| --- | --- | --- |\n| `one` | a | old |\n| two | b | kept |\n"
    filled = page.replace("old", "new<br>newer")
    assert with_proofs(page, {"one": ["new", "newer"]}) == filled
    assert row_ids(page) == ["one"]
