"""Errors in one line."""

from trainables.one_line import reason


def test_an_error_is_one_line() -> None:
    assert reason(ValueError("a\n  b")) == "a b"
    assert reason(ValueError()) == "ValueError"
    assert reason(ValueError("a"), kind=True) == "ValueError: a"
    assert reason(ValueError("abc"), 2) == "ab"
