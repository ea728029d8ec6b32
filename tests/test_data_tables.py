"""Reading tables, kinds of columns, and cells to numbers; each refusal with a case that is accepted."""

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from kexp.data import columns, kinds, tables
from kexp.errors import DataError
from kexp.records import Column, Experiment, from_json, to_json


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def kind_of(cells, name="c"):
    """The kind that a column gets beside a useful one, and what is said about it."""
    frame = pd.DataFrame({"useful": [str(i * i % 7) for i in range(len(cells))], name: cells}, dtype=object)
    found, notices = kinds.infer(frame, [f"row {i}" for i in range(len(cells))])
    return found.get(name, (None, ""))[0], " ".join(notice for notice in notices if repr(name) in notice)


# --- files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(tmp_path, separator):
    rows = [["a", "b, c", "d"], ["1", "x; y", "2"], ["3", "z\tz|", "4"]]
    file = write(tmp_path / "t.csv", "\n".join(separator.join(f'"{cell}"' for cell in row) for row in rows))
    assert tables.read_file(file).columns == {"a": ["1", "3"], "b, c": ["x; y", "z\tz|"], "d": ["2", "4"]}


def test_a_file_with_a_byte_order_mark_and_blank_lines_is_read_with_its_line_numbers(tmp_path):
    file = write(tmp_path / "t.csv", b'\xef\xbb\xbfa,b\r\n1,"two\r\nlines"\r\n\r\n3,4\r\n')
    table = tables.read_file(file)
    assert table.columns["a"] == ["1", "3"]
    assert list(table.lines) == [3, 5]


def test_one_column_and_an_unnamed_one(tmp_path):
    assert tables.read_file(write(tmp_path / "one.csv", "a\n1\n2\n")).columns == {"a": ["1", "2"]}
    assert list(tables.read_file(write(tmp_path / "t.csv", ",b\n0,5\n1,6\n")).columns) == ["column_1", "b"]


def test_parquet_cells_are_the_text_that_a_csv_has(tmp_path):
    frame = pd.DataFrame(
        {
            "count": pd.array([1, None], dtype="Int64"),
            "share": [0.5, math.nan],
            "yes": [True, False],
            "day": pd.to_datetime(["2020-01-02", "2021-03-04"]),
            "word": ["a", None],
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    cells = tables.read_file(tmp_path / "t.parquet").columns
    assert cells["count"] == ["1", ""]
    assert cells["share"][0] == "0.5" and columns.is_missing(cells["share"][1])
    assert cells["yes"] == ["True", "False"]
    assert columns.date(cells["day"][0]) == 18263
    assert cells["word"] == ["a", ""]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"  \n \n", "is empty"),
        (b"a,b\n", "has a header and no rows"),
        (b"a,b\n1,2\n3,4,5\n", r"line 3: 3 cells, the header has 2"),
        (b"a,b,c\n1,2,3\n4,5\n6,7,8\n", r"line 3: 2 cells, the header has 3"),
        (b"a,b\n1,caf\xe9\n", r"line 2: byte 9 \(0xe9\) is not UTF-8"),
        (b"1.5,2\n3,4\n", "line 1 holds numbers only"),
        (b"a,a\n3,4\n", "names the column 'a' twice"),
    ],
)
def test_a_file_that_cannot_be_a_table_is_refused(tmp_path, content, said):
    with pytest.raises(DataError, match=said) as caught:
        tables.read_file(write(tmp_path / "bad.csv", content))
    assert "bad.csv" in str(caught.value)


def test_a_broken_parquet_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"bad\.parquet is no Parquet file"):
        tables.read_file(write(tmp_path / "bad.parquet", b"PAR1 but not really"))


def test_columns_may_be_named_by_numbers_that_count_them(tmp_path):
    assert list(tables.read_file(write(tmp_path / "t.csv", "0,1,2\n5,6,7\n")).columns) == ["0", "1", "2"]


def test_pairs_of_files_are_found(tmp_path):
    train, test = write(tmp_path / "train.csv", "a,y\n1,2\n"), write(tmp_path / "test.csv", "a,y\n3,4\n")
    assert tables.find(tmp_path) == tables.find(train) == {"train": train, "test": test}
    assert tables.find(test) == {"all": test}
    val = write(tmp_path / "val.csv", "a,y\n5,6\n")
    assert tables.find(tmp_path) == {"train": train, "validation": val, "test": test}
    test.unlink()
    val.unlink()
    assert tables.find(train) == {"all": train}
    (other := tmp_path / "other").mkdir()
    assert tables.find(other) == {}
    only = write(other / "only.tsv", "a\ty\n1\t2\n")
    assert tables.find(other) == {"all": only}
    write(other / "second.csv", "a,y\n1,2\n")
    with pytest.raises(DataError, match=r"2 tables: only\.tsv, second\.csv\. Name one of them"):
        tables.find(other)
    (other / "class folder").mkdir()
    assert tables.find(other) == {}


