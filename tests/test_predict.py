"""`kexp run`: a user's own files through an exported file, with what is unusual told, and no TensorFlow."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest
import small_models

from kexp import predict
from kexp.errors import DataError, ExportError
from kexp.export import golden, metadata
from kexp.records import DatasetSpec, to_json
from kexp.runtime import open_runtime
from kexp.runtime.protocol import AbstractRuntime


@pytest.fixture(scope="module")
def digits():
    return small_models.digits()


@pytest.fixture(scope="module")
def people():
    return small_models.people()


def pictures(exported):
    return sorted((exported.release.folder / "golden").glob("*.png"))


@pytest.mark.parametrize("file", ["model_float32.tflite", "model_int8.tflite", "model_uint8.tflite", "model.keras"])
def test_pictures_get_labels_and_probabilities(digits, file):
    files = pictures(digits)
    found = predict.run(digits.release.folder / file, files, top=3)
    expected, _ = golden.load_expected(digits.release.folder / "golden")
    assert [answer.source for answer in found] == [str(path) for path in files]
    for answer, outputs in zip(found, expected, strict=True):
        assert len(answer.values) == 3 and list(answer.values.values()) == sorted(answer.values.values(), reverse=True)
        assert answer.label == next(iter(answer.values)) == str(outputs.argmax())
        assert abs(answer.values[answer.label] - outputs.max()) < 0.1
        assert answer.ms > 0 and answer.p50_ms is None and answer.warnings == ()


def test_a_saved_model_is_described_by_the_export_beside_it(digits):
    (answer,) = predict.run(digits.release.folder / "saved_model", pictures(digits)[:1])
    (twin,) = predict.run(digits.release.folder / "model_float32.tflite", pictures(digits)[:1])
    assert answer.label == twin.label


def test_a_lone_file_is_enough(digits, tmp_path):
    shutil.copy(digits.release.folder / "model_int8.tflite", tmp_path / "any.tflite")
    assert predict.run(tmp_path / "any.tflite", pictures(digits)[:1])[0].label


def test_repetitions_are_summed_up(digits):
    (answer,) = predict.run(digits.release.folder / "model_int8.tflite", pictures(digits)[:1], repeat=20)
    assert 0 < answer.p50_ms <= answer.p95_ms and to_json(answer)["p50_ms"] == answer.p50_ms


def test_arrays_are_raw_samples(digits, tmp_path):
    x = np.asarray(digits.dataset.x[:4])
    np.save(tmp_path / "four.npy", x)
    np.save(tmp_path / "one.npy", x[0])
    np.save(tmp_path / "scaled.npy", x[:1] / 255)
    model = digits.release.folder / "model_float32.tflite"
    found = predict.run(model, [tmp_path / "four.npy", tmp_path / "one.npy", tmp_path / "scaled.npy"], top=10)
    assert [answer.source.split("/")[-1] for answer in found] == [
        *(f"four.npy sample {i}" for i in range(4)), "one.npy sample 0", "scaled.npy sample 0",
    ]  # fmt: skip
    assert found[0].values == found[4].values and "0 to 255" in found[5].warnings[0] and not found[0].warnings
    expected = open_runtime(model).predict(x)
    for answer, outputs in zip(found, expected, strict=False):
        assert [answer.values[str(i)] for i in range(10)] == pytest.approx(outputs.tolist(), abs=1e-6)


HEADER = "city,age,member,joined,income"


def rows(tmp_path, *lines, header=HEADER):
    (tmp_path / "rows.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return [tmp_path / "rows.csv"]


def test_rows_are_encoded_and_what_is_unusual_is_told(people, tmp_path):
    model = people.release.folder / "model_int8.tflite"
    usual, far, unknown, missing = predict.run(
        model,
        rows(tmp_path, "Bonn,60,yes,2021-03-01,3000", "Bonn,700,yes,2021-03-01,3000",
             "Paris,60,yes,2021-03-01,3000", "Bonn,,?,2021-03-01,3000"),
    )  # fmt: skip
    assert usual.source.endswith("rows.csv line 2") and usual.label == "yes" and usual.warnings == ()
    assert sum(usual.values.values()) == pytest.approx(1) and set(usual.values) == {"yes", "no"}
    assert "age = 700 is outside" in far.warnings[0] and "Paris was not seen" in unknown.warnings[0]
    assert [warning.split()[0] for warning in missing.warnings] == ["member"]  # an age was missing in training too


def test_the_golden_rows_get_the_expected_answers(people):
    folder = people.release.folder
    _, outputs = golden.load_expected(folder / "golden")
    found = predict.run(folder / "model_int8.tflite", [folder / "golden" / "rows.csv"])
    assert [answer.values["yes"] for answer in found] == pytest.approx(outputs["tflite_int8"][:, 0].tolist(), abs=0.02)


def test_a_regression_answers_in_its_own_units():
    exported = small_models.diabetes()
    folder = exported.release.folder
    found = predict.run(folder / "model_float32.tflite", [folder / "golden" / "rows.csv"])
    _, outputs = golden.load_expected(folder / "golden")
    (name,) = exported.dataset.spec.labels
    assert [answer.values[name] for answer in found] == pytest.approx(
        outputs["tflite_float32"][:, 0].tolist(), rel=1e-4
    )
    assert {answer.label for answer in found} == {""} and found[0].values[name] > 1e5


class Fixed(AbstractRuntime):
    """Answers what it was told."""

    def __init__(self, *outputs):
        self.outputs, self.shape = np.array([outputs], np.float32), (1,)

    def predict(self, x):
        return np.repeat(self.outputs, len(x), axis=0)


@pytest.mark.parametrize(
    ("task", "labels", "outputs", "label", "values"),
    [
        ("binary", ("no", "yes"), (0.25,), "no", ["no", "yes"]),
        ("binary", ("no", "yes"), (0.5,), "yes", ["yes", "no"]),
        ("multiclass", ("a", "b", "c"), (0.2, 0.5, 0.3), "b", ["b", "c"]),
        ("multilabel", ("a", "b", "c"), (0.6, 0.1, 0.9), "a, c", ["c", "a"]),
        ("multilabel", ("a", "b", "c"), (0.1, 0.2, 0.3), "", ["c", "b"]),
    ],
)
def test_outputs_become_answers_by_task(task, labels, outputs, label, values):
    spec = DatasetSpec(name="s", kind="image", task=task, shape=(1, 1, 1), outputs=len(outputs), labels=labels)
    answer = predict._answer(Fixed(*outputs), predict.Sample("x", np.zeros(1)), spec, 1, 2)
    assert answer.label == label and list(answer.values) == values


def test_an_answer_that_is_no_number_is_an_error():
    spec = DatasetSpec(name="s", kind="image", task="binary", shape=(1, 1, 1), outputs=1, labels=("a", "b"))
    with pytest.raises(ExportError, match="no number"):
        predict._answer(Fixed(float("nan")), predict.Sample("x", np.zeros(1)), spec, 1, 2)


# -- what cannot be run --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.png", None, "does not exist"),
        ("words.png", b"hello", "words.png"),
        ("rows.csv", b"a,b\n1,2\n", "takes pictures"),
        ("wrong.npy", np.zeros((2, 3)), r"\(2, 3\): \(n, 8, 8, 1\) is expected"),
        ("text.npy", np.array(["a"]), "no numbers"),
        ("nan.npy", np.full((2, 8, 8, 1), np.nan), "sample 0 holds"),
        ("objects.npy", np.array([None]), "no .npy array"),
        ("cut.npy", b"\x93NUMPY", "no .npy array"),
        ("", None, "is a folder"),
    ],
)
def test_inputs_that_do_not_suit_pictures_are_refused(digits, tmp_path, name, content, message):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        predict.run(digits.release.folder / "model_int8.tflite", [path])


@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        (["Bonn,60,yes,2021-03-01,3000", "Bonn,60"], HEADER, "line 3: 2 cells"),
        (["1,2"], "x,y", "none of the columns"),
    ],
)
def test_rows_that_do_not_suit_are_refused_with_file_and_line(people, tmp_path, lines, header, message):
    with pytest.raises(DataError, match=message):
        predict.run(people.release.folder / "model_int8.tflite", rows(tmp_path, *lines, header=header))


def test_a_picture_for_a_table_is_refused(people, digits):
    with pytest.raises(DataError, match="takes rows of a table"):
        predict.run(people.release.folder / "model_int8.tflite", pictures(digits)[:1])


def test_models_that_cannot_be_run_are_refused(digits, tmp_path):
    inputs = pictures(digits)[:1]
    content = (digits.release.folder / "model_int8.tflite").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(content[:9000])
    (tmp_path / "words.tflite").write_bytes(b"hello")
    (tmp_path / "foreign.tflite").write_bytes(
        content[: content.rindex(b"PK\x03\x04", 0, content.rindex(b"PK\x03\x04"))]
    )
    spec = DatasetSpec(name="s", kind="image", task="binary", shape=(9, 8, 1), outputs=1, labels=("a", "b"))
    metadata.write(tmp_path / "other.tflite", content, spec)
    for name, message in [
        ("gone.tflite", "cannot be read"), ("cut.tflite", "cannot be run"), ("words.tflite", "no TFLite model"),
        ("foreign.tflite", "does not describe itself"), ("other.tflite", "its description says"),
    ]:  # fmt: skip
        with pytest.raises(ExportError, match=message):
            predict.run(tmp_path / name, inputs)


@pytest.mark.parametrize("kind", ["digits", "people"])
def test_neither_tensorflow_nor_pandas_is_loaded(kind):
    exported = getattr(small_models, kind)()
    folder = exported.release.folder
    given = pictures(exported)[0] if kind == "digits" else folder / "golden" / "rows.csv"
    code = (
        "import sys; from pathlib import Path; from kexp import predict\n"
        "answers = predict.run(Path(sys.argv[1]), [Path(sys.argv[2])])\n"
        "heavy = {'tensorflow', 'keras', 'pandas', 'sklearn', 'pyarrow', 'ai_edge_quantizer', 'scipy'}\n"
        "print(len(answers) > 0, *heavy.intersection(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(folder / "model_int8.tflite"), str(given)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True"], done.stdout + done.stderr
