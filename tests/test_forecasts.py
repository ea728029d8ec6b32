"""Forecasts: windows and what follows them, without a look ahead, and the naive forecasts beside them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from kexp import forecasts
from kexp.data import describe, horizons, load, read, samples
from kexp.errors import DataError, ExperimentError
from kexp.records import Experiment

NAN = float("nan")


def experiment(data="sales.csv", **options):
    return Experiment(name="x", data=data, **options)


def dataset(tmp_path, **options):
    return load(experiment(**options), base=tmp_path, cache=tmp_path / "cache")


def raw(tmp_path, **options):
    return read(experiment(**options), base=tmp_path, cache=tmp_path / "cache")


def said(found):
    return " ".join(found.notices)


def days(count):
    return (np.datetime64("2023-01-01") + np.arange(count)).astype(str)


def sales(tmp_path, rows=120, values=None, header="day,sold", name="sales.csv"):
    """Each day's number is its place, so that a window says which days it has."""
    values = [str(float(i)) for i in range(rows)] if values is None else values
    (tmp_path / name).write_text("\n".join([header, *(f"{d},{v}" for d, v in zip(days(rows), values, strict=True))]))
    return tmp_path / name


def waves(count, period, noise=0.1):
    draw = np.random.default_rng(0)
    return [f"{v:.4f}" for v in np.sin(2 * np.pi * np.arange(count) / period) + noise * draw.standard_normal(count)]


# --- the naive forecast ---------------------------------------------------------------------------


def test_the_naive_forecast_by_hand():
    x = np.arange(12.0).reshape(1, 6, 2)  # steps 0..5: channel 0 is 0 2 4 6 8 10, channel 1 is 1 3 5 7 9 11
    assert forecasts.naive(x, horizon=3, season=1, channels=(0,)).tolist() == [[10, 10, 10]]
    assert forecasts.naive(x, horizon=5, season=3, channels=(1,)).tolist() == [[7, 9, 11, 7, 9]]
    assert forecasts.naive(x, horizon=2, season=2, channels=(1, 0)).tolist() == [[9, 11, 8, 10]]
    assert forecasts.places(6, 2, 4, (0,)) == [(2, 0), (3, 0)]


def test_the_errors_are_those_of_a_forecast_made_by_hand(tmp_path):
    sales(tmp_path, 200, waves(200, 12))
    data = dataset(tmp_path, steps=24, horizon=2)
    x, y = data.take("validation")
    by_hand = {
        "the value before": np.stack([x[:, -1, 0]] * 2, axis=1),
        "12 steps earlier": np.stack([x[:, -12, 0], x[:, -11, 0]], axis=1),
    }
    found = forecasts.errors(data.spec, x, y)
    assert set(found) == set(by_hand)
    for name, outputs in by_hand.items():
        assert found[name] == pytest.approx(np.sqrt(np.mean((outputs.astype(float) - y) ** 2)))
    assert data.spec.seasons == (12, 1)
    np.testing.assert_array_equal(forecasts.base(data.spec, x), by_hand["12 steps earlier"])


def test_the_naive_errors_on_training_rows_are_said(tmp_path):
    sales(tmp_path, 200, waves(200, 12))
    data = dataset(tmp_path, steps=24)
    x, y = data.take("train")
    one, twelve = (float(np.sqrt(np.mean((x[:, -k, 0].astype(float) - y[:, 0]) ** 2))) for k in (1, 12))
    expected = f"12 steps earlier (RMSE {twelve:.4g} on training rows) or before (RMSE {one:.4g} on training rows)"
    assert expected in said(data)


@pytest.mark.parametrize(("period", "noise", "season"), [(12, 0.1, 12), (7, 0.3, 7), (3, 0.1, 3), (40, 0.05, 40)])
@pytest.mark.parametrize("trend", [0.0, 0.05])
def test_the_season_of_a_sine_is_found_also_with_a_trend(period, noise, season, trend):
    values = np.array(waves(400, period, noise), float) + trend * np.arange(400)
    assert horizons._season(values, 128) == season


@pytest.mark.parametrize("seed", range(20))
def test_noise_a_walk_and_a_constant_have_no_season(seed):
    noise = np.random.default_rng(seed).standard_normal(300)
    assert horizons._season(noise, 128) == horizons._season(np.cumsum(noise), 128) == 1
    assert horizons._season(np.ones(300), 128) == horizons._season(np.arange(5.0), 128) == 1


