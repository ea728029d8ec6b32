"""What is over a limit is refused before it is trained, and the nearest is named where nothing fits."""

from __future__ import annotations

import re

import pytest

from kexp.errors import RunError
from kexp.records import Costs, Experiment, Trial
from kexp.search.latency import LatencyModel
from kexp.search.limits import IN_A_ROW, Limits, check_refusal


def costs(**given):
    usual = {"parameters": 1000, "bytes": 150_000, "macs": 10**6, "work": 10**6, "operators": 9, "memory": 20_000}
    return Costs(**{**usual, **given})


def limits(latency=None, **most):
    return Limits(Experiment(name="q", data="d", **most), latency)


SLOW = LatencyModel(start=0.0, work=2.0, bytes=0.0, operators=0.0)


@pytest.mark.parametrize(
    ("most", "told"),
    [
        ({"max_parameters": 999}, "has 1,000 parameters, more than the 999 allowed"),
        ({"max_size": 149_000}, "would have about 150 kB as int8, more than the 149 kB allowed"),
        ({"max_size": 900}, "would have about 150 kB as int8, more than the 900 B allowed"),
        (
            {"max_latency": 1.5},
            "would take about 2 ms for one sample on this machine, more than the 1.5 ms allowed",
        ),
        (
            {"max_memory": 19_500},
            "would need about 20 kB of memory beside its weights, by estimate, more than the 19.5 kB allowed",
        ),
    ],
)
def test_each_limit_has_its_words(most, told):
    found = limits(SLOW, **most)
    assert found.excess(found.foretold(costs()), 7) == told
    assert found.refused == 1


def test_what_is_just_at_its_limits_passes():
    found = limits(SLOW, max_parameters=1000, max_size=150_000, max_latency=2.0, max_memory=20_000)
    assert found.foretold(costs()).latency_ms == 2.0
    assert found.excess(found.foretold(costs()), 0) == ""
    assert limits().excess(costs(bytes=10**12, parameters=10**12), 0) == ""


def test_without_a_model_nothing_is_judged_by_its_time():
    found = limits(max_latency=1e-9)
    assert found.foretold(costs()).latency_ms is None
    assert found.excess(found.foretold(costs()), 0) == ""


def test_where_nothing_fits_the_nearest_is_named_with_what_would_let_it_in():
    found = limits(SLOW, max_size=150_000, max_latency=5.0)
    for id, (size, work) in enumerate([(400_000, 10**6), (162_000, 10**6), (151_000, 9 * 10**6), (170_000, 10**6)]):
        assert found.excess(found.foretold(costs(bytes=size, work=work)), id)
    assert found.nothing_fits() == (
        "Not one of 4 proposed candidates is within the limits. The nearest, trial 1, would have about 162 kB as int8, "
        "more than the 150 kB allowed: --max-size 170kB would let it in. "
        "Use --fresh with larger limits, or with smaller networks in the experiment's [space]."
    )


@pytest.mark.parametrize(
    ("given", "most", "option"),
    [
        ({"parameters": 5146}, {"max_parameters": 5000}, "--max-parameters 5200 "),
        ({"bytes": 1_234_567}, {"max_size": 1000}, "--max-size 1300kB "),
        ({"bytes": 9_999}, {"max_size": 1000}, "--max-size 10kB "),
        ({"memory": 2_000}, {"max_memory": 1000}, "--max-memory 2kB "),
        ({"work": 61_000}, {"max_latency": 0.1}, "--max-latency 0.13ms "),
        (
            {"parameters": 200, "bytes": 5000},
            {"max_parameters": 100, "max_size": 1000},
            "--max-size 5kB --max-parameters 200 ",
        ),
    ],
)
def test_the_option_that_is_advised_lets_the_nearest_in(given, most, option):
    from kexp import experiment

    found = limits(SLOW, **most)
    assert found.excess(found.foretold(costs(**given)), 3)
    assert option in found.nothing_fits()
    words = option.split()
    advised = {words[i].removeprefix("--").replace("-", "_"): words[i + 1] for i in range(0, len(words), 2)}
    wider = Limits(experiment.override(Experiment(name="q", data="d", **most), **advised), SLOW)
    assert wider.excess(wider.foretold(costs(**given)), 3) == ""


def test_a_candidate_over_two_limits_is_told_of_both_the_worse_first():
    told = limits(max_parameters=900, max_size=50_000).excess(costs(), 0)
    assert re.fullmatch(r"would have about 150 kB .*; has 1,000 parameters, more than the 900 allowed", told)


def test_how_many_in_a_row_are_too_many_is_counted_anew_after_each_that_is_not():
    limit = limits(max_parameters=100)
    for parameters in (101, 250):
        for _ in range(IN_A_ROW - 1):
            assert limit.excess(costs(parameters=parameters), 1)
        assert not limit.hopeless
        assert limit.excess(costs(parameters=100), 2) == ""
    assert limit.refused == 2 * (IN_A_ROW - 1)
    for _ in range(IN_A_ROW):
        assert limit.excess(costs(parameters=300), 3)
    assert limit.hopeless
    assert "The nearest, trial 1, has 101 parameters" in limit.nothing_fits()


def test_a_journal_that_was_refused_otherwise_is_an_error():
    refused = Trial(id=3, factory="f", values={}, status="infeasible", message="has 9 parameters, more than 8 allowed")
    trained = Trial(id=4, factory="f", values={}, status="completed")
    check_refusal(refused, "has 9 parameters, more than 8 allowed")
    check_refusal(trained, "")
    with pytest.raises(RunError, match=r"trial 3 has 9 parameters.*, and now is within the limits"):
        check_refusal(refused, "")
    with pytest.raises(RunError, match=r"trial 4 was trained, and now has 10 parameters"):
        check_refusal(trained, "has 10 parameters")
