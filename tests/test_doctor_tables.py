"""The doctor of tables: planted defects are found with their row and column; so are rows on both sides of a split."""

from __future__ import annotations

import numpy as np
import pytest
from doctor_cases import ROWS, constant, copied, examine, grave, named, planted, spelt, table, write


def infinite(columns):
    columns["size"] = columns["size"].astype(object)
    columns["size"][[4, 9]] = "inf"


def no_number(columns):
    columns["size"] = columns["size"].astype(object)
    columns["size"][7] = "twelve"


def mostly_missing(columns):
    columns["age"] = [str(i) if i % 4 == 0 else "" for i in range(ROWS)]


def some_missing(columns):
    columns["size"] = columns["size"].astype(object)
    columns["size"][[3, 30]] = ""


def empty(columns):
    columns["remark"] = [""] * ROWS


def identifier(columns):
    columns["id"] = np.arange(1, ROWS + 1)


def free_text(columns):
    columns["note"] = [f"the {i}th thing that was seen on a walk" for i in range(ROWS)]


def code(columns):
    columns["size"][[5, 50, 100]] = -999


def spelt_classes(columns):
    columns["answer"] = np.where(np.arange(ROWS) % 3 == 0, "maybe", columns["answer"]).astype(object)
    columns["answer"][[20, 21, 22]] = "Maybe."


def leaked(columns):
    columns["score"] = np.where(columns["answer"] == "yes", 5.0, 1.0) + np.arange(ROWS) / 100


def leaked_by_absence(columns):
    columns["refund"] = [f"{i + 0.5}" if answer == "yes" else "" for i, answer in enumerate(columns["answer"])]


def same_twice(columns):
    columns["pounds"] = (columns["weight"] * 2.2046).round(4)


def renamed(columns):
    columns["shade"] = np.array([{"red": "r", "green": "g", "blue": "b"}[one] for one in columns["colour"]])


def repeated(columns):
    for name in columns:
        columns[name][33] = columns[name][3]


def contradicting(columns):
    repeated(columns)
    columns["answer"][33] = "no" if columns["answer"][3] == "yes" else "yes"


def grouped(columns):
    columns["patient_id"] = np.array([f"P{i % 12}" for i in range(ROWS)])


def rare(columns):
    columns["answer"] = columns["answer"].astype(object)
    columns["answer"][:8] = "hardly"


def tiny(columns):
    columns["answer"] = columns["answer"].astype(object)
    columns["answer"][[60, 61]] = "never"


def unlabelled(columns):
    columns["answer"] = columns["answer"].astype(object)
    columns["answer"][17] = ""


@pytest.mark.parametrize("written", ["{0},{1:02}", "{0},200.{1:02}", "${0}.{1:02}", "{0}.{1:02} €", "{0} kg"])
def test_numbers_that_are_written_otherwise_are_no_names_of_rows(tmp_path, written):
    """A column of prices was said to number the rows, and left out."""
    columns = table()
    columns["price"] = np.array(['"' + written.format(i % 7 + 1, i % 100) + '"' for i in range(ROWS)])
    found = examine(write(tmp_path / "shop.csv", columns), tmp_path, target=["answer"])
    (one,) = [one for one in found if one.name == "written_otherwise"]
    assert (one.severity, one.count, one.where[0]) == ("warning", ROWS, "shop.csv row 2")


@pytest.mark.parametrize(
    "written", ["612 345 {0:03}", "+420 601 234 {0:03}", "110 {0:03}", "192.168.101.{0:03}", "{1}G"]
)
def test_names_of_digits_are_not_taken_for_numbers(tmp_path, written):
    """Telephone numbers, postal codes, addresses of machines, 4G: to write them as 1234.5 would be nonsense."""
    columns = table()
    columns["name"] = np.array([written.format(100 + i, 2 + i % 4) for i in range(ROWS)])
    found = examine(write(tmp_path / "shop.csv", columns), tmp_path, target=["answer"])
    assert "written_otherwise" not in {one.name for one in found}


