"""Oracles that weigh several objectives, and what Optuna's samplers must be kept from."""

from __future__ import annotations

import functools
import itertools
import math
import subprocess
import sys
import warnings

import numpy as np
import pytest

from kexp import pareto
from kexp.records import Dimension
from kexp.search.oracles import ORACLES

UNITS = [f"units_{i}" for i in range(3)]
DIMENSIONS = (
    Dimension(name="layers", kind="int", default=2, minimum=0, maximum=3),
    *(Dimension(name=n, kind="int", default=64, minimum=8, maximum=256, sampling="log") for n in UNITS),
    Dimension(name="rate", kind="float", default=1e-3, minimum=1e-4, maximum=1e-1, sampling="log"),
    Dimension(name="dropout", kind="float", default=0.1, minimum=0, maximum=0.5, step=0.1),
    Dimension(name="activation", kind="choice", default="relu", values=("relu", "elu", "tanh", "gelu")),
    Dimension(name="norm", kind="boolean", default=False),
    Dimension(name="classes", kind="fixed", default=7),
)
SMALL = (
    Dimension(name="a", kind="int", default=1, minimum=0, maximum=3),
    Dimension(name="b", kind="boolean", default=True),
    Dimension(name="c", kind="choice", default="y", values=("x", "y")),
)
SEVERAL = [name for name, row in ORACLES.items() if row.several and row.learns]
OPTUNA = ["tpe", "nsga2"]
REFERENCE = (0.5, math.log(100_000))  # no worse point counts


def make(name, dimensions=DIMENSIONS, *, costs=1, seed=0, trials=None, direction="max"):
    several = {"costs": costs} if name in SEVERAL else {}
    return ORACLES[name].make(dimensions, seed=seed, direction=direction, trials=trials, epochs=9, **several)


def network(values):
    """The score of a candidate, and two costs: the logarithm of its weights, and something of its own."""
    if "rate" not in values:
        return values["a"] / 4 + values["b"] / 3, (values["a"] + (values["c"] == "x"), 1.0)
    widths = [20, *(values[name] for name in UNITS[: values["layers"]]), 10]
    weights = sum(a * b + b for a, b in itertools.pairwise(widths))
    error = 0.3 / (1 + 0.35 * math.log(weights / 200)) + 0.03 * (math.log10(values["rate"]) + 2.5) ** 2
    error += 0.1 * abs(values["dropout"] - 0.2) + 0.02 * (values["activation"] == "tanh") + 0.02 * values["norm"]
    return 1 - error, (math.log(weights), values["dropout"])


def refused(values):
    return values["a"] == 1 if "a" in values else values["units_0"] > 128 or values["layers"] == 3


def lived(oracle, *, costs, trials, window=1):
    """What happened to `oracle`: a third of the candidates is refused, each fifth of the others fails."""
    log, waiting = [], []

    def tell():
        id, proposal = waiting.pop(0)
        value, beside = network(proposal.values)
        log.append(("tell", id, (None if id % 5 == 3 else value, beside[:costs])))
        oracle.tell(id, *log[-1][2])

    for id in range(trials):
        while len(waiting) >= window:
            tell()
        proposal = oracle.ask(id)
        if proposal is None:
            break
        log.append(("ask", id, proposal))
        if refused(proposal.values):
            log.append(("refuse", id, None))
            oracle.refuse(id)
        else:
            waiting.append((id, proposal))
    while waiting:
        tell()
    return log


@functools.cache
def life(name, costs, window):
    return lived(make(name, costs=costs), costs=costs, trials=56, window=window)


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("costs", [0, 1, 2])
@pytest.mark.parametrize("window", [1, 5])
def test_a_killed_search_goes_on_as_if_it_was_not(name, costs, window):
    log = life(name, costs, window)
    assert {kind for kind, _, _ in log} == {"ask", "tell", "refuse"}
    for share in (0.0, 0.4, 0.9):  # of it from a journal
        oracle = make(name, costs=costs)
        for at, (kind, id, what) in enumerate(log):
            if kind == "tell":
                oracle.tell(id, *what)
            elif kind == "refuse":
                oracle.refuse(id)
            elif at < share * len(log):
                assert oracle.replay(id, what) == what
            else:
                assert oracle.ask(id) == what