def test_a_season_longer_than_the_network_looks_back_is_not_used(tmp_path):
    sales(tmp_path, 200, waves(200, 12))
    assert dataset(tmp_path, steps=6).spec.seasons == (1,)
    assert dataset(tmp_path).spec.shape == (24, 1)


def test_the_season_of_a_very_long_series_is_found():
    """Of 300,000 rows; what takes the square of their number would not end."""
    assert horizons._season(np.sin(np.arange(300_000) * 2 * np.pi / 24), 128) == 24


# --- windows and what follows ---------------------------------------------------------------------


def test_a_date_and_a_number_are_a_forecast_of_the_next_value(tmp_path):
    sales(tmp_path)
    data = dataset(tmp_path)
    spec = data.spec
    assert (spec.kind, spec.task, spec.horizon, spec.labels, spec.channels) == (
        "series", "regression", 1, ("sold +1",), ("sold",)
    )  # fmt: skip
    assert spec.shape == (24, 1) and spec.forecast == (0,)
    np.testing.assert_array_equal(data.y[:, 0], data.x[:, -1, 0] + 1)
    assert (np.diff(data.x[:, :, 0], axis=1) == 1).all()
    assert data.ids[0] == "after sales.csv row 25"
    assert "A forecast of the next value of sold from the last 24 rows" in said(data)
    assert dict(describe(data))["size"] == "24 steps of sold"


@pytest.mark.parametrize("horizon", [1, 3, 7])
def test_no_training_window_foretells_what_validates(tmp_path, horizon):
    sales(tmp_path, 200)
    data = dataset(tmp_path, horizon=horizon, steps=10)
    np.testing.assert_array_equal(data.y, data.x[:, -1:, 0] + np.arange(1, horizon + 1))
    train, validation, test = (data.y[data.rows(part)] for part in ("train", "validation", "test"))
    assert train.max() < validation.min() and validation.max() < test.min()
    assert len(data.y) == 200 - 10 - horizon + 1 - 2 * (horizon - 1)  # those that lie across two bounds are left out
    assert len(train) / len(data.y) == pytest.approx(0.7, abs=0.03)


def test_several_columns_and_several_targets(tmp_path):
    values = [f"{i + 3},{i / 2},{'sun' if i % 2 else 'rain'}" for i in range(150)]
    sales(tmp_path, 150, values, "day,visitors,sold,weather")
    data = dataset(tmp_path, horizon=2, steps=10, target=("sold",))
    assert data.spec.channels == ("visitors", "sold") and data.spec.forecast == (1,)
    assert data.spec.labels == ("sold +1", "sold +2")
    np.testing.assert_array_equal(data.y[:, 0], data.x[:, -1, 1] + 0.5)
    assert "'weather' is left out: it holds text" in said(data)
    both = dataset(tmp_path, horizon=2, steps=10, target=("sold", "visitors"))
    assert both.spec.forecast == (1, 0)
    assert both.spec.labels == ("sold +1", "sold +2", "visitors +1", "visitors +2")
    np.testing.assert_array_equal(both.y[:, 3], both.x[:, -1, 0] + 2)


def test_which_of_several_numbers_is_foretold_is_guessed_and_said(tmp_path):
    sales(tmp_path, 150, [f"{i + 3},{i / 2}" for i in range(150)], "day,visitors,sold")
    data = dataset(tmp_path, horizon=2)
    assert data.spec.target == "sold +1, sold +2"
    assert "What is foretold is guessed: 'sold', the last column of numbers. --target NAME says." in said(data)
    assert "guessed" not in said(dataset(tmp_path, horizon=2, target=("visitors",)))
    assert dataset(tmp_path, drop=("sold",), horizon=1).spec.target == "visitors +1"


def test_two_numbers_and_a_date_without_a_horizon_are_a_table_and_what_else_they_may_be_is_said(tmp_path):
    path = sales(tmp_path, 150, [f"{i * 7 % 31},{i / 2}" for i in range(150)], "day,visitors,sold")
    text = "Rows are in the order of 'day': --time-column day tests on the newest, --horizon N foretells"
    assert raw(tmp_path).kind == "table" and text in said(raw(tmp_path))
    assert text not in said(raw(tmp_path, time_column="day"))
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([head, *lines[::-1]]))
    assert text in said(raw(tmp_path))
    path.write_text("\n".join([head, *lines[75:], *lines[:75]]))
    assert text not in said(raw(tmp_path))


