"""Arrays and data frames as samples, for training and for a prediction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kexp import data
from kexp.data import memory
from kexp.errors import DataError
from kexp.experiment import from_data

RANDOM = np.random.default_rng(0)
Y = np.arange(40) % 2


def frame():
    """40 rows of columns of every sort, some cells missing."""
    numbers = RANDOM.normal(size=40)
    numbers[3] = np.nan
    return pd.DataFrame(
        {
            "length": numbers,
            "row": np.arange(40),  # says nothing in a CSV, where it would number the rows; here its type is a number
            "count": pd.array([None, *range(39)], dtype="Int64"),
            "town": pd.Categorical.from_codes([-1, *(np.arange(39) % 3)], ["1", "2", "3"]),
            "word": ["a", "b", None, "c"] * 10,
            "flag": np.arange(40) % 4 == 0,
            "day": pd.date_range("2024-01-01", periods=40),
            "empty": np.full(40, np.nan),
        }
    )


def prepared(x, y=Y, **options):
    raw = memory.raw(x, y, labels=("no", "yes"), targets=("class",), **options)
    return data.prepared(raw, from_data("memory:arrays", test=0.0))


def test_the_types_of_a_frame_s_columns_say_their_kinds():
    spec = prepared(frame()).spec
    assert {column.name: column.kind for column in spec.columns} == {
        "length": "number", "row": "number", "count": "number", "town": "category", "word": "category",
        "flag": "boolean", "day": "date",
    }  # fmt: skip
    assert spec.labels == ("no", "yes") and spec.task == "binary"


def test_no_row_is_kept_for_a_test_that_nobody_will_ask_for():
    found = prepared(frame())
    assert len(found.rows("train")) == 34 and len(found.rows("validation")) == 6 and not len(found.rows("test"))


@pytest.mark.parametrize(
    "x",
    [
        frame(),
        RANDOM.normal(size=(40, 3)),
        RANDOM.integers(0, 5, (40, 3)),
        RANDOM.normal(size=(40, 2)) > 0,
        RANDOM.integers(0, 256, (40, 6, 5), np.uint8),
        RANDOM.integers(0, 256, (40, 6, 5, 3)),
        RANDOM.normal(size=(40, 9, 2)),
    ],
    ids=["frame", "numbers", "whole", "flags", "grey", "colour", "series"],
)
def test_a_prediction_sees_what_training_saw(x):
    found = prepared(x)
    np.testing.assert_array_equal(memory.encode(x, found.spec), found.x)
    assert found.x.shape[1:] == found.spec.shape


def test_cells_that_training_could_not_have_known_are_missing_or_unknown():
    spec = prepared(frame()).spec
    rows = frame().astype({"town": str, "flag": object, "day": object, "length": object}).iloc[:3]
    rows[["town", "flag", "day", "length"]] = ["9", "perhaps", "some day", "long"]
    encoded = dict(zip([column.name for column in spec.columns], memory.encode(rows, spec).T, strict=True))
    assert (encoded["town"] == -1).all()
    assert all(np.isnan(encoded[name]).all() for name in ("flag", "day", "length"))


@pytest.mark.parametrize(
    ("fitted", "asked"),
    [
        (np.arange(40) % 3 == 0, [1.0 * (i % 3 == 0) for i in range(40)]),
        (np.arange(40) % 3 == 0, [int(i % 3 == 0) for i in range(40)]),
        (pd.Categorical(np.arange(40) % 3 + 1), np.arange(40) % 3 + 1),
        (pd.Categorical(np.arange(40) % 3 + 1), np.arange(40) % 3 + 1.0),
        (pd.Categorical(np.arange(40) % 3 / 2), np.arange(40) % 3 / 2),
        (1.0 * (np.arange(40) % 3 == 0), np.arange(40) % 3 == 0),
    ],
    ids=["flags as fractions", "flags as whole", "codes", "codes as fractions", "fractions", "numbers as flags"],
)
def test_a_value_means_the_same_in_a_column_of_another_type(fitted, asked):
    found = prepared(pd.DataFrame({"a": fitted}))
    np.testing.assert_array_equal(memory.encode(pd.DataFrame({"a": asked}), found.spec), found.x)


def test_columns_are_found_by_name():
    spec, rows = prepared(frame()).spec, frame()
    np.testing.assert_array_equal(memory.encode(rows[rows.columns[::-1]], spec), memory.encode(rows, spec))
    with pytest.raises(DataError, match="no column 'town'"):
        memory.encode(rows.drop(columns="town"), spec)


def test_pictures_and_series_are_brought_to_one_size():
    large = memory.raw(RANDOM.integers(0, 256, (40, 8, 8), np.uint8), Y, size=(4, 6))
    assert large.x.shape == (40, 4, 6, 1)
    long = prepared(RANDOM.normal(size=(40, 12, 2)), steps=6)
    assert memory.encode(RANDOM.normal(size=(3, 20, 2)), long.spec).shape == (3, 6, 2)


@pytest.mark.parametrize(
    ("x", "options", "what"),
    [
        (RANDOM.random((40, 4, 4, 3)), {}, r"\(X \* 255\)"),
        (RANDOM.integers(0, 256, (40, 4, 4, 2)), {}, "1 or 3"),
        (np.zeros((40, 2, 2, 2, 2)), {}, "has shape"),
        (np.zeros((40, 3)), {"kind": "image"}, "no kind = 'image'"),
        (np.zeros((40, 3)), {"kind": "sound"}, "search files"),
        (np.full((40, 2), np.inf), {}, r"'x0' is inf in row 0 .*infinity"),
        (pd.DataFrame(np.zeros((40, 2)), columns=["a", "a"]), {}, "two columns 'a'"),
    ],
    ids=["fractions", "channels", "axes", "no picture", "sound", "infinite", "twice"],
)
def test_what_cannot_be_used_says_why(x, options, what):
    with pytest.raises(DataError, match=what):
        memory.raw(x, Y, labels=("no", "yes"), **options)


def test_another_shape_than_the_model_takes_is_refused():
    spec = prepared(RANDOM.normal(size=(40, 9, 2))).spec
    with pytest.raises(DataError, match=r"\(9, 3\).*\(9, 2\)"):
        memory.encode(RANDOM.normal(size=(4, 9, 3)), spec)


def test_an_experiment_on_memory_cannot_be_read_again(tmp_path):
    with pytest.raises(DataError, match="arrays of a program"):
        data.read(from_data("memory:arrays"), cache=tmp_path)
