"""Which column is the target, which task it means, and the numbers that are learnt."""

import numpy as np
import pytest

from kexp.data import targets
from kexp.errors import DataError


def cells(*columns):
    return np.array(columns, dtype=object).T


NUMBERS = [str(i * 0.7 % 5) for i in range(30)]
CITIES = ["Rome", "Oslo", "Bern"] * 10


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        ({"a": NUMBERS, "Label": CITIES, "b": NUMBERS}, "Label"),
        ({"y": NUMBERS, "a": NUMBERS, "b": CITIES}, "y"),
        ({"id": NUMBERS, "Survived": ["0", "1"] * 15, "Embarked": CITIES}, "Survived"),
        ({"median_income": NUMBERS, "median_house_value": NUMBERS, "ocean": CITIES}, "median_house_value"),
        ({"a": NUMBERS, "b": CITIES}, "b"),
        ({"a": NUMBERS, "b": ["same"] * 30}, "a"),
        ({"a": NUMBERS, "b": [f"text {i}" for i in range(30)]}, "a"),
        ({"a": NUMBERS, "b": [f"2020-01-{i % 28 + 1:02}" for i in range(30)]}, "a"),
        ({"a": NUMBERS, "b": [str(i) for i in range(30)]}, "a"),
        ({"a": NUMBERS, "cost": [str(i * 37 % 1000) for i in range(30)]}, "cost"),
        ({"a": NUMBERS, "y": [str(i) for i in range(30)], "b": CITIES}, "y"),
        ({"a": NUMBERS, "y": [""] * 30}, "a"),
    ],
)
def test_the_guess_and_that_it_is_said(columns, chosen):
    name, why = targets.guess(columns)
    assert name == chosen
    assert repr(chosen) in why and "--target" in why


def test_a_table_without_a_possible_target_is_refused():
    with pytest.raises(DataError, match=r"None of the columns 'a' can be a target.*--target"):
        targets.guess({"a": ["same"] * 9})


def test_two_texts_are_binary_and_the_second_by_meaning_is_positive():
    for pair, labels in [
        (["yes", "no"], ("no", "yes")),
        (["True", "False"], ("False", "True")),
        (["1", "0"], ("0", "1")),
        (["malignant", "benign"], ("benign", "malignant")),
        ([">50K", "<=50K"], ("<=50K", ">50K")),
        (["2", "10"], ("2", "10")),
    ]:
        target = targets.encode(cells(pair * 5), names=["t"])
        assert (target.task, target.labels) == ("binary", labels)
        assert target.y.dtype == np.int32 and [target.labels[i] for i in target.y] == pair * 5
        assert "'t' has two values" in target.notices[0]


def test_more_texts_are_multiclass_and_numbers_are_regression():
    target = targets.encode(cells(CITIES), names=["city"])
    assert (target.task, target.labels) == ("multiclass", ("Bern", "Oslo", "Rome"))
    assert target.y[:3].tolist() == [2, 1, 0]
    target = targets.encode(cells(NUMBERS), names=["price"])
    assert (target.task, target.labels, target.y.shape) == ("regression", ("price",), (30, 1))
    assert target.y.dtype == np.float32


def test_a_few_whole_numbers_are_a_quantity_unless_the_experiment_says_classes():
    grades = [str(i % 5 + 3) for i in range(30)]
    target = targets.encode(cells(grades), names=["grade"])
    assert target.task == "regression" and 'task = "multiclass"' in target.notices[0]
    target = targets.encode(cells(grades), names=["grade"], task="multiclass")
    assert (target.task, target.labels) == ("multiclass", ("3", "4", "5", "6", "7"))
    ten = targets.encode(cells([str(i % 11) for i in range(44)]), names=["grade"], task="multiclass")
    assert ten.labels[-1] == "10"


@pytest.mark.parametrize("name", ["label", "Class", " cluster "])
def test_whole_numbers_are_classes_where_the_column_is_called_so(name):
    marks = [str(i % 3 + 1) for i in range(30)]
    target = targets.encode(cells(marks), names=[name])
    assert (target.task, target.labels) == ("multiclass", ("1", "2", "3"))
    assert "because of its name" in target.notices[0]
    assert targets.encode(cells(marks), names=[name], task="regression").task == "regression"


@pytest.mark.parametrize(
    "marks",
    [NUMBERS, [str(i) for i in range(30)], [str(i % 3 + 0.5) for i in range(30)], [*("12345" * 6), "6", "7"]],
)
def test_other_numbers_are_a_quantity_whatever_the_column_is_called(marks):
    assert targets.encode(cells(marks), names=["label"]).task == "regression"