@pytest.mark.parametrize(
    ("plant", "name", "severity", "where"),
    [
        (infinite, "infinite_cells", "error", "planted.csv row 6"),
        (no_number, "unreadable_cells", "warning", "planted.csv row 9"),
        (mostly_missing, "mostly_missing", "warning", "age"),
        (some_missing, "missing_cells", "note", "planted.csv row 5, size"),
        (empty, "empty_column", "note", "remark"),
        (constant, "constant_column", "note", "unit"),
        (identifier, "identifier_column", "note", "id"),
        (free_text, "text_column", "note", "note"),
        (code, "missing_code", "note", "planted.csv row 7"),
        (spelt, "spellings", "warning", "planted.csv row 13"),
        (spelt_classes, "class_spellings", "warning", "planted.csv row 22"),
        (copied, "target_copy", "error", "verdict"),
        (leaked, "target_leak", "warning", "score"),
        (leaked_by_absence, "target_leak", "warning", "refund"),
        (same_twice, "twin_columns", "note", "weight"),
        (renamed, "twin_columns", "note", "shade"),
        (repeated, "twins", "note", "planted.csv row 5 = planted.csv row 35"),
        (contradicting, "contradictions", "note", "planted.csv row 5"),
        (grouped, "group_like_column", "note", "patient_id"),
        (rare, "few_samples", "warning", "hardly"),
        (rare, "unequal_classes", "warning", "hardly"),
        (tiny, "tiny_classes", "error", "planted.csv row 62"),
        (unlabelled, "no_target", "note", "planted.csv row 19"),
    ],
)
def test_a_defect_of_a_table_is_found_and_nothing_else_is_called_grave(tmp_path, plant, name, severity, where):
    columns = table()
    plant(columns)
    found = examine(write(tmp_path / "planted.csv", columns), tmp_path, target=["answer"])
    one = planted(found, name, severity, "few_samples", "unequal_classes", "mostly_missing")
    assert any(where in place for place in (*one.where, one.what)), one
    assert one.advice


def test_a_number_to_predict_under_another_name_is_a_copy_and_a_function_of_it_a_leak(tmp_path):
    columns = table()
    columns["price"] = (columns["size"] * columns["weight"]).round(2)
    columns["cost"] = columns["price"]
    columns["tax"] = (columns["price"] ** 1.5).round(4)
    del columns["answer"]
    found = examine(write(tmp_path / "prices.csv", columns), tmp_path, target=["price"])
    assert (named(found, "target_copy").severity, named(found, "target_copy").where) == ("error", ("cost",))
    assert named(found, "target_leak").where == ("tax",)


def test_a_target_that_was_cut_off_at_a_largest_value_is_named(tmp_path):
    columns = table()
    columns["price"] = np.minimum((columns["size"] * columns["weight"]).round(2), 620)
    del columns["answer"]
    one = named(examine(write(tmp_path / "prices.csv", columns), tmp_path, target=["price"]), "capped_target")
    rows = np.flatnonzero(columns["price"] == 620)
    assert set(one.where) <= {f"prices.csv row {row + 2}" for row in rows}
    assert 10 <= one.count <= len(rows)  # test rows are not looked at


def test_of_a_rare_class_a_column_that_only_guesses_the_common_one_is_no_leak(tmp_path):
    columns = table()
    columns["answer"] = np.where(np.arange(ROWS) % 40 == 0, "yes", "no")
    found = examine(write(tmp_path / "rare.csv", columns), tmp_path, target=["answer"])
    assert not [one for one in found if "target" in one.name]


