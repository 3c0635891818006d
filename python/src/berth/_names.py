"""Names: what callers say, what libberth calls it."""

from __future__ import annotations

from dataclasses import dataclass

# the families that every caller knows, and libberth's names for them
FAMILIES = {"whisper": "whisper", "translation": "marian", "spacy": "spacy"}


@dataclass(frozen=True)
class Target:
    """What a lease is asked for: one model of a family, or all of them."""

    family: str  # one of FAMILIES' keys, or a further family of libberth's
    model: str | None  # full name or path; None: every model of the family

    @property
    def native(self) -> str:
        """The name for libberth."""
        return self.model or FAMILIES.get(self.family, self.family)


@dataclass(frozen=True)
class Model:
    """A model that could be loaded."""

    name: str
    alias: str
    family: str  # as in Target
    path: str
    engine: str

    def called(self, name: str) -> bool:
        return name in (self.name, self.alias, self.path)


def family_of(native: str) -> str:
    """Callers' name of one of libberth's families."""
    for family, name in FAMILIES.items():
        if name == native:
            return family
    return native