def test_spellings_of_one_class_are_one():
    assert targets.encode(cells(["1", "1.0", "0", "0.0"] * 3), names=["t"]).labels == ("0", "1")
    large = targets.encode(cells(["12345678901", "12345678902"] * 3), names=["t"])
    assert large.labels == ("12345678901", "12345678902")
    assert targets.encode(cells(["Yes", "Yes", "yes", "No"] * 3), names=["t"]).labels == (
        "No",
        "Yes",
    )


def test_classes_of_pictures_are_no_numbers():
    target = targets.encode(np.array(["0", "1", "2"] * 5), labels=("0", "1", "2"))
    assert (target.task, target.labels) == ("multiclass", ("0", "1", "2"))
    target = targets.encode(np.array(["0", "1", "2"] * 5), task="regression")
    assert target.task == "regression" and target.y[:3, 0].tolist() == [0, 1, 2]
    target = targets.encode(np.array([1, 0] * 5), labels=("cat", "dog"))
    assert target.labels == ("cat", "dog") and target.y[:2].tolist() == [1, 0]


def test_given_classes_keep_their_order_and_must_hold_every_sample():
    target = targets.encode(np.array(["b", "a"] * 5), labels=("b", "a", "unused"))
    assert target.labels == ("b", "a") and "unused" in target.notices[0]
    with pytest.raises(DataError, match="'c' is none of the classes a, b"):
        targets.encode(np.array(["a", "b", "c"] * 5), labels=("a", "b"))


def test_several_targets():
    target = targets.encode(cells(NUMBERS, NUMBERS[::-1]), names=["u", "v"])
    assert (target.task, target.labels, target.y.shape) == ("regression", ("u", "v"), (30, 2))
    target = targets.encode(cells(["0", "1"] * 9, ["yes", "no"] * 9), names=["u", "v"])
    assert (target.task, target.labels) == ("multilabel", ("u", "v"))
    assert target.y[0].tolist() == [0, 1] and target.y.dtype == np.float32
    with pytest.raises(DataError, match="but 'v' holds text"):
        targets.encode(cells(NUMBERS, CITIES), names=["u", "v"])
    with pytest.raises(DataError, match="has one target, not 2"):
        targets.encode(cells(NUMBERS, CITIES), names=["u", "v"], task="multiclass")


def test_arrays_that_say_what_they_are():
    assert targets.encode(np.array([[0.5], [1.5], [2.5]])).task == "regression"
    assert targets.encode(np.array([0.5, 1.5, 2.5])).y.shape == (3, 1)
    target = targets.encode(np.array([[True, False], [False, True]] * 3), names=["u", "v"])
    assert target.task == "multilabel" and target.y[0].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("y", "options", "said"),
    [
        (cells(["a"] * 9), {}, "'t' is 'a' in every row"),
        (cells(["5"] * 9), {}, "'t' is '5' in every row"),
        (cells(["5", "5.0"] * 9), {"task": "regression"}, "'t' is '5' in every row"),
        (cells(["a", "b"] * 9 + ["rare"]), {}, r"1 of the 3 classes of 't'.*'rare' \(1\)"),
        (cells([f"c{i}" for i in range(30)]), {}, "30 different values in 30 rows: too many"),
        (cells([f"c{i % 1100}" for i in range(3300)]), {}, "too many for classes"),
        (cells(["1", "2", "inf"] * 9), {}, "f.csv row 4: the target t = inf is not finite"),
        (cells([*NUMBERS, "abc"]), {"task": "regression"}, "the target t = 'abc' is no number"),
        (cells(CITIES), {"task": "binary"}, "'t' has 3 classes, binary needs two"),
        (cells(CITIES), {"task": "multilabel"}, "multilabel needs yes or no"),
        (np.empty((0, 1), object), {}, "No row has a value for the target 't'"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(y, options, said):
    ids = [f"f.csv row {i + 2}" for i in range(len(y))]
    with pytest.raises(DataError, match=said):
        targets.encode(y, names=["t"], ids=ids, **options)


def test_a_class_of_three_samples_is_accepted():
    assert targets.encode(cells(["a", "b"] * 9 + ["rare"] * 3), names=["t"]).labels == ("a", "b", "rare")


def test_rows_without_a_target_are_known():
    assert targets.present(cells(["a", "?", "b"], ["1", "2", ""])).tolist() == [True, False, False]
    assert targets.present(np.array([[1.0], [np.nan]])).tolist() == [True, False]
    assert targets.present(np.array([0, 1])).tolist() == [True, True]
