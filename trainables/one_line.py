"""Errors in one line, for people."""

from __future__ import annotations


def reason(error: BaseException, most: int = 200, *, kind: bool = False) -> str:
    """The message of an error on one line of at most `most` characters; `kind` puts the name of its class before it."""
    message = f"{type(error).__name__}: {error}" if kind else str(error)
    return " ".join(message.split())[:most] or type(error).__name__