@pytest.mark.parametrize("name", SEVERAL)
def test_what_it_costs_matters(name):
    def proposals(sign):
        oracle = make(name)
        found = []
        for id in range(30):
            found.append(oracle.ask(id).values)
            value, (weights, _) = network(found[-1])
            oracle.tell(id, value, [sign * weights])
        return found

    assert proposals(1) == proposals(1) != proposals(-1)


@pytest.mark.parametrize("name", SEVERAL)
def test_nothing_is_proposed_twice_and_a_small_space_whole(name):
    log = life(name, 1, 5)
    asked = [tuple(what.values.items()) for kind, _, what in log if kind == "ask"]
    assert len(set(asked)) == len(asked) == 56
    oracle = make(name, SMALL)
    log = lived(oracle, costs=1, trials=100)
    assert len({tuple(what.values.items()) for kind, _, what in log if kind == "ask"}) == 16
    assert oracle.exhausted
    assert oracle.ask(100) is None


@functools.cache
def covered(name):
    return np.mean([pareto.hypervolume(points(name, seed), REFERENCE) for seed in range(5)])


def points(name, seed, trials=60):
    oracle, found = make(name, seed=seed), []
    for id in range(trials):
        value, (weights, _) = network(oracle.ask(id).values)
        oracle.tell(id, value, [weights])
        found.append((1 - value, weights))
    return found


@pytest.mark.parametrize("name", SEVERAL)
def test_fronts_of_two_objectives_are_better_than_random(name):
    assert covered(name) > covered("random")


# -- evolution ------------------------------------------------------------------------------------


def test_a_cost_that_is_the_same_for_all_changes_nothing():
    def proposals(costs):
        oracle, found = make("evolution"), []
        for id in range(40):
            if id == 20:
                oracle.climb(27, 27)
            found.append(oracle.ask(id))
            oracle.tell(id, network(found[-1].values)[0], costs)
        return found

    assert proposals([]) == proposals([3.0]) == proposals([math.inf]) == proposals([math.nan])


def test_parents_of_evolution_are_on_the_front_and_far_apart():
    oracle = make("evolution")
    scored = [(0.9, 9), (0.1, 1), (0.5, 5), (0.52, 5.1), (0.7, 7), (0.4, 6), (0.3, 9)]
    for id, (value, cost) in enumerate(scored):
        oracle.ask(id)
        oracle.tell(id, value, [cost])
    assert oracle._best() == [0, 1, 2, 4, 3, 5, 6]  # the ends, then those with the most room; what is dominated last
    # those that trained for longer come first, whatever they are
    oracle.climb(27, 27)
    first = oracle.ask(7)
    assert first.epochs == 27
    oracle.tell(7, 0.0, [99])
    assert oracle._best()[0] == 7


# -- Optuna ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTUNA)
def test_how_many_costs_there_are_is_said_before(name):
    oracle = make(name, costs=1)
    oracle.ask(0)
    with pytest.raises(ValueError, match="trial 0 is told 2 costs, 1 are expected"):
        oracle.tell(0, 0.5, [1, 2])


@pytest.mark.parametrize("name", OPTUNA)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_candidate_whose_cost_is_not_known_is_as_one_that_failed(name, bad):
    def next_one(score, cost):
        oracle = make(name)
        for id in range(20):
            value, (weights, _) = network(oracle.ask(id).values)
            oracle.tell(id, *((score, [cost]) if id == 3 else (value, [weights])))
        return oracle.ask(20)

    assert next_one(0.99, bad) == next_one(None, 0.0) != next_one(0.99, 0.0)