def test_parts_of_a_file_pair(tmp_path):
    write(tmp_path / "train.csv", "a,y\n1,2\n3,4\n")
    write(tmp_path / "test.csv", "y,a\n6,5\n")  # columns in another order
    raw = tables.read(tmp_path, Experiment(name="t", data="t"))
    assert raw.parts.tolist() == [-1, -1, 2]
    assert raw.x["a"].tolist() == ["1", "3", "5"]
    assert raw.y.tolist() == [["2"], ["4"], ["6"]]
    assert raw.ids == ["train.csv row 2", "train.csv row 3", "test.csv row 2"]
    write(tmp_path / "valid.csv", "a,y\n7,8\n")
    assert tables.read(tmp_path, Experiment(name="t", data="t")).parts.tolist() == [0, 0, 1, 2]


def test_a_test_file_without_the_target_is_not_used_and_one_without_an_input_is_refused(tmp_path):
    write(tmp_path / "train.csv", "a,b,y\n1,5,2\n3,6,4\n")
    write(tmp_path / "test.csv", "a,b\n5,6\n")
    raw = tables.read(tmp_path, Experiment(name="t", data="t", target=("y",)))
    assert len(raw.ids) == 2 and raw.parts is None
    assert any("test.csv has no column 'y'" in notice for notice in raw.notices)
    write(tmp_path / "test.csv", "a,y\n5,6\n")
    with pytest.raises(DataError, match=r"test\.csv has no column 'b', but train\.csv has"):
        tables.read(tmp_path, Experiment(name="t", data="t", target=("y",)))


@pytest.mark.parametrize("field", ["target", "drop", "split_column", "group_column", "time_column"])
def test_a_column_that_is_not_there_is_refused_with_the_nearest_name(tmp_path, field):
    file = write(tmp_path / "t.csv", "income,age,y\n1,2,3\n4,5,6\n")
    value = ("incom",) if field in ("target", "drop") else "incom"
    with pytest.raises(DataError, match=r"no column 'incom'\. Did you mean 'income'"):
        tables.read(file, Experiment(name="t", data="t", **{field: value}))


def test_split_group_and_time_columns_are_no_inputs(tmp_path):
    file = write(
        tmp_path / "t.csv",
        "a,part,who,day,y\n1,train,x,2020-01-03,5\n2,val,y,2020-01-01,6\n3,Test,x,2020-01-02,7\n4,,y,2020-01-04,8\n",
    )
    experiment = Experiment(name="t", data="t", split_column="part", group_column="who", time_column="day", drop=())
    raw = tables.read(file, experiment)
    assert list(raw.x.columns) == ["a"]
    assert raw.parts.tolist() == [0, 1, 2, -1]
    assert raw.groups.tolist() == ["x", "y", "x", "y"]
    assert np.argsort(raw.times).tolist() == [1, 2, 0, 3]


def test_cells_of_split_and_time_columns_that_make_no_sense_are_refused(tmp_path):
    file = write(tmp_path / "t.csv", "a,part,day,y\n1,train,2020-01-03,5\n2,exam,soon,6\n3,test,2020-01-04,7\n")
    with pytest.raises(DataError, match=r"t\.csv row 3: part = 'exam'"):
        tables.read(file, Experiment(name="t", data="t", split_column="part"))
    with pytest.raises(DataError, match=r"t\.csv row 3: day = 'soon'"):
        tables.read(file, Experiment(name="t", data="t", time_column="day"))


# --- kinds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2.5", "", "-3e2"] * 10, "number"),
        (["3", "4", "5"] * 10, "number"),
        (["yes", "no", "NA"] * 5, "boolean"),
        (["0", "1", "1"] * 5, "boolean"),
        (["T", "F"] * 5, "boolean"),
        (["red", "green", "blue", "?"] * 5, "category"),
        (["red", ""] * 5, "category"),  # present or not says something
        (["2020-01-01", "2020-02-03T10:00:00", "2020-12-31"] * 4, "date"),
        (["31/12/2020", "01/02/2021", "15/03/2021"] * 4, "date"),
        (["2020-01", "2020-02", "2021-03"] * 4, "date"),
        (["03/31/2020", "01/02/2021", "12/15/2021"] * 4, "date"),
    ],
)
def test_kinds_of_columns(cells, kind):
    assert kind_of(cells)[0] == kind


