"""The table: what is asked, and what each real system answers."""

from __future__ import annotations

import enum
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from conformance.cs3.world import World

Run = Callable[["World"], Awaitable[Any]]
SETTLE_S: Final = 20.0
"""How long what nobody is told of may take to come about."""


class System(enum.Enum):
    """The real systems. The last is the older line of the first, still the one most sites run."""

    V2 = "opencloud-eu/reva v2.47.0 and v2.48.0, driver decomposed"
    V3 = "cs3org/reva v3.12.1 and v3.12.2, driver local"
    OLDER = "cs3org/reva v2.27.7, driver ocis"


class OneOf:
    """An answer that a race, the server's own order or its version decides."""

    def __init__(self, *answers: Any) -> None:
        self.answers = answers

    def __eq__(self, other: object) -> bool:
        return any(answer == other for answer in self.answers)

    def __hash__(self) -> int:
        return hash(repr(self.answers))

    def __repr__(self) -> str:
        return " or ".join(map(repr, self.answers))


class Among(OneOf):
    """A list in which nothing else is."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list) and all(answer in self.answers for answer in other)

    __hash__ = OneOf.__hash__


@dataclass(frozen=True, slots=True)
class Eventually:
    """An answer that comes about after the call's own: `look` until it is there."""

    look: Callable[[], Awaitable[Any]]

    async def settled(self, expected: Any) -> Any:
        """What is seen at last: `expected`, or after `SETTLE_S` something else."""
        deadline = time.monotonic() + SETTLE_S
        while (seen := await self.look()) != expected and time.monotonic() < deadline:
            pass  # each look is a few calls, which let others have their turn
        return seen


@dataclass(frozen=True, slots=True)
class Case:
    """``answers`` are those of the real systems; where they are not the same, ``why`` says the reason.

    The embedded gateway has no answers of its own: it does as the system that it imitates.
    """

    area: str
    name: str
    run: Run
    answers: dict[System, Any]
    why: str = ""

    @property
    def differs(self) -> bool:
        first, *others = self.answers.values()
        return any(repr(first) != repr(other) for other in others)

    def __str__(self) -> str:
        return self.name


_SAME: Final = object()


class Area:
    """The cases of one area. Called as a decorator with the name, the answer of `System.V2`, and how others differ and why."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cases: list[Case] = []

    def __call__(
        self,
        name: str,
        answer: Any,
        *,
        v3: Any = _SAME,
        older: Any = _SAME,
        why: str = "",
    ) -> Callable[[Run], Run]:
        given = {System.V2: answer, System.V3: v3, System.OLDER: older}
        answers = {system: answer if other is _SAME else other for system, other in given.items()}

        def add(run: Run) -> Run:
            self.cases.append(Case(self.name, name, run, answers, why))
            return run

        return add

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases)


def complaints(cases: list[Case]) -> list[str]:
    """What is wrong with the table itself: a difference without its reason, a reason without a difference, a name twice."""
    said = [f"{case}: differs without a reason" for case in cases if case.differs and not case.why]
    said += [f"{case}: a reason, but no difference" for case in cases if case.why and not case.differs]
    names = [(case.area, case.name) for case in cases]
    return said + [f"{area}: {name} is there twice" for area, name in sorted(set(names)) if names.count((area, name)) > 1]