@pytest.mark.parametrize("name", OPTUNA)
def test_where_hardly_anything_is_feasible_the_few_are_gone_on_from(name):
    space = tuple(Dimension(name=n, kind="float", default=0.9, minimum=0, maximum=1) for n in "xy")

    def feasible(seed, trials=120):
        oracle, found = make(name, space, seed=seed), 0
        for id in range(trials):
            values = oracle.ask(id).values
            if max(values.values()) > 0.3:
                oracle.refuse(id)
            else:
                oracle.tell(id, values["x"], [-values["y"]])
                found += id >= trials // 2
        return found / (trials // 2)

    assert np.mean([feasible(seed) for seed in range(3)]) > 0.18  # of even draws .09 are


@pytest.mark.parametrize("name", OPTUNA)
def test_what_is_running_is_known_and_not_drawn_near(name):
    """As many as a block are asked before one is told, and are not all alike."""
    space = (Dimension(name="x", kind="float", default=0.5, minimum=0, maximum=1),)
    oracle = make(name, space, costs=0)
    for id in range(40):
        oracle.tell(id, -abs(oracle.ask(id).values["x"] - 0.3))
    x = [oracle.ask(id).values["x"] for id in range(40, 60)]
    assert len(set(x)) == 20
    assert np.std(x) > 0.02


@pytest.mark.parametrize("name", OPTUNA)
def test_no_file_is_written_nothing_is_said_and_a_caller_s_own_settings_stay(name, tmp_path, monkeypatch, capfd):
    import optuna

    monkeypatch.chdir(tmp_path)
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    state = np.random.get_state()[1].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lived(make(name), costs=1, trials=30)
    assert optuna.logging.get_verbosity() == optuna.logging.DEBUG
    optuna.logging.set_verbosity(optuna.logging.INFO)
    assert (np.random.get_state()[1] == state).all()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_optuna_is_imported_with_its_oracles_alone():
    code = (
        "import sys; from kexp.search.oracles import ORACLES; before = 'optuna' in sys.modules; "
        "ORACLES['tpe'].make((), seed=0, direction='max', trials=None, epochs=1); "
        "print(before, *{'optuna', 'tensorflow', 'keras_tuner', 'torch'}.intersection(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "optuna"]


def test_a_front_begins_with_the_default_and_with_what_is_small():
    space = (
        Dimension(name="layers", kind="int", default=2, minimum=0, maximum=4),
        Dimension(name="units", kind="choice", default=64, values=(256, 64, 16)),
        Dimension(name="activation", kind="choice", default="relu", values=("relu", "elu")),
        Dimension(name="rate", kind="float", default=1e-3, minimum=1e-4, maximum=1e-2, sampling="log"),
    )
    options = {"seed": 0, "direction": "max", "trials": 9, "epochs": 1}
    for name in ("tpe", "nsga2", "evolution"):
        for costs, sizes in ((1, [(2, 64), (2, 16), (0, 16)]), (0, [(2, 64)])):
            oracle = ORACLES[name].make(space, costs=costs, **options)
            asked = [oracle.ask(id).values for id in range(len(sizes))]
            assert [(one["layers"], one["units"]) for one in asked] == sizes
            assert {(one["activation"], one["rate"]) for one in asked} == {("relu", 1e-3)}


@pytest.mark.parametrize("name", ["evolution", *OPTUNA])
def test_a_front_begins_with_the_default_and_with_what_is_narrow_and_learns_fast(name):
    dimensions = (
        Dimension(name="hidden_layers", kind="int", default=2, minimum=0, maximum=4),
        Dimension(name="units_0", kind="choice", default=128, values=(16, 64, 128)),
        Dimension(name="learning_rate", kind="float", default=2e-3, minimum=3e-4, maximum=1e-2, sampling="log"),
        Dimension(name="activation", kind="choice", default="relu", values=("silu", "relu")),
    )
    oracle = make(name, dimensions)
    first = [tuple(oracle.ask(i).values.values()) for i in range(3)]
    assert first == [(2, 128, 2e-3, "relu"), (2, 16, 1e-2, "relu"), (0, 16, 1e-2, "relu")]
    listed = (*dimensions[:2], Dimension(name="learning_rate", kind="choice", default=1e-3, values=(5e-3, 1e-3)))
    oracle = make(name, listed)
    assert [oracle.ask(i).values["learning_rate"] for i in range(3)] == [1e-3, 5e-3, 5e-3]