@pytest.mark.parametrize(
    ("cells", "name", "reason"),
    [
        ([str(i) for i in range(1, 31)], "c", "numbers the rows"),
        ([str(i % 25) for i in range(50)], "Id", "numbers the rows"),
        ([str(i * 37 % 1000) for i in range(30)], "PassengerId", "numbers the rows"),
        ([f"person {i}" for i in range(30)], "c", "every text in it is different"),
        ([f"ticket {i % 25}" for i in range(30)] + [""] * 5, "c", "25 different texts"),
        (["7"] * 30, "c", "'7' in every row"),
        (["", "NA", "null", "?", "NaN", "nan", "N/A"] * 4, "c", "all its cells are missing"),
        ([f"{i},5" for i in range(15)] * 2 + [f"{i},25" for i in range(15)], "c", "comma"),
    ],
)
def test_columns_of_no_use_are_left_out_and_the_reason_is_said(cells, name, reason):
    kind, notice = kind_of(cells, name)
    assert kind is None
    assert reason in notice


def test_numbers_that_are_all_different_but_do_not_count_rows_are_kept():
    assert kind_of([str(i * 37 % 1000) for i in range(30)])[0] == "number"
    assert kind_of([str(i * 0.5) for i in range(30)])[0] == "number"
    assert kind_of([str(i) for i in range(1990, 2020)], "year")[0] == "number"
    assert kind_of([str(i % 25) for i in range(50)], "age")[0] == "number"


def test_a_column_of_many_categories_is_kept_when_fifty_of_them_are_most_rows():
    frequent = [f"city {i % 30}" for i in range(900)]
    assert kind_of(frequent + [f"village {i}" for i in range(100)])[0] == "category"
    assert kind_of(frequent[:300] + [f"village {i}" for i in range(700)])[0] is None


def test_a_few_cells_of_another_kind_are_emptied_and_named():
    cells = [str(i % 30) for i in range(99)] + ["12O"]
    frame = pd.DataFrame({"age": cells}, dtype=object)
    _, notices = kinds.infer(frame, [f"f.csv row {i}" for i in range(100)])
    assert frame["age"][99] == ""
    assert "1 cell that are no number count as missing, such as '12O' (f.csv row 99)" in notices[0]


@pytest.mark.parametrize("bad", ["inf", "-Infinity", "1e999", "1e39"])
def test_an_infinite_cell_is_refused_with_its_row(bad):
    cells = [str(i % 7) for i in range(20)]
    assert kind_of(cells)[0] == "number"
    cells[13] = bad
    with pytest.raises(DataError, match=f"row 13: c = {bad}, a finite number is expected"):
        kind_of(cells)


def test_a_table_without_useful_columns_is_refused():
    frame = pd.DataFrame({"a": ["1"] * 9, "b": [""] * 9}, dtype=object)
    with pytest.raises(DataError, match=r"No column is left as input.*'a'.*'b'"):
        kinds.infer(frame, ["r"] * 9)


def test_rows_that_mean_the_same_have_equal_keys():
    frame = pd.DataFrame({"a": ["1", "1.0", " 1", "2", "NA", ""], "b": ["x", "x ", "x", "x", "x", "x"]}, dtype=object)
    keys = kinds.row_keys(frame, {"a": ("number", ""), "b": ("category", "")})
    assert len({*keys[:3]}) == 1
    assert keys[3] != keys[0]
    assert keys[4] == keys[5] != keys[0]


# --- cells to numbers --------------------------------------------------------------------------------------


def test_numbers_are_fitted_on_present_cells_and_missing_ones_are_nan():
    column = columns.fit("age", "number", ["1", "3", "", "5"])
    assert (column.minimum, column.maximum, column.mean, column.missing) == (1, 5, 3, True)
    assert column.std == pytest.approx(np.std([1, 3, 5]))
    np.testing.assert_array_equal(columns.encode(["7", " ? ", 2.5, None, 4], column), [7, np.nan, 2.5, np.nan, 4])


def test_numbers_that_are_read_at_once_are_those_read_one_by_one():
    cells = ["1", " 2.5 ", "", "-3e2", "nan", "+.5"]
    one_by_one = [columns.number(cell) for cell in cells]
    np.testing.assert_array_equal(columns.floats(cells), one_by_one)
    assert columns.floats(["1", "NA"]) is None and columns.floats(["1_000"]) is None
    assert columns.number("1_000") is None


def test_edges_increase_strictly_in_float32_and_are_seventeen_at_most():
    column = columns.fit("x", "number", [str(i) for i in range(1000)])
    assert len(column.edges) == 17 and column.edges[0] == 0 and column.edges[-1] == 999
    skewed = columns.fit("x", "number", ["0"] * 900 + [str(1 + i * 1e-9) for i in range(100)])
    edges = np.array(skewed.edges, np.float32)
    assert (np.diff(edges) > 0).all() and len(edges) <= 17
    assert columns.fit("x", "number", ["1", "2"] * 9).edges == ()
    assert columns.fit("x", "boolean", ["no", "yes"] * 9).edges == ()


