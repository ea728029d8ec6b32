"""keras-tuner's random, Bayesian and Hyperband oracles; no other module imports keras_tuner.

Only `populate_space` of its oracles is called: it turns trials and their scores into the next candidate.
What surrounds it in keras-tuner (`create_trial`, `end_trial`) is left out, and with it, in version 1.4.8:
files rewritten at every step, a lock that stays taken when a method raises, printing, an end after three
failures in a row, failed trials that stop Hyperband's promotion or that the Bayesian oracle proposes again,
a search given up after twenty repeats. Seeds: keras-tuner takes 0 for none, and the draws of seed s + 1 are
those of seed s moved by one dimension; `_seed` spreads them.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import keras_tuner
import numpy as np
import threadpoolctl
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.oracles import BayesianOptimizationOracle, RandomSearchOracle
from keras_tuner.oracles import HyperbandOracle as TunerHyperband
from numpy.typing import NDArray

from kexp.metrics import sign_of
from kexp.records import Dimension, Value
from kexp.search.protocol import AbstractOracle, Code, Proposal, Space, check_replay, refused_last

INITIAL_POINTS = 8  # scored candidates before the Gaussian process takes over
GUESSES = 8  # of the process, refused in a row: then draws, which cost nothing, until one is not
REFUSED_POINTS = 64  # the newest refused ones that the process knows: its time grows with the cube of the points
REDRAWS = 1000  # draws that were all proposed before: the space counts as used up
OBJECTIVE = keras_tuner.Objective("score", "max")  # scores to be lowered are negated


class SamplingOracle(AbstractOracle):
    """Random search; with `model`, candidates where a Gaussian process expects most.

    Each proposal depends on nothing but the seed, how many came before, and what is known of them: each comes
    from a new oracle of keras-tuner. No candidate is proposed twice.
    """

    def __init__(
        self,
        dimensions: Sequence[Dimension],
        *,
        seed: int,
        direction: Literal["max", "min"],
        trials: int | None,
        model: bool,
    ) -> None:
        self._space = Space(dimensions)
        self._seed = seed
        self._sign = sign_of(direction)
        self._trials = math.inf if trials is None else trials
        self._model = model
        self._asked: dict[int, dict[str, Code]] = {}  # id -> code, in the order asked
        self._scores: dict[int, float | None] = {}  # id -> score, higher is better; None: failed, or refused
        self._refused: dict[int, None] = {}  # in the order asked
        self._seen: set[tuple[Value, ...]] = set()
        self._used_up = False

    def ask(self, id: int) -> Proposal | None:
        """The next candidate; None when there is none left."""
        if self.exhausted:
            return None
        codes = self._propose(_seed(self._seed, len(self._asked))) if self._asked else self._space.default
        if codes is None:
            self._used_up = True
            return None
        return self._note(id, Proposal(self._space.decode(codes)))

    @property
    def exhausted(self) -> bool:
        """Whether as many as were wanted, or all there are, have been proposed."""
        feasible = len(self._asked) - len(self._refused)
        return self._used_up or len(self._asked) >= self._space.size or feasible >= self._trials

    def tell(self, id: int, score: float | None, costs: Sequence[float] = ()) -> None:
        """Remember the score of trial `id`; a failed one counts as worse than every other, now and later."""
        if id not in self._asked or id in self._scores:
            raise ValueError(f"trial {id} was not asked of this oracle, or is told twice")
        self._scores[id] = _finite(score, self._sign)

    def refuse(self, id: int) -> None:
        """Trial `id` counts as worse than every other, as a failed one does."""
        self.tell(id, None)
        self._refused[id] = None

    def replay(self, id: int, proposal: Proposal) -> Proposal | None:
        """Note `proposal` without computing it: fitting the process again can take a second each."""
        return self._note(id, proposal)

    def _note(self, id: int, proposal: Proposal) -> Proposal:
        self._asked[id] = self._space.encode(proposal.values)
        self._seen.add(tuple(proposal.values.values()))
        return proposal

    def _propose(self, seed: int) -> dict[str, Code] | None:
        if self._model and refused_last(self._asked, self._refused) < GUESSES:
            codes = self._most_promising(seed)
            if self._is_new(codes):
                return codes
        tuner = RandomSearchOracle(OBJECTIVE, hyperparameters=_hyperparameters(self._space), seed=seed)
        draws = (tuner.populate_space("")["values"] for _ in range(REDRAWS))
        return next((codes for codes in draws if self._is_new(codes)), None)

    def _is_new(self, codes: dict[str, Code]) -> bool:
        return tuple(self._space.decode(codes).values()) not in self._seen

    def _most_promising(self, seed: int) -> dict[str, Code]:
        known = set(list(self._refused)[-REFUSED_POINTS:])
        tuner = BayesianOptimizationOracle(
            OBJECTIVE,
            num_initial_points=INITIAL_POINTS + len(known),  # so many that were scored
            hyperparameters=_hyperparameters(self._space),
            seed=seed,
        )
        tuner.gpr = Process(tuner.gpr)
        scores = dict(zip(self._scores, standardised(list(self._scores.values())), strict=True))
        for id, codes in self._asked.items():
            if id in self._refused and id not in known:
                continue
            trial = _trial(self._space, f"{id}", codes)
            tuner.trials[trial.trial_id] = trial
            if id in scores:
                trial.status, trial.score = TrialStatus.COMPLETED, scores[id]
            else:  # taken for one spread below the middle
                tuner.ongoing_trials[f"kexp-{id}"] = trial
        # One thread: beside busy workers, threads that wait for each other take ten times longer.
        with warnings.catch_warnings(), threadpoolctl.threadpool_limits(1):
            warnings.simplefilter("ignore")  # scikit-learn's, on a fit that has not converged
            values: dict[str, Code] = tuner.populate_space("")["values"]
        return values


class HyperbandOracle(AbstractOracle):
    """Hyperband by rungs: a rung is proposed whole; its best third is continued when all of it has been told.

    So the proposals do not depend on the order of the tells. A candidate of a first rung that fails is
    replaced by a new draw. The default candidate is the first of the first rung. Brackets follow one
    another without end.
    """

    def __init__(
        self,
        dimensions: Sequence[Dimension],
        *,
        seed: int,
        direction: Literal["max", "min"],
        trials: int | None,
        epochs: int,
    ) -> None:
        self._space = Space(dimensions)
        self._sign = sign_of(direction)
        self._limit = math.inf if trials is None else trials
        self._tuner = TunerHyperband(
            OBJECTIVE,
            max_epochs=epochs,
            factor=3,
            hyperband_iterations=None,
            hyperparameters=_hyperparameters(self._space),
            seed=_seed(seed, 0),
        )
        self._names: dict[int, str] = {}  # our id -> keras-tuner's, of what was proposed
        self._ids: dict[str, int] = {}  # and back
        self._replaceable: set[str] = set()  # members of first rungs that another rung follows
        self._failed: set[str] = set()
        self._seen: set[tuple[Value, ...]] = set()
        self._used_up = False

    def ask(self, id: int) -> Proposal | None:
        """The next member of the rung; None while a full rung is waited for."""
        repeats = 0
        while not self.exhausted and not self._waits():
            name = f"{len(self._tuner.trials)}"
            answer: dict[str, Any] = self._tuner.populate_space(name)["values"]
            codes = {key: value for key, value in answer.items() if not key.startswith("tuner/")}
            parent: str | None = answer.get("tuner/trial_id")
            if not self._seen:
                codes = self._space.default
            self._tuner.trials[name] = _trial(self._space, name, codes)
            values = self._space.decode(codes)
            identity = tuple(values.values())
            if parent is None and identity in self._seen:
                repeats += 1
                self._repeated(name, hopeless=len(self._seen) >= self._space.size or repeats > REDRAWS)
            elif parent in self._failed:
                self._fail(name)  # there are no weights to go on from
            else:
                self._seen.add(identity)
                self._names[id], self._ids[name] = name, id
                if parent is None and answer["tuner/bracket"] > 0:
                    self._replaceable.add(name)
                return Proposal(
                    values,
                    epochs=int(answer["tuner/epochs"]),
                    initial_epoch=int(answer["tuner/initial_epoch"]),
                    parent=None if parent is None else self._ids[parent],
                )
        return None

    @property
    def exhausted(self) -> bool:
        """Whether as many as were wanted, or all there are, have been proposed."""
        return self._used_up or len(self._names) >= self._limit

    def tell(self, id: int, score: float | None, costs: Sequence[float] = ()) -> None:
        """Score trial `id`; one that failed makes room in its first rung, and comes last in a later one."""
        name = self._names[id]
        trial = self._tuner.trials[name]
        if trial.status == TrialStatus.COMPLETED:
            raise ValueError(f"trial {id} is told twice")
        value = _finite(score, self._sign)
        if value is not None:
            trial.status, trial.score = TrialStatus.COMPLETED, value
            return
        self._fail(name)
        if name in self._replaceable:
            self._withdraw(name)

    def refuse(self, id: int) -> None:
        """Trial `id` makes room in its first rung, whether another rung follows or not."""
        name = self._names.pop(id)
        self._fail(name)
        self._withdraw(name)

    def replay(self, id: int, proposal: Proposal) -> Proposal | None:
        """Ask again, which is cheap. Raises RunError if something else comes out."""
        asked = self.ask(id)
        if asked is not None:
            check_replay(id, proposal, asked)
        return asked

    def _waits(self) -> bool:
        """Whether the rung last proposed is full and still running, and another follows it."""
        bracket = self._tuner._brackets[-1]
        rounds = bracket["rounds"]
        last = max((i for i, rung in enumerate(rounds) if rung), default=0)
        full = len(rounds[last]) == self._tuner._get_size(bracket["bracket_num"], last)
        if not full or last == len(rounds) - 1:
            return False
        return any(self._tuner.trials[each["id"]].status == TrialStatus.RUNNING for each in rounds[last])

    def _repeated(self, name: str, *, hopeless: bool) -> None:
        """Deal with a draw that was proposed before; where no new one is left, it fills the rung as failed.

        The rung can then be judged; but one that holds nothing else ends the search.
        """
        if not hopeless:
            self._withdraw(name)
            return
        self._fail(name)
        bracket = self._tuner._brackets[-1]
        rung = bracket["rounds"][0]
        full = len(rung) == self._tuner._get_size(bracket["bracket_num"], 0)
        self._used_up = full and all(each["id"] in self._failed for each in rung)

    def _fail(self, name: str) -> None:
        trial = self._tuner.trials[name]
        trial.status, trial.score = TrialStatus.COMPLETED, -math.inf
        self._failed.add(name)

    def _withdraw(self, name: str) -> None:
        """Take a candidate out of its first rung, so that another is drawn in its place."""
        for bracket in self._tuner._brackets:
            bracket["rounds"][0] = [each for each in bracket["rounds"][0] if each["id"] != name]


class Process:
    """The Gaussian process `regressor` of keras-tuner's oracle, predicting without scikit-learn's checks.

    The oracle asks for one point at a time, 6,000 times a proposal; four fifths of its time went into them.
    """

    def __init__(self, regressor: Any) -> None:
        self._regressor = regressor
        self._unscaled: NDArray[np.float64] | None = None  # inverse of the Cholesky factor, None before `fit`
        self._mean, self._std = 0.0, 1.0

    def fit(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        """Fit to points `x`, (n, dimensions), and their values `y`, (n,)."""
        self._regressor.fit(x, y)
        self._unscaled = np.linalg.inv(self._regressor.L_)
        self._mean, self._std = float(y.mean()), float(y.std()) or 1.0

    def predict(self, x: NDArray[np.float64], return_std: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        """Mean and standard deviation, (m,) each, at points `x`, (m, dimensions)."""
        if self._unscaled is None:
            return np.zeros(len(x)), np.ones(len(x))
        kernel = self._regressor.kernel_
        near = kernel(x, self._regressor.X_train_)
        known = near @ self._unscaled.T
        variance = np.maximum(kernel.diag(x) - (known * known).sum(axis=1), 0.0)
        mean = near @ self._regressor.alpha_
        return mean * self._std + self._mean, np.sqrt(variance) * self._std


def standardised(scores: Sequence[float | None]) -> list[float]:
    """Scores, higher is better, in spreads above the middle, whatever their unit; None (failed) is below all.

    The Bayesian oracle assumes 1 for what is running, so RMSE in dollars would look perfect to it; and one
    diverged candidate would make all others look alike, so nothing lies more than 3 spreads below.
    """
    feasible = np.array([score for score in scores if score is not None], np.float64)
    if not len(feasible):
        return [0.0] * len(scores)
    low, middle, high = np.percentile(feasible, [25, 50, 75])
    spread = (high - low) / 1.35 or feasible.std() or 1.0  # 1.35: quartiles of a normal distribution
    scaled = np.maximum((feasible - middle) / spread, -3.0)
    worst = float(scaled.min()) - 1.0
    found = iter(scaled.tolist())
    return [worst if score is None else next(found) for score in scores]


def _hyperparameters(space: Space) -> keras_tuner.HyperParameters:
    hp = keras_tuner.HyperParameters()
    for name, (dimension, values) in space.free.items():
        if values is not None:
            hp.Int(name, 0, len(values) - 1)
        elif dimension.kind == "int":
            hp.Int(name, int(dimension.minimum), int(dimension.maximum), sampling="log")
        else:
            hp.Float(name, dimension.minimum, dimension.maximum, sampling=dimension.sampling)
    if not space.free:
        hp.Fixed("tuner/nothing", 0)  # Hyperband takes a candidate without values for none
    return hp


def _trial(space: Space, name: str, codes: dict[str, Code]) -> Trial:
    hp = _hyperparameters(space)
    hp.values = dict(codes)
    return Trial(hyperparameters=hp, trial_id=name, status=TrialStatus.RUNNING)


def _finite(score: float | None, sign: float) -> float | None:
    return None if score is None or not math.isfinite(score) else sign * float(score)


def _seed(seed: int, number: int) -> int:
    """A seed for the draw `number` of a search: positive, below 2**31, unlike that of any neighbour."""
    digest = hashlib.blake2b(f"{seed} {number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") // 2 + 1