def test_numbers_with_a_comma_are_said_to_be_none(tmp_path):
    (tmp_path / "sales.csv").write_text("\n".join(["day;sold", *(f"{d};{i},5" for i, d in enumerate(days(60)))]))
    with pytest.raises(DataError, match="have a comma where a point is expected, in 'sold': replace it"):
        raw(tmp_path)


def test_each_group_is_a_series_of_its_own(tmp_path):
    lines = [f"{d},{shop},{1000 * s + i}" for i, d in enumerate(days(80)) for s, shop in enumerate("abc")]
    (tmp_path / "sales.csv").write_text("\n".join(["day,shop,sold", *lines]))
    data = dataset(tmp_path, horizon=2, steps=8, group_column="shop")
    assert data.spec.channels == ("sold",)
    assert (np.diff(data.x[:, :, 0], axis=1) == 1).all() and (data.y[:, 0] == data.x[:, -1, 0] + 1).all()
    day = data.y % 1000
    assert day[data.rows("train")].max() < day[data.rows("validation")].min()
    assert {int(value) for value in data.y[data.rows("test")][:, 0] // 1000} == {0, 1, 2}
    few = lines + [f"{d},late,{5000 + i}" for i, d in enumerate(days(9))]
    (tmp_path / "sales.csv").write_text("\n".join(["day,shop,sold", *few]))
    again = dataset(tmp_path, horizon=2, steps=8, group_column="shop")
    assert len(again.y) == len(data.y) and "1 of 4 series are left out: they have fewer than 20 rows" in said(again)


def test_groups_that_nobody_named_are_refused(tmp_path):
    lines = [f"{d},{1000 * s + i}" for i, d in enumerate(days(80)) for s in range(3)]
    (tmp_path / "sales.csv").write_text("\n".join(["day,sold", *lines]))
    with pytest.raises(DataError, match=r"160 of 240 rows have the same moment .*row 2 and .*row 3.*--group-column"):
        raw(tmp_path)


@pytest.mark.parametrize("turn", ["reversed", "shuffled"])
def test_rows_are_brought_into_the_order_of_time(tmp_path, turn):
    path = sales(tmp_path)
    right = dataset(tmp_path)
    head, *lines = path.read_text().splitlines()
    order = np.arange(120)[::-1] if turn == "reversed" else np.random.default_rng(0).permutation(120)
    path.write_text("\n".join([head, *(lines[i] for i in order)]))
    found = dataset(tmp_path)
    np.testing.assert_array_equal(found.x, right.x)
    np.testing.assert_array_equal(found.part, right.part)


def test_dates_with_a_time_zone_are_in_the_order_of_moments(tmp_path):
    zones = ("+02:00", "+01:00")
    moments = [f"2024-10-27T0{h}:{m:02}:00{zone}" for zone in zones for h in (1, 2) for m in range(0, 60, 2)]
    moments = moments[:60] + moments[90:]  # 1:00 to 2:58 summer time, then 2:00 to 2:58 winter time
    lines = [f"{moment},{i}" for i, moment in enumerate(moments)]
    (tmp_path / "sales.csv").write_text("\n".join(["when,load", *lines[45:], *lines[:45]]))
    data = dataset(tmp_path)
    assert (np.diff(data.x[:, :, 0], axis=1) == 1).all() and len(data.y) > 50


def test_gaps_between_the_dates_are_said(tmp_path):
    path = sales(tmp_path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:40] + lines[50:]))
    assert "1 row is further behind the row before than usual, up to 11 times" in said(dataset(tmp_path))
    sales(tmp_path)
    assert "further behind" not in said(dataset(tmp_path))