def test_rows_that_differ_in_nothing_but_the_answer_make_training_meaningless(tmp_path):
    columns = {"colour": np.array(["red", "blue"])[np.arange(ROWS) // 2 % 2], "answer": np.arange(ROWS) % 2}
    assert (
        named(examine(write(tmp_path / "coin.csv", columns), tmp_path, target=["answer"]), "contradictions").severity
        == "error"
    )


def test_every_broken_line_is_found_at_once_and_the_rest_is_still_examined(tmp_path):
    columns = table()
    columns["verdict"] = np.where(columns["answer"] == "yes", "B", "A")
    path = write(tmp_path / "broken.csv", columns)
    lines = path.read_bytes().split(b"\n")
    lines[3] += b",more"
    lines[8] = b"1,2"
    lines[20] = lines[20].replace(b",", b"\xe4,", 1)
    lines[30] = b"\0" + lines[30]
    path.write_bytes(b"\n".join(lines))
    found = examine(path, tmp_path, target=["answer"])
    assert named(found, "ragged_rows").where == ("broken.csv row 4", "broken.csv row 9")
    assert named(found, "not_utf8").where == ("broken.csv row 21",)
    assert named(found, "nul_bytes").where == ("broken.csv row 31",)
    assert named(found, "target_copy").where == ("verdict",)
    assert not [one for one in found if one.name == "refused"]


def test_a_column_named_twice_does_not_hide_the_others(tmp_path):
    path = write(tmp_path / "twice.csv", table())
    path.write_text(path.read_text().replace("size,weight", "size,size", 1))
    found = examine(path, tmp_path, target=["answer"])
    assert named(found, "column_named_twice").where == ("size",)
    assert len(grave(found)) == 1


def test_a_quoted_cell_of_several_lines_keeps_the_line_numbers(tmp_path):
    path = tmp_path / "quoted.csv"
    rows = [f'{i},"a\nb {i % 3}",{"yes" if i % 2 else "no"}' for i in range(40)]
    path.write_text("\n".join(["size,text,answer", *rows, "1,2"]) + "\n")
    assert named(examine(path, tmp_path, target=["answer"]), "ragged_rows").where == ("quoted.csv row 82",)


@pytest.mark.parametrize(("text", "name"), [("", "empty_file"), ("a,b\n", "refused"), ("1,2\n3,4\n", "refused")])
def test_a_table_that_is_none_is_an_error(tmp_path, text, name):
    (tmp_path / "none.csv").write_text(text)
    assert named(examine(tmp_path / "none.csv", tmp_path), name).severity == "error"


def test_a_constant_target_is_refused_and_the_columns_are_still_looked_at(tmp_path):
    columns = table() | {"answer": np.array(["no"] * ROWS), "unit": np.array(["kg"] * ROWS)}
    found = examine(write(tmp_path / "same.csv", columns), tmp_path, target=["answer"])
    assert "nothing to learn" in named(found, "refused").what
    assert named(found, "constant_column").where == ("unit",)


# -- parts, groups, times --------------------------------------------------------------------------


def test_test_rows_that_are_training_rows_too_are_found(tmp_path):
    columns = table()
    whole = {name: values[:200] for name, values in columns.items()}
    test = {name: np.concatenate([values[200:], values[10:13]]) for name, values in columns.items()}
    write(tmp_path / "set" / "train.csv", whole)
    write(tmp_path / "set" / "test.csv", test)
    one = named(examine(tmp_path / "set", tmp_path, target=["answer"]), "twins_across_test")
    assert (one.severity, one.count, one.where[0]) == ("warning", 3, "test.csv row 42 = train.csv row 12")


def test_where_most_test_rows_are_training_rows_the_score_is_meaningless(tmp_path):
    columns = table()
    write(tmp_path / "set" / "train.csv", columns)
    write(tmp_path / "set" / "test.csv", {name: values[:40] for name, values in columns.items()})
    assert named(examine(tmp_path / "set", tmp_path, target=["answer"]), "twins_across_test").severity == "error"


def test_groups_that_the_data_s_own_parts_cut_are_named(tmp_path):
    columns = table()
    columns["who"] = np.array([f"P{i // 20}" for i in range(ROWS)])
    columns["part"] = np.where(np.arange(ROWS) < 190, "train", "test")  # P9 has rows on both sides
    path = write(tmp_path / "cut.csv", columns)
    found = examine(path, tmp_path, target=["answer"], split_column="part", group_column="who")
    assert named(found, "groups_across_parts").where == ("P9",)
    columns["part"] = np.where(np.arange(ROWS) < 200, "train", "test")
    assert (
        grave(examine(write(path, columns), tmp_path, target=["answer"], split_column="part", group_column="who")) == []
    )


def test_test_rows_older_than_training_rows_are_named(tmp_path):
    columns = table()
    columns["taken"] = np.array([f"2024-{1 + i // 28 % 12:02}-{1 + i % 28:02}" for i in range(ROWS)])
    columns["part"] = np.where(np.isin(np.arange(ROWS), (5, 6)) | (np.arange(ROWS) > 200), "test", "train")
    path = write(tmp_path / "times.csv", columns)
    options = {"target": ["answer"], "split_column": "part", "time_column": "taken"}
    assert named(examine(path, tmp_path, **options), "time_order").where == ("times.csv row 7", "times.csv row 8")
    columns["part"] = np.where(np.arange(ROWS) > 200, "test", "train")
    assert grave(examine(write(path, columns), tmp_path, **options)) == []
