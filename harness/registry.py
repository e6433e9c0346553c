"""Parts that are known by name: those of this package, and those that other packages bring.

A package from outside adds a part by an entry point of the registry's group, under the name that profiles and
options use for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from harness.errors import HarnessError, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """The parts of one kind, each imported when it is first asked for.

    Attributes:
        group: of entry points, such as "harness.chips".
        what: the kind in words, for messages.
    """

    def __init__(self, group: str, what: str, own: Mapping[str, str]) -> None:
        """`own` maps the names of this package's parts to "module:object", or to a module.

        They are not entry points themselves: those of all packages take as long to read as `--help` may.
        """
        self.group = group
        self.what = what
        self._own = own
        self._made: dict[str, T] = {}
        self._brought: dict[str, str] | None = None

    def names(self) -> list[str]:
        """Return the names of all parts, those of other packages behind this package's."""
        return [*self._own, *(name for name in sorted(self._others()) if name not in self._own)]

    def get(self, name: str) -> T:
        """Return a part; raises HarnessError if there is none of this name, or it cannot be imported."""
        if name not in self._made:
            place = self._own.get(name) or self._others().get(name)
            if place is None:
                raise HarnessError(f"unknown {self.what} '{name}'{nearest(name, self.names())}")
            module, _, attribute = place.partition(":")
            try:
                made: Any = importlib.import_module(module)
                self._made[name] = getattr(made, attribute) if attribute else made
            except (ImportError, AttributeError) as error:
                raise HarnessError(f"{self.what} '{name}' cannot be loaded from {place}: {error}") from error
        return self._made[name]

    def problem(self, name: str) -> str | None:
        """Return what is wrong with a name in a profile, as a clause; None if there is such a part."""
        if name in self._own or name in self._others():
            return None
        return f"unknown {self.what} '{name}'{nearest(name, self.names())}"

    def _others(self) -> dict[str, str]:
        if self._brought is None:
            from importlib.metadata import entry_points

            self._brought = {point.name: point.value for point in entry_points(group=self.group)}
        return self._brought
