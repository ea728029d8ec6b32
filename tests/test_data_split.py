"""Which rows train, validate and test."""

import hashlib

import numpy as np
import pytest

from kexp.data.split import LARGEST_VALIDATION, join, merge, small_twins, split, strata
from kexp.errors import DataError


def shares(part):
    return (np.bincount(part, minlength=3) / len(part)).tolist()


def test_shares_are_those_asked_for():
    assert shares(split(1000)) == pytest.approx([0.7, 0.15, 0.15], abs=0.002)
    assert shares(split(1000, validation=0.3, test=0.2)) == pytest.approx([0.5, 0.3, 0.2], abs=0.002)


def test_the_same_seed_gives_the_same_parts_on_every_machine():
    y = np.arange(500) % 3
    assert np.array_equal(split(500, y=y, seed=4), split(500, y=y, seed=4))
    assert not np.array_equal(split(500, y=y, seed=4), split(500, y=y, seed=5))
    assert hashlib.sha256(split(500, y=y, seed=4).tobytes()).hexdigest()[:16] == "cfd52c82d5c3eace"


def test_classes_keep_their_share_in_every_part():
    y = np.repeat([0, 1, 2], [800, 150, 50])
    part = split(1000, y=y)
    for value in range(3):
        found = np.bincount(y[part == value], minlength=3) / (part == value).sum()
        assert found == pytest.approx([0.8, 0.15, 0.05], abs=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_every_class_of_three_rows_is_in_every_part(seed):
    y = np.repeat(np.arange(40), 3)
    part = split(120, y=y, seed=seed)
    for label in range(40):
        assert set(part[y == label]) == {0, 1, 2}


def test_many_small_classes_do_not_empty_a_part():
    y = np.repeat(np.arange(100), 10)
    assert shares(split(1000, y=y)) == pytest.approx([0.7, 0.15, 0.15], abs=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_groups_never_straddle_and_classes_stay_roughly_balanced(seed):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 60, 1000)
    y = (rng.random(1000) < 0.2 + 0.5 * (groups % 2)).astype(int)
    part = split(1000, y=y, groups=groups, seed=seed)
    for group in np.unique(groups):
        assert len(set(part[groups == group])) == 1
    assert shares(part) == pytest.approx([0.7, 0.15, 0.15], abs=0.05)
    for value in range(3):
        assert y[part == value].mean() == pytest.approx(y.mean(), abs=0.1)


def test_one_group_leaves_parts_empty_and_is_refused():
    with pytest.raises(DataError, match="leave no row for the validation part"):
        split(100, groups=np.zeros(100))
    assert set(split(100, groups=np.arange(100) // 20)) == {0, 1, 2}


def test_too_few_rows_are_refused():
    with pytest.raises(DataError, match="2 rows leave no row for the"):
        split(2)


def test_time_order_trains_on_the_oldest_and_tests_on_the_newest():
    times = np.random.default_rng(0).permutation(200)
    part = split(200, times=times)
    assert times[part == 0].max() < times[part == 1].min() <= times[part == 1].max() < times[part == 2].min()
    assert shares(part) == pytest.approx([0.7, 0.15, 0.15], abs=0.01)


def test_rows_of_one_moment_or_group_are_not_cut():
    days = np.repeat(np.arange(20), 10)
    part = split(200, times=days)
    assert all(len(set(part[days == day])) == 1 for day in range(20))
    groups = np.arange(200) % 40
    part = split(200, times=np.arange(200), groups=groups)
    assert all(len(set(part[groups == group])) == 1 for group in range(40))


def test_given_parts_are_respected():
    given = np.repeat(np.array([0, 1, 2], np.int8), 10)
    assert np.array_equal(split(30, parts=given), given)
    undecided = np.repeat(np.array([-1, 1, 2], np.int8), 10)
    assert np.array_equal(split(30, parts=undecided), given)


@pytest.mark.parametrize("training", [-1, 0])
def test_a_part_that_the_data_lack_comes_from_the_training_rows(training):
    part = split(120, parts=np.repeat(np.array([training, 2], np.int8), [100, 20]))
    assert (part[100:] == 2).all() and np.bincount(part[:100]).tolist() == [85, 15]
    part = split(120, parts=np.repeat(np.array([training, 1], np.int8), [100, 20]))
    assert (part[100:] == 1).all() and np.bincount(part[:100]).tolist() == [85, 0, 15]
    part = split(100, parts=np.full(100, training, np.int8))
    assert np.bincount(part).tolist() == [70, 15, 15]


def test_undecided_rows_beside_training_rows_are_divided():
    part = split(200, parts=np.repeat(np.array([0, -1], np.int8), 100))
    assert (part[:100] == 0).all() and np.bincount(part[100:]).tolist() == [70, 15, 15]


def test_validation_rows_of_a_large_set_with_a_test_part_are_limited():
    n = 100_000
    part = split(n, parts=np.repeat(np.array([-1, 2], np.int8), [n - 10, 10]))
    assert (part == 1).sum() == LARGEST_VALIDATION


def test_numbers_are_balanced_by_quantile():
    values = np.random.default_rng(0).lognormal(size=(2000, 1))
    part = split(2000, y=strata(values))
    medians = [np.median(values[part == value]) for value in range(3)]
    assert max(medians) / min(medians) < 1.15
    assert strata(np.array([0, 1, 1])).tolist() == [0, 1, 1]


def test_many_sets_of_labels_keep_shares_and_each_label_is_spread():
    rng = np.random.default_rng(1)
    y = (rng.random((2000, 10)) < np.linspace(0.01, 0.5, 10)).astype(np.float32)
    part = split(2000, y=strata(y))
    assert shares(part) == pytest.approx([0.7, 0.15, 0.15], abs=0.01)
    assert shares(part[y[:, 0] == 1]) == pytest.approx([0.7, 0.15, 0.15], abs=0.05)  # 20 rows or so
    for value in range(3):
        assert y[part == value].mean(axis=0) == pytest.approx(y.mean(axis=0), abs=0.05)


def test_more_rare_labels_than_can_be_spread_keep_shares():
    y = (np.random.default_rng(0).random((2000, 500)) < 0.003).astype(np.float32)
    assert shares(split(2000, y=strata(y))) == pytest.approx([0.7, 0.15, 0.15], abs=0.01)


def test_a_row_counts_for_the_rarest_of_its_labels():
    y = np.repeat([[0, 0], [1, 0], [1, 1]], [10, 20, 10], axis=0)
    assert strata(y).tolist() == [0] * 10 + [1] * 20 + [2] * 10
    assert strata(y[:39]).tolist() == [0] * 10 + [1] * 29


def test_twins_share_a_group_unless_there_are_too_many():
    group, loose = small_twins(np.array([5, 9, 5, 7], np.uint64))
    assert loose == 0 and group[0] == group[2] and len(set(group)) == 3
    keys = np.concatenate([np.zeros(50, np.uint64), np.arange(1, 151, dtype=np.uint64)])
    group, loose = small_twins(keys)
    assert loose == 50 and len(set(group)) == 200


def test_groups_are_joined_by_twins_unless_that_makes_chains():
    groups = np.arange(400) // 2
    twins = np.arange(400)
    twins[2] = twins[1]
    joined, left = join(groups, twins)
    assert left == 0 and len(set(joined[:4])) == 1 and len(set(joined)) == 199
    chain = np.concatenate([[0], np.repeat(np.arange(1, 200), 2), [200]])
    joined, left = join(groups, chain)
    assert left == 400 and len(set(joined)) == 200
    joined, left = join(np.zeros(400), twins)
    assert left == 0 and len(set(joined)) == 1


def test_merged_groups_hold_whole_groups_of_both():
    merged = merge(["a", "a", "b", "c", "c", "d"], [0, 1, 1, 2, 3, 4])
    assert merged[0] == merged[1] == merged[2]
    assert merged[3] == merged[4] and len(set(merged)) == 3


def test_without_a_share_for_test_all_rows_train_and_validate():
    y = np.arange(100) % 4
    for options in ({}, {"y": y}, {"groups": np.arange(100) // 3}, {"times": np.arange(100)}):
        part = split(100, test=0, **options)
        assert set(part.tolist()) == {0, 1} and (part == 1).sum() == pytest.approx(15, abs=2)
    given = np.where(np.arange(100) < 10, 2, -1).astype(np.int8)
    assert (split(100, parts=given, test=0) == 2).sum() == 10  # what the data say holds
    with pytest.raises(DataError, match="validation part"):
        split(1, test=0)


def test_many_small_classes_in_few_groups_do_not_empty_the_training_part():
    """One group after the other moved, so that each small class is everywhere, until half of the rows validated."""
    y = np.concatenate([np.zeros(48, int), np.repeat(np.arange(1, 17), 4)])
    part = split(len(y), y=y, groups=np.arange(len(y)) % 6)
    assert (part == 0).sum() >= len(y) / 2


def test_a_class_that_has_groups_of_its_own_is_in_every_part():
    group = np.repeat(np.arange(6), 20)
    part = split(120, y=group // 3, groups=group)
    assert all(set((group // 3)[part == value]) == {0, 1} for value in range(3))