def test_a_missing_value_is_the_one_before_and_is_never_foretold(tmp_path):
    values = [str(float(i)) for i in range(120)]
    values[0] = values[50] = values[51] = "NA"
    values[119] = ""
    path = sales(tmp_path, values=values)
    assert path.exists()
    data = dataset(tmp_path, steps=5, horizon=2)
    assert "4 missing values were taken from the row before; none of them is foretold" in said(data)
    foretold = set(data.y.ravel().tolist())
    assert foretold.isdisjoint({0.0, 50.0, 51.0, 119.0}) and data.x.min() == 1
    after = data.x[(data.x == 49).any(axis=1)[:, 0]]
    assert len(after) and set(after.ravel().tolist()).isdisjoint({49.5, 50.0, 50.5, 51.0})
    assert [48.0, 49.0, 49.0, 49.0, 52.0] in data.x[:, :, 0].tolist()


def test_a_window_tells_nothing_of_later_rows(tmp_path):
    """Later rows changed, missing or not: the windows before them are the same."""
    values = [str(float(i)) for i in range(120)]
    values[59] = ""
    sales(tmp_path, values=values)
    first = raw(tmp_path, steps=6)
    sales(tmp_path, values=values[:60] + ["1000"] * 60)
    second = raw(tmp_path, steps=6)
    upto = [i for i, name in enumerate(first.ids) if int(name.rsplit(" ", 1)[1]) <= 61]
    assert len(upto) > 40 and first.ids[upto[-1]] == second.ids[upto[-1]] == "after sales.csv row 61"
    np.testing.assert_array_equal(first.x[upto], second.x[upto])


def test_parts_that_the_rows_name_decide(tmp_path):
    parts = ["train"] * 90 + ["val"] * 20 + ["test"] * 40
    values = [f"{float(i)},{part}" for i, part in enumerate(parts)]
    sales(tmp_path, 150, values, "day,sold,part")
    data = dataset(tmp_path, horizon=3, steps=8, split_column="part")
    for part, low, high in (("train", 8, 90), ("validation", 90, 110), ("test", 110, 150)):
        y = data.y[data.rows(part)]
        assert (y.min(), y.max(), len(y)) == (low, high - 1, high - low - 2)
    assert "The data say themselves which rows train." in said(data)
    sales(tmp_path, 150, [value.replace("val", "train") for value in values], "day,sold,part")
    data = dataset(tmp_path, horizon=3, steps=8, split_column="part")
    train, validation, test = (data.y[data.rows(part)] for part in ("train", "validation", "test"))
    assert train.max() < validation.min() < validation.max() < 110 <= test.min()


def test_train_and_test_files_bring_their_parts(tmp_path):
    sales(tmp_path, 100, name="train.csv")
    lines = [f"2024-01-{d:02},{d + 500}" for d in range(1, 31)]
    (tmp_path / "test.csv").write_text("\n".join(["day,sold", *lines]))
    data = dataset(tmp_path, data=".", horizon=1, steps=5)
    assert set(data.y[data.rows("test")].ravel().tolist()) == set(range(501, 531))
    assert data.y[data.rows("train")].max() < data.y[data.rows("validation")].min() < 100


def test_the_column_of_times_may_be_numbers(tmp_path):
    lines = [f"{1900 + i},{i * i % 17},{i}" for i in range(100)]
    (tmp_path / "sales.csv").write_text("\n".join(["year,rain,level", *lines]))
    data = dataset(tmp_path, horizon=1, time_column="year", target=("level",))
    assert data.spec.channels == ("rain", "level") and (data.y[:, 0] == data.x[:, -1, 1] + 1).all()


def test_without_times_rows_are_as_they_come(tmp_path):
    (tmp_path / "sales.csv").write_text("\n".join(["level", *(str(i / 2) for i in range(100))]))
    data = dataset(tmp_path, horizon=1)
    assert (data.y[:, 0] == data.x[:, -1, 0] + 0.5).all()
    assert data.y[data.rows("train")].max() < data.y[data.rows("validation")].min()


def test_windows_may_begin_further_apart(tmp_path, monkeypatch):
    sales(tmp_path, 200)
    data = dataset(tmp_path, steps=10, stride=4)
    assert set(np.diff(data.x[:, 0, 0]).tolist()) == {4.0}
    assert "One window begins every 4 rows" in said(data)
    monkeypatch.setattr(horizons, "MOST_WINDOWS", 70)
    assert "One window begins every 3 rows" in said(dataset(tmp_path, steps=10))


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (12, {}, r"12 rows are too few to look back on 2 and foretell 1: 13 are expected"),
        (120, {"steps": 200}, r"120 rows are too few to look back on 200 and foretell 1: 211 are expected"),
        (60, {"steps": 10, "horizon": 20}, r"forecasts leave none for the validation part"),
    ],
)
def test_too_few_rows_are_refused(tmp_path, rows, options, message):
    sales(tmp_path, rows)
    with pytest.raises(DataError, match=message):
        dataset(tmp_path, **options)