def test_a_constant_in_the_training_rows_does_not_divide_by_zero():
    column = columns.fit("x", "number", ["4", "4"])
    assert column.std == 1 and column.mean == 4
    assert columns.fit("x", "number", ["", ""]).std == 1


def test_booleans():
    column = columns.fit("smoker", "boolean", ["Yes", "No", "Yes"])
    assert column.choices == ("No", "Yes")
    assert columns.encode(["no", "YES", "NA"], column)[:2].tolist() == [0, 1]
    assert columns.encode([True, 0], column).tolist() == [1, 0]
    assert columns.fit("smoker", "boolean", ["y", "y"]).choices == ("n", "y")
    with pytest.raises(DataError, match="smoker = 'perhaps': No or Yes is expected"):
        columns.encode(["perhaps"], column)


def test_categories_are_sorted_by_frequency_then_name_and_others_are_unknown():
    column = columns.fit("c", "category", ["b", "a", "z", "z", ""])
    assert column.choices == ("z", "a", "b") and column.missing
    np.testing.assert_array_equal(columns.encode(["b", "new", " z", None], column), [2, -1, 0, np.nan])
    assert len(columns.fit("c", "category", [f"c{i}" for i in range(80)]).choices) == 50


def test_dates_are_days_since_1970():
    column = columns.fit("day", "date", ["1970-01-02", "1970-01-11", "1970-01-05"])
    assert (column.minimum, column.maximum) == (1, 10)
    assert columns.encode(["1970-01-03T12:00:00"], column)[0] == 2.5
    assert columns.encode(["1970-01-03T01:00:00+01:00"], column)[0] == 2
    day_first = columns.fit("day", "date", ["31/01/1970", "01/02/1970"], format="%d/%m/%Y")
    assert columns.encode(["01/02/1970"], day_first)[0] == 31
    with pytest.raises(DataError, match="day = 'tomorrow': a date"):
        columns.encode(["tomorrow"], column)


def test_the_format_of_dates_is_the_one_that_fits_most():
    assert columns.date_format(columns.count(["01/02/2020", "03/02/2020", "31/02/2020", "30/01/2020"])) is None
    assert columns.date_format(columns.count(["01/02/2020", "03/02/2020", "30/01/2020"])) == "%d/%m/%Y"
    assert columns.date_format(columns.count(["01/02/2020", "02/28/2020"])) == "%m/%d/%Y"
    assert columns.date_format(columns.count(["2020-02-01 10:00", "2020-02-01"])) == ""
    assert columns.date_format(columns.count(["a1", "b2"])) is None
    assert columns.date_format(columns.count([])) is None


ROW_COLUMNS = (
    columns.fit("age", "number", ["17", "90", "40"]),
    columns.fit("city", "category", ["Rome", "Oslo", ""]),
    columns.fit("joined", "date", ["2020-01-01", "2021-06-30"]),
)


def test_a_usual_row_has_no_warnings():
    values, warnings = columns.encode_row({"city": "Oslo", "age": 18, "joined": "2020-05-05"}, ROW_COLUMNS)
    assert values.dtype == np.float32 and values.tolist() == [18, 0, 18387]
    assert warnings == []
    assert columns.encode_row({"age": "20", "city": "", "joined": "2020-05-05"}, ROW_COLUMNS)[1] == []


def test_what_is_unusual_about_a_row_is_said():
    values, warnings = columns.encode_row({"age": "130", "city": "Osl", "joined": "2031-01-01"}, ROW_COLUMNS)
    assert values[0] == 130 and values[1] == -1
    assert warnings[0] == "age = 130 is outside 17..90 seen in training."
    assert "city = Osl was not seen in training (known: Oslo, Rome)" in warnings[1]
    assert warnings[2] == "joined = 2031-01-01 is outside 2020-01-01..2021-06-30 seen in training."
    values, warnings = columns.encode_row({"Age": "30", "city": "Rome", "joined": ""}, ROW_COLUMNS)
    assert np.isnan(values[0]) and np.isnan(values[2])
    assert warnings == [
        "age is not in the row: taken as missing. Did you mean 'Age'?",
        "joined has no value, and every training row had one.",
    ]


def test_a_cell_of_the_wrong_kind_counts_as_missing_as_in_training():
    for bad in ("old", math.inf):
        values, warnings = columns.encode_row({"age": bad, "city": "Rome", "joined": "2020-05-05"}, ROW_COLUMNS)
        age = [column.name for column in ROW_COLUMNS].index("age")
        assert math.isnan(values[age])
        assert any(f"age = '{bad}' cannot be read as a number: taken as missing" in text for text in warnings)


def test_a_column_survives_json():
    for column in ROW_COLUMNS:
        assert from_json(Column, to_json(column)) == column


def test_rows_are_encoded_without_pandas():
    heavy = ("pandas", "sklearn", "PIL", "keras", "tensorflow")
    code = f"import sys, kexp.data.columns; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
