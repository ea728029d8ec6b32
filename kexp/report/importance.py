"""Which hyperparameters the score hung on, as a random forest on the journal tells it.

The forest learns the rank of a trial's score from its values; a hyperparameter matters as much as the forest gets worse
when its column is shuffled (permutation importance: Breiman 2001, "Random Forests", section 10; scikit-learn's). That
asks what fANOVA asks (Hutter, Hoos and Leyton-Brown 2014) of the same kind of forest. Ranks, because a candidate that
diverged would outweigh all others. Epochs stand among the values, so that a longer training is not taken for a merit
of what happened to be trained longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kexp.records import Trial, Value
from kexp.report import plot
from kexp.report.markup import Html, text
from kexp.wording import number

FEWEST = 8  # trials: below, a forest has nothing to learn from
FEW = 30  # trials: below, what it says is a guess
TREES, REPEATS = 200, 20
SHOWN = 12
TRACE = 0.005  # a smaller share is written as 0 %
EPOCHS = "epochs"
ROOM, LONG = 24, ' class="long"'  # letters of a name beside its bar in one line; a longer one is broken


class Importance(NamedTuple):
    """`shares` are of the hyperparameters, the largest first: by how much the forest's R2 falls, divided by their sum;
    `fit` is its R2 on trials that a tree has not seen (out of bag): at 0 or below it knows nothing."""

    names: tuple[str, ...]
    shares: tuple[float, ...]
    fit: float
    trials: int


def data(trials: Sequence[Trial], upward: bool) -> Importance | None:
    """None where fewer than FEWEST explored trials have a score, or all have the same, or the same values."""
    known = [trial for trial in trials if trial.stage == "explore" and trial.score is not None]
    if len(known) < FEWEST:
        return None
    names, columns = _columns(known)
    scores = np.array([trial.score for trial in known], np.float64) * (1 if upward else -1)
    if not names or np.ptp(scores) == 0:
        return None
    from scipy.stats import rankdata
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    ranks = rankdata(scores) / len(scores)
    forest = RandomForestRegressor(TREES, oob_score=True, min_samples_leaf=2, max_features=0.7, random_state=0)
    forest.fit(columns, ranks)
    found = permutation_importance(forest, columns, ranks, n_repeats=REPEATS, random_state=0)
    raw = np.maximum(found.importances_mean, 0)
    shares = raw / (raw.sum() or 1.0)
    order = np.argsort(-shares, kind="stable")
    return Importance(
        tuple(names[i] for i in order), tuple(float(shares[i]) for i in order), float(forest.oob_score_), len(known)
    )


def _columns(trials: Sequence[Trial]) -> tuple[list[str], NDArray[np.float64]]:
    """What varies among `trials`, by name, and its numbers (n, names): choices by their place, NaN where not asked."""
    rows: list[dict[str, Any]] = [{**trial.values, EPOCHS: trial.epochs} for trial in trials]
    names, columns = [], []
    for name in dict.fromkeys(name for row in rows for name in row):
        cells = [row.get(name) for row in rows]
        if len({*cells}) > 1:
            names.append(name)
            columns.append(_numbers(cells))
    return names, np.array(columns, np.float64).T.reshape(len(rows), len(names))


def _numbers(cells: Sequence[Value | None]) -> list[float]:
    if any(isinstance(cell, str) for cell in cells):
        place = {word: at for at, word in enumerate(sorted({str(cell) for cell in cells if cell is not None}))}
        return [float("nan") if cell is None else float(place[str(cell)]) for cell in cells]
    return [float("nan") if cell is None else float(cell) for cell in cells]


def draw(found: Importance) -> Html:
    """A bar for each hyperparameter that left a trace, SHOWN at most."""
    pairs = zip(found.names, found.shares, strict=True)
    shown = [(name, share) for name, share in pairs if share >= TRACE][:SHOWN]
    return bars([(name, share, f"{share:.0%}") for name, share in shown])


def bars(found: Sequence[tuple[str, float, str]]) -> Html:
    """A bar for each (name, length, what it is in words), the longest as wide as there is room; none below 0."""
    most = max((length for _, length, _ in found), default=1.0) or 1.0
    rows = "".join(
        f'<tr><th scope="row"{LONG * (len(name) > ROOM)}>{text(name)}</th><td><span class="bar" '
        f'style="inline-size:{100 * max(length / most, 0):.1f}%"></span></td><td class="right">{text(words)}</td></tr>'
        for name, length, words in found
    )
    return Html(f'<table class="bars">{rows}</table>')


def traceless(found: Importance) -> list[str]:
    """The hyperparameters whose shuffling changed next to nothing."""
    return [name for name, share in zip(found.names, found.shares, strict=True) if share < TRACE]


class Slice(NamedTuple):
    """One hyperparameter against the score, of all explored trials that have it."""

    name: str
    values: tuple[Value, ...]
    scores: tuple[float, ...]


def slices(trials: Sequence[Trial], names: Sequence[str]) -> list[Slice]:
    """Of each of `names`, the values and scores of the explored trials; none of what had one value in all of them."""
    found = []
    for name in names:
        known = [
            (trial.epochs if name == EPOCHS else trial.values[name], trial.score)
            for trial in trials
            if trial.stage == "explore" and trial.score is not None and (name == EPOCHS or name in trial.values)
        ]
        if len({value for value, _ in known}) > 1:
            found.append(Slice(name, tuple(value for value, _ in known), tuple(score for _, score in known)))
    return found


def draw_slice(found: Slice, metric: str, upward: bool) -> Html:
    """A small chart: points over numbers, or over the words of a choice."""
    y = plot.axis(metric.replace("_", " "), plot.ends(found.scores, upward), edge=0.08)
    numbers = [float(value) for value in found.values if isinstance(value, int | float) and not isinstance(value, bool)]
    names: dict[float, str] | None = None
    if len(numbers) == len(found.values):
        spread = min(numbers) > 0 and max(numbers) / min(numbers) >= 20
        x, places = plot.axis(found.name, numbers, log=spread, edge=0.06), numbers
    else:
        words = sorted({_word(value) for value in found.values})
        names = {float(at): word for at, word in enumerate(words)}
        places = [float(words.index(_word(value))) for value in found.values]
        x = plot.Axis(found.name, -0.5, len(words) - 0.5)
    frame = plot.Frame(x, y, height=260.0, width=420.0)
    marks = [
        plot.dot(frame.at(place, min(max(score, y.low), y.high)), radius=4)
        for place, score in zip(places, found.scores, strict=True)
    ]
    return frame.svg(marks, f"{metric} by {found.name}, {number(len(places))} trials", names)


def _word(value: Value) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