def test_few_rows_look_back_less(tmp_path):
    sales(tmp_path, 30)
    assert dataset(tmp_path).x.shape == (24, 6, 1)


def test_what_is_no_number_is_not_foretold(tmp_path):
    sales(tmp_path, 100, [f"{i},{'low' if i % 2 else 'high'}" for i in range(100)], "day,sold,level")
    with pytest.raises(DataError, match=r"sales\.csv row 2: level = 'high' is no number, and only numbers"):
        raw(tmp_path, horizon=1, target=("level",))
    with pytest.raises(DataError, match=r"has no column 'sale'.*Did you mean 'sold'"):
        raw(tmp_path, horizon=1, target=("sale",))
    with pytest.raises(ExperimentError, match=r'task = "multiclass": a forecast \(horizon\) is a regression'):
        raw(tmp_path, horizon=1, task="multiclass", target=("sold",))
    with pytest.raises(ExperimentError, match='kind = "table" has no horizon'):
        raw(tmp_path, horizon=1, kind="table")
    (tmp_path / "sales.csv").write_text("\n".join(["day,word", *(f"{d},w{i % 3}" for i, d in enumerate(days(60)))]))
    with pytest.raises(DataError, match=r"sales\.csv has no column of numbers: there is nothing to foretell"):
        raw(tmp_path, horizon=1)
    sales(tmp_path, 100, ["inf" if i == 40 else str(i / 2) for i in range(100)])
    with pytest.raises(DataError, match=r"sales\.csv row 42: sold is infinite"):
        raw(tmp_path)
    sales(tmp_path, 100, ["" if i % 2 else str(i / 2) for i in range(100)])
    with pytest.raises(DataError, match="No window has known values behind it"):
        raw(tmp_path, horizon=2)


# --- kexp run -------------------------------------------------------------------------------------


def test_kexp_run_takes_the_file_that_was_trained_on(tmp_path):
    path = sales(tmp_path)
    data = dataset(tmp_path, horizon=2, steps=10)
    (sample,) = samples.read(path, data.spec)
    assert sample.x[:, 0].tolist() == list(range(110, 120)) and not sample.warnings
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([head, *lines[::-1]]))  # the newest first, as banks write it
    assert next(samples.read(path, data.spec)).x[:, 0].tolist() == list(range(110, 120))
    for i in (3, 60, len(data.y) - 1):  # of the rows up to a window, it is the window
        last = int(re.search(r"row (\d+)", data.ids[i])[1]) - 2
        path.write_text("\n".join([head, *lines[: last + 1]]))
        np.testing.assert_array_equal(next(samples.read(path, data.spec)).x, data.x[i])
    path.write_text("\n".join([head, *lines[:5]]))
    with pytest.raises(DataError, match=r"has 5 rows, the forecast looks back on 10"):
        list(samples.read(path, data.spec))


def test_kexp_run_carries_values_as_training_did(tmp_path):
    values = [str(float(i)) for i in range(120)]
    values[114] = values[115] = "?"
    path = sales(tmp_path, values=values)
    data = dataset(tmp_path, steps=10)
    (sample,) = samples.read(path, data.spec)
    assert sample.x[:, 0].tolist() == [110, 111, 112, 113, 113, 113, 116, 117, 118, 119]
    assert sample.warnings == ["2 missing values were taken from the row before"]
    path.write_text(path.read_text().replace("2023-03-01", "soon"))
    with pytest.raises(DataError, match=r"sales\.csv line 61: day = 'soon' is no date"):
        list(samples.read(path, data.spec))


def test_what_is_written_is_exact(tmp_path):
    sales(tmp_path, 200, waves(200, 12))
    data = dataset(tmp_path, steps=12)
    written = samples.SAMPLES["series"].write(data.x[5], data.spec, tmp_path / "golden")
    np.testing.assert_array_equal(next(samples.read(written, data.spec)).x, data.x[5])
