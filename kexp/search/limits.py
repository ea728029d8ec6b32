"""What a candidate may have at most, judged from its sketch: one that has more is refused before it is trained."""

from __future__ import annotations

from kexp.errors import RunError
from kexp.records import Trial

IN_A_ROW = 500  # proposals that were all refused: no more will be asked for. A sketch takes some 30 ms


class Limit:
    """Judges the proposals of one search, in the order in which they were asked, and counts those that it refused."""

    def __init__(self, most: int | None) -> None:
        self._most = most  # parameters; None: any number
        self._smallest = 0  # number of parameters that was refused
        self._in_a_row = 0
        self.refused = 0

    def excess(self, parameters: int) -> str:
        """Why a candidate with so many parameters is refused; nothing where it is not."""
        if self._most is None or parameters <= self._most:
            self._in_a_row = 0
            return ""
        self._smallest = min(parameters, self._smallest or parameters)
        self.refused += 1
        self._in_a_row += 1
        return f"has {parameters:,} parameters, more than the {self._most:,} allowed"

    @property
    def hopeless(self) -> bool:
        """Whether so many in a row were refused that the next would hardly be accepted."""
        return self._in_a_row >= IN_A_ROW

    def nothing_fits(self) -> str:
        """The error message of a search in which every proposal was refused."""
        return (
            f"Not one of {self.refused:,} proposed candidates has at most {self._most or 0:,} parameters; the smallest "
            f"has {self._smallest:,}. Use --fresh with a larger --max-parameters, or with smaller networks in the "
            "experiment's [space]."
        )


def check_refusal(known: Trial, excess: str) -> None:
    """Raise RunError where `known`, of the journal, was refused and would not be now, or the other way round."""
    if known.status != "running" and (known.status == "infeasible") != bool(excess):
        was = known.message if known.status == "infeasible" else "was trained"
        raise RunError(
            f"trial {known.id} {was}, and now {excess or 'is small enough'}: its factory "
            "has changed since. Use --fresh (the old run is kept aside), or another --name."
        )
