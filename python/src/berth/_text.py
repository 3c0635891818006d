"""Strings of C's."""

from __future__ import annotations


def plain(text: bytes | None) -> str:
    """A string for Python; what is not there is empty."""
    return (text or b"").decode("utf-8", "replace")
