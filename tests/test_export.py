"""Every row of FORMATS makes a file that answers as the model does; what fails is told, and harms no other."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import zipfile

import numpy as np
import pytest
import small_models

from kexp import export, formats, verify
from kexp.data.dataset import PARTS
from kexp.errors import ExportError
from kexp.export import golden, graph, metadata
from kexp.export.source import NO_CARE, Care
from kexp.formats import FORMATS
from kexp.metrics import metrics
from kexp.records import DatasetSpec
from kexp.release import CARES, release
from kexp.runtime import open_runtime


@pytest.fixture(scope="module")
def digits():
    return small_models.digits()


# -- formats -------------------------------------------------------------------------------------


USUAL = [name for name, row in FORMATS.items() if row.family in formats.USUAL]


def test_formats_are_chosen_by_name_family_and_kind():
    assert formats.formats("image") == USUAL
    assert formats.formats("image", ["all"]) == list(FORMATS)
    assert "tflite_uint8" not in formats.formats("table") + formats.formats("table", ["all"])
    assert formats.formats("table", ["tflite_int8", "keras"]) == ["keras", "tflite_int8"]
    assert formats.formats("image", ["tflite"]) == [name for name in FORMATS if name.startswith("tflite_")]
    with pytest.raises(ExportError, match="Did you mean 'tflite_int8'"):
        formats.formats("image", ["tflite_int9"])
    with pytest.raises(ExportError, match="takes pixels"):
        formats.formats("table", ["tflite_uint8"])


def test_every_format_of_pictures_passes_its_gate(digits):
    made = digits.release
    assert made.ok and not made.failures and all(check.ok for check in made.checks)
    assert [artifact.format for artifact in made.artifacts] == USUAL
    assert sorted(path.name for path in made.folder.iterdir()) == sorted(
        [FORMATS[name].file for name in USUAL] + ["README.md", "export.json", "golden", "labels.txt"]
    )


@pytest.mark.parametrize("exported", [small_models.people, small_models.diabetes], ids=["people", "diabetes"])
def test_every_tflite_of_a_table_passes_its_gate(exported):
    made = exported().release
    assert made.ok and [artifact.format for artifact in made.artifacts] == formats.formats("table", ["tflite"])


@pytest.mark.parametrize("exported", [small_models.people, small_models.diabetes], ids=["people", "diabetes"])
def test_int8_of_a_table_is_as_good_as_the_model(exported):
    dataset, model, made = exported()
    x, y = dataset.take("validation")
    before = metrics(dataset.spec.task, y, open_runtime(model).predict(x))
    after = metrics(dataset.spec.task, y, open_runtime(made.folder / "model_int8.tflite").predict(x))
    if dataset.spec.task == "regression":
        assert after["rmse"] <= 1.02 * before["rmse"]
    else:
        assert after["accuracy"] >= before["accuracy"] - max(0.01, 1 / len(y))


def test_a_table_s_front_end_stays_float_and_its_body_does_not():
    content = (small_models.people().release.folder / "model_int8.tflite").read_bytes()
    model = graph.read(content)
    tensors = {t.name.decode(): t.type for t in model.subgraphs[0].tensors}
    int8 = graph.schema().TensorType.INT8
    front = [name for name in tensors if "frontend" in name]
    # What goes from the front end into the body is quantised, and is its only int8 tensor.
    assert len(front) > 10 and [name for name in front if tensors[name] == int8] == [
        "model_1/frontend_1/concat_quantized"
    ]
    body = [name for name in tensors if "core" in name and "MatMul" in name]
    assert sum(tensors[name] == int8 for name in body) >= len(body) // 2


def test_float16_survives_units_that_do_not_fit_into_it():
    dataset, _, made = small_models.diabetes()
    assert max(dataset.spec.target_std) > 65504
    x, _ = dataset.take("validation")
    assert np.isfinite(open_runtime(made.folder / "model_float16.tflite").predict(x)).all()


def test_quantised_files_are_smaller(digits):
    size = {artifact.format: artifact.bytes for artifact in digits.release.artifacts}
    assert size["tflite_int8"] < 0.5 * size["tflite_float32"] and size["tflite_float16"] < 0.7 * size["tflite_float32"]


@pytest.mark.parametrize("activation", ["relu", "elu", "silu", "tanh", "gelu", "selu"])
def test_every_activation_is_quantised_well(tmp_path, activation):
    import keras

    from kexp.export import tflite
    from kexp.export.source import Source

    keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1)).astype(np.float32)
    layers = [
        keras.Input((8, 8, 1), name="input"),
        keras.layers.Rescaling(1 / 64, offset=-2),
        keras.layers.SeparableConv2D(8, 3, padding="same", activation=activation),
        keras.layers.MaxPooling2D(2),
        keras.layers.BatchNormalization(),
        keras.layers.Conv2D(8, 3, activation=activation),
        keras.layers.AveragePooling2D(2, strides=1),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(4, activation="softmax"),
    ]
    model = keras.Sequential(layers)
    model.save(tmp_path / "m.keras")
    spec = DatasetSpec(name="a", kind="image", task="multiclass", shape=(8, 8, 1), outputs=4, labels=tuple("abcd"))
    source = Source(path=tmp_path / "m.keras", spec=spec, calibration=x, scratch=tmp_path)
    expected = model.predict(x, verbose=0)
    for write, limit in ((tflite.int8, 0.05), (tflite.int16x8, 0.01)):
        write(source, tmp_path / "m.tflite")
        assert np.abs(open_runtime(tmp_path / "m.tflite").predict(x) - expected).max() < limit


@pytest.mark.parametrize(
    ("name", "limit"), [("float16", 1e-3), ("dynamic", 0.05), ("int8", 0.05), ("uint8", 0.05), ("int16x8", 0.01)]
)
def test_a_large_network_keeps_its_weights(tmp_path, name, limit):
    """From 256 KB of constants on the quantizer writes them behind the flatbuffer."""
    import keras

    from kexp.export import tflite
    from kexp.export.source import Source

    keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 1)).astype(np.float32)
    layers = [
        keras.Input((8, 8, 1), name="input"),
        keras.layers.Rescaling(1 / 128, offset=-1),
        keras.layers.Flatten(),
        keras.layers.Dense(600, activation="relu"),
        keras.layers.Dense(600, activation="relu"),
        keras.layers.Dense(4, activation="softmax"),
    ]
    model = keras.Sequential(layers)
    model.save(tmp_path / "m.keras")
    spec = DatasetSpec(name="a", kind="image", task="multiclass", shape=(8, 8, 1), outputs=4, labels=tuple("abcd"))
    source = Source(path=tmp_path / "m.keras", spec=spec, calibration=x, scratch=tmp_path)
    getattr(tflite, name)(source, tmp_path / "m.tflite")
    made = open_runtime(tmp_path / "m.tflite").predict(x)
    assert np.abs(made - model.predict(x, verbose=0)).max() < limit


# -- the child process ---------------------------------------------------------------------------


def convert(digits, folder, formats, **options):
    x, _ = digits.dataset.take("train")
    return export.export(digits.model, digits.dataset.spec, x[:8], formats, folder, **options)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A function that writes a module which the child can import."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        return (name,)  # before Keras, so that a child ends soon

    return write


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGSEGV"])
def test_a_format_that_kills_its_process_becomes_a_reason_and_the_others_go_on(digits, tmp_path, module, signal):
    modules = module("killer", f"import os, signal\nprint('last words')\nos.kill(os.getpid(), signal.{signal})\n")
    made = convert(digits, tmp_path, ["tflite_int8", "keras"], modules=modules)  # keras loads no module
    assert re.search(f"died by {signal}", made["tflite_int8"])
    assert made["keras"] == tmp_path / "model.keras" and made["keras"].stat().st_size > 0


def test_an_exception_in_a_converter_becomes_a_reason(digits, tmp_path, module):
    modules = module("broken", "raise RuntimeError('no such layer here')\n")
    made = convert(digits, tmp_path, ["tflite_int8", "keras"], modules=modules)
    assert made["tflite_int8"] == "RuntimeError: no such layer here"
    assert not (tmp_path / "model_int8.tflite").exists() and made["keras"] == tmp_path / "model.keras"


def test_a_converter_that_hangs_is_stopped(digits, tmp_path, module):
    made = convert(
        digits, tmp_path, ["tflite_int8", "keras"], modules=module("hanging", "import time\ntime.sleep(600)\n"),
        timeout_s=6,
    )  # fmt: skip
    assert "stopped after 6 s" in made["tflite_int8"] and made["keras"] == tmp_path / "model.keras"


def test_a_child_that_cannot_begin_says_why(digits, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    made = convert(digits, tmp_path, ["tflite_int8", "keras"])
    assert set(made) == {"tflite_int8", "keras"} and all("exit status 1" in why for why in made.values())


FLEX = """
import keras, tensorflow as tf
@keras.saving.register_keras_serializable("flex")
class Flex(keras.layers.Layer):
    def call(self, x):
        return tf.math.igamma(tf.ones_like(x), tf.abs(x))
"""


def test_a_network_that_needs_other_operators_is_refused(tmp_path, module, monkeypatch):
    import keras

    modules = module("flex", FLEX)
    monkeypatch.syspath_prepend(str(tmp_path))
    from flex import Flex

    inputs = keras.Input((3,), name="input")
    keras.Model(inputs, keras.layers.Dense(1)(Flex()(inputs))).save(tmp_path / "flex.keras")
    spec = small_models.people().dataset.spec
    made = export.export(tmp_path / "flex.keras", spec, np.ones((4, 3)), ["tflite_float32"], tmp_path, modules=modules)
    assert "Igamma" in made["tflite_float32"]


# -- release -------------------------------------------------------------------------------------


@pytest.fixture
def converted(digits, monkeypatch):
    """Files that were converted before, so that a release takes no time; what is put into the set forgets it all."""
    spoilt = set()

    def copy(model, spec, calibration, formats, folder, **_):
        for name in formats:
            source, target = (place / FORMATS[name].file for place in (digits.release.folder, folder))
            shutil.copyfile(source, target)
            if name in spoilt:
                metadata.write(target, small_models.with_weights(target, np.zeros_like, np.int8), spec)
        return {name: folder / FORMATS[name].file for name in formats}

    monkeypatch.setattr(export, "export", copy)
    return spoilt


def test_a_file_that_fails_its_gate_is_not_left(digits, tmp_path, converted):
    folder = tmp_path / "exported"
    first = release(digits.model, digits.dataset, ["tflite_dynamic", "tflite_int8"], folder)
    assert first.ok and (folder / "model_int8.tflite").exists()
    converted.add("tflite_int8")
    made = release(digits.model, digits.dataset, ["tflite_dynamic", "tflite_int8"], folder)
    assert not made.ok and "accuracy drop" in made.failures["tflite_int8"]
    assert [artifact.format for artifact in made.artifacts] == ["tflite_dynamic"]
    assert not (folder / "model_int8.tflite").exists() and (folder / "model_dynamic.tflite").exists()
    assert "tflite_int8" not in json.loads((folder / "golden" / "expected.json").read_text())["outputs"]
    assert [path.name for path in tmp_path.iterdir()] == ["exported"]


def test_int8_that_loses_too_much_is_tried_with_narrower_ranges(digits, tmp_path, monkeypatch):
    cares = []

    def convert(model, spec, calibration, formats, folder, *, care=NO_CARE, **_):
        cares.append((care, *formats))
        for name in formats:
            shutil.copyfile(digits.release.folder / FORMATS[name].file, folder / FORMATS[name].file)
        return {name: folder / FORMATS[name].file for name in formats}

    real = verify.drop
    monkeypatch.setattr(export, "export", convert)
    monkeypatch.setattr(verify, "drop", lambda *given: 0.5 if len(cares) < 5 else real(*given))
    made = release(digits.model, digits.dataset, ["tflite_int8"], tmp_path / "out")
    tried = [NO_CARE, Care(0.01), Care(0.05), Care(0.01, floats=1), Care(0.01, floats=2)]
    assert cares == [(care, "tflite_int8") for care in tried]
    assert made.ok and not made.failures and all(check.ok for check in made.checks)
    cares.clear()
    monkeypatch.setattr(verify, "drop", lambda *given: 0.5)
    made = release(digits.model, digits.dataset, ["tflite_int8", "tflite_dynamic"], tmp_path / "out")
    assert [care for care, *_ in cares] == tried and set(made.failures) == {"tflite_int8", "tflite_dynamic"}


def test_clipping_makes_finer_steps(digits, tmp_path):
    from kexp.runtime.litert import LiteRTRuntime

    rows = digits.dataset.rows("train")[:64]
    x, outputs = np.asarray(digits.dataset.x[rows]), {}
    for clip in (0.0, 0.25):
        folder = tmp_path / str(clip)
        folder.mkdir()
        made = export.export(digits.model, digits.dataset.spec, x, ["tflite_int8"], folder, care=Care(clip))
        outputs[clip] = LiteRTRuntime(made["tflite_int8"]).predict(x)
    assert np.abs(outputs[0.0] - outputs[0.25]).max() > 1e-4  # other ranges
    assert (outputs[0.0].argmax(1) == outputs[0.25].argmax(1)).mean() > 0.9


def lopsided(net, path):
    """Write a network that answers as `net`, and whose first convolution takes an input of a thousandth, which counts,
    beside one that does not: eight bits for both leave nothing of the first."""
    import keras

    def call(layer, *args, **kwargs):
        if layer.name != "conv_0_0":
            return layer(*args, **kwargs)
        both = keras.layers.Concatenate()([args[0], keras.layers.Rescaling(1000.0)(args[0])])
        made = keras.layers.Conv2D.from_config({**layer.get_config(), "name": "wide"})
        found = made(both)
        kernel, *bias = layer.get_weights()
        made.set_weights([np.concatenate([kernel, np.zeros_like(kernel)], axis=2), *bias])
        return found

    def inner(layer):
        if not isinstance(layer, keras.Model):
            return layer
        return keras.models.clone_model(layer, call_function=call, clone_function=inner)

    inner(keras.saving.load_model(net.model, compile=False)).save(path)
    return path


@pytest.mark.slow
def test_the_first_block_stays_float_where_nothing_else_helps(digits, tmp_path, monkeypatch):
    monkeypatch.setattr("kexp.release.CARES", (CARES[0], CARES[2]))
    model = lopsided(digits, tmp_path / "lopsided.keras")
    said = []
    made = release(
        model, digits.dataset, ["tflite_int8"], tmp_path / "out", progress=lambda done, total, text: said.append(text)
    )
    assert made.ok and not made.failures and (tmp_path / "out" / "model_int8.tflite").is_file()
    again = [text for text in said if "again" in text]
    assert len(again) == 2 and again[-1].endswith("the first block float")
    (gap,) = [check.value for check in made.checks if check.name == "tflite_int8 gap"]
    assert gap < 0.2


def test_where_nothing_passes_there_is_no_folder(digits, tmp_path, converted):
    converted.add("tflite_int8")
    made = release(digits.model, digits.dataset, ["tflite_int8"], tmp_path / "out")
    assert not made.ok and not made.artifacts and not list(tmp_path.iterdir())


def test_exporting_again_keeps_the_formats_of_the_same_model_and_what_others_put_there(digits, tmp_path, converted):
    folder = tmp_path / "exported"
    release(digits.model, digits.dataset, ["tflite_dynamic"], folder)
    (folder / "NOTES.md").write_text("mine")
    made = release(digits.model, digits.dataset, ["tflite_int8"], folder)
    assert {artifact.format for artifact in made.artifacts} == {"tflite_dynamic", "tflite_int8"}
    assert (folder / "NOTES.md").read_text() == "mine"
    manifest = json.loads((folder / "export.json").read_text())
    assert {item["format"] for item in manifest["artifacts"]} == {"tflite_dynamic", "tflite_int8"}


def test_an_earlier_format_is_not_made_again(digits, tmp_path, converted, monkeypatch):
    folder = tmp_path / "exported"
    release(digits.model, digits.dataset, ["tflite_dynamic"], folder)
    before = json.loads((folder / "export.json").read_text())
    real = export.export

    def lacking(model, spec, calibration, formats, place, **options):
        assert "tflite_dynamic" not in formats, "it was made again"
        return real(model, spec, calibration, formats, place, **options)

    monkeypatch.setattr(export, "export", lacking)
    made = release(digits.model, digits.dataset, ["tflite_int8"], folder)
    assert made.ok and {artifact.format for artifact in made.artifacts} == {"tflite_dynamic", "tflite_int8"}
    after = json.loads((folder / "export.json").read_text())
    assert after["limits"]["tflite_dynamic"] == before["limits"]["tflite_dynamic"]
    assert not [check for check in verify.folder(folder)[1] if not check.ok]


def test_an_earlier_file_that_was_changed_is_made_again(digits, tmp_path, converted):
    folder = tmp_path / "exported"
    release(digits.model, digits.dataset, ["tflite_dynamic"], folder)
    (folder / "model_dynamic.tflite").write_bytes(b"changed")
    release(digits.model, digits.dataset, ["tflite_int8"], folder)
    assert not [check for check in verify.folder(folder)[1] if not check.ok]


def test_where_nothing_passes_what_others_put_there_stays(digits, tmp_path, converted):
    folder = tmp_path / "exported"
    release(digits.model, digits.dataset, ["tflite_int8"], folder)
    (folder / "NOTES.md").write_text("mine")
    (folder / ".#NOTES.md").symlink_to("nowhere")
    converted.add("tflite_int8")
    made = release(digits.model, digits.dataset, ["tflite_int8"], folder)
    assert not made.ok and sorted(path.name for path in folder.iterdir()) == [".#NOTES.md", "NOTES.md"]


def test_an_error_of_a_runtime_stops_no_other_format(digits, tmp_path, converted, monkeypatch):
    from kexp.runtime.litert import LiteRTRuntime

    real = LiteRTRuntime.predict

    def predict(self, x):
        if self._name == "model_dynamic.tflite":
            raise RuntimeError("it reshapes to a fixed batch")
        return real(self, x)

    opened = LiteRTRuntime.__init__

    def remember(self, path, threads=1):
        self._name = path.name
        opened(self, path, threads)

    monkeypatch.setattr(LiteRTRuntime, "__init__", remember)
    monkeypatch.setattr(LiteRTRuntime, "predict", predict)
    made = release(digits.model, digits.dataset, ["tflite_dynamic", "tflite_int8"], tmp_path / "out")
    assert made.failures == {"tflite_dynamic": "RuntimeError: it reshapes to a fixed batch"}
    assert [artifact.format for artifact in made.artifacts] == ["tflite_int8"]


def test_what_a_dying_converter_had_written_does_not_stay(digits, tmp_path, monkeypatch):
    def die(scratch, timeout_s, backend, look):
        (tmp_path / "saved_model").mkdir()
        (tmp_path / "saved_model" / "half.pb").write_bytes(b"half")
        return "the converter died by SIGKILL"

    monkeypatch.setattr(export, "_run_child", die)
    made = export.export(digits.model, digits.dataset.spec, np.ones((1, 8, 8, 1)), ["saved_model"], tmp_path)
    assert made == {"saved_model": "the converter died by SIGKILL"} and not (tmp_path / "saved_model").exists()


def test_labels_with_line_breaks_are_one_line_each(digits, tmp_path, converted):
    spec = dataclasses.replace(digits.dataset.spec, labels=("New\nYork", "a\u2028b", *digits.dataset.spec.labels[2:]))
    assert metadata.lines(spec.labels).splitlines()[:3] == ["New York", "a b", digits.dataset.spec.labels[2]]


def test_files_of_another_model_do_not_stay(digits, tmp_path, converted):
    folder = tmp_path / "exported"
    release(digits.model, digits.dataset, ["tflite_dynamic"], folder)
    manifest = json.loads((folder / "export.json").read_text())
    (folder / "export.json").write_text(json.dumps({**manifest, "model": "another"}))
    made = release(digits.model, digits.dataset, ["tflite_int8"], folder)
    assert [artifact.format for artifact in made.artifacts] == ["tflite_int8"]
    assert not (folder / "model_dynamic.tflite").exists()


def test_a_tolerance_of_no_format_is_refused(digits, tmp_path):
    with pytest.raises(ExportError, match="no export format"):
        release(digits.model, digits.dataset, ["keras"], tmp_path / "out", tolerances={"int9": 0.1})


@pytest.mark.parametrize("drop", [-1.0, float("nan"), "0.1", True])
def test_a_tolerance_that_no_file_could_meet_is_refused_before_anything_goes(digits, tmp_path, converted, drop):
    folder = tmp_path / "out"
    release(digits.model, digits.dataset, ["tflite_int8"], folder)
    with pytest.raises(ExportError, match="a drop of 0 or more is expected"):
        release(digits.model, digits.dataset, ["tflite_int8"], folder, tolerances={"tflite_int8": drop})
    assert (folder / "model_int8.tflite").exists()


# -- metadata, golden vectors, card --------------------------------------------------------------


@pytest.mark.parametrize(
    "exported", [small_models.digits, small_models.people, small_models.diabetes], ids=["digits", "people", "diabetes"]
)
def test_a_lone_file_describes_itself(exported):
    dataset, _, made = exported()
    for artifact in made.artifacts:
        if artifact.path.endswith(".tflite"):
            path = made.folder / artifact.path
            assert metadata.read_spec(path) == dataset.spec
            with zipfile.ZipFile(path) as archive:
                assert archive.read("labels.txt").decode().split("\n")[:-1] == list(metadata.axis_labels(dataset.spec))


def test_the_metadata_is_what_mediapipe_reads(digits):
    """Field numbers as in metadata_schema.fbs, read back with nothing of the writer."""
    from flatbuffers import encode, packer
    from flatbuffers.number_types import UOffsetTFlags
    from flatbuffers.table import Table

    def field(table, slot):
        offset = table.Offset(4 + 2 * slot)
        assert offset, f"slot {slot} is empty"
        return offset + table.Pos

    def child(table, slot):
        return Table(table.Bytes, table.Indirect(field(table, slot)))

    def item(table, slot):
        return Table(table.Bytes, table.Indirect(table.Vector(table.Offset(4 + 2 * slot))))

    def floats(table, slot):
        start = table.Vector(table.Offset(4 + 2 * slot))
        return [encode.Get(packer.float32, table.Bytes, start)]

    model = graph.read((digits.release.folder / "model_float32.tflite").read_bytes())
    (entry,) = [m for m in model.metadata if m.name == b"TFLITE_METADATA"]
    content = bytes(model.buffers[entry.buffer].data)
    assert content[4:8] == b"M001"
    root = Table(content, encode.Get(UOffsetTFlags.packer_type, content, 0))
    assert root.String(field(root, 0)) == b"digits"
    subgraph = item(root, 3)
    picture, answer = item(subgraph, 2), item(subgraph, 3)
    unit = item(picture, 4)
    assert content[field(unit, 0)] == 1  # NormalizationOptions
    assert floats(child(unit, 1), 0) == [0.0] and floats(child(unit, 1), 1) == [1.0]
    assert content[field(child(picture, 3), 0)] == 2  # ImageProperties
    labels = item(answer, 6)
    assert labels.String(field(labels, 0)) == b"labels.txt" and content[field(labels, 2)] == 2  # TENSOR_AXIS_LABELS


def test_a_foreign_file_has_no_description_and_a_damaged_one_is_told(tmp_path):
    (tmp_path / "foreign.tflite").write_bytes(b"\x1c\0\0\0TFL3")
    assert metadata.read_spec(tmp_path / "foreign.tflite") is None
    assert metadata.read_spec(tmp_path / "gone.tflite") is None
    for text, message in (("{", "damaged"), ('{"later": 1}', "another version"), ("[]", "another version")):
        with zipfile.ZipFile(tmp_path / "bad.tflite", "w") as archive:
            archive.writestr("kexp.json", text)
        with pytest.raises(ExportError, match=message):
            metadata.read_spec(tmp_path / "bad.tflite")


def test_golden_samples_are_validation_rows_of_every_class(digits):
    rows = golden.choose(digits.dataset)
    assert len(rows) == golden.COUNT and (digits.dataset.part[rows] == PARTS["validation"]).all()
    assert set(digits.dataset.y[rows]) == set(range(10))
    numbers = small_models.diabetes().dataset
    chosen = numbers.y[golden.choose(numbers), 0]
    of_all = numbers.take("validation")[1]
    assert chosen.min() == of_all.min() and chosen.max() == of_all.max()


@pytest.mark.parametrize("exported", [small_models.digits, small_models.people], ids=["digits", "people"])
def test_golden_samples_are_read_as_training_read_them(exported):
    dataset, _, made = exported()
    found = golden.read(made.folder / "golden", dataset.spec)
    np.testing.assert_array_equal(found, dataset.x[golden.choose(dataset)])


def test_pictures_of_a_user_are_copied_unless_they_are_large(tmp_path, monkeypatch):
    from PIL import Image

    exported = small_models.digits().dataset
    files = []
    for i in range(len(exported.y)):
        files.append(str(tmp_path / f"user{i}.BMP"))
    for row in golden.choose(exported):
        Image.fromarray(np.asarray(exported.x[row])[:, :, 0]).save(files[row])
    dataset = dataclasses.replace(exported, files=files)
    assert golden.write(dataset, tmp_path / "small")[0] == "00.bmp"
    monkeypatch.setattr(golden, "LARGEST_PICTURE", 10)
    assert golden.write(dataset, tmp_path / "large")[0] == "00.png"
    for folder in ("small", "large"):
        found = golden.read(tmp_path / folder, dataset.spec)
        np.testing.assert_array_equal(found, dataset.x[golden.choose(dataset)])


def test_the_card_tells_how_to_feed_a_row():
    made = small_models.people().release
    card = (made.folder / "README.md").read_text(encoding="utf-8")
    assert "| 0 | age |" in card and "some missing" in card
    assert re.search(r"\| 1 \| city \| code: `Bonn` = 0, `Köln` = 1, `Trier` = 2 \| 3 categories \|", card)
    assert "| 2 | member | no = 0, yes = 1 |" in card and "days since 1970-01-01" in card
    assert (made.folder / "labels.txt").read_text() == "no\nyes\n"


def test_the_program_in_the_card_runs(monkeypatch, capsys):
    _, _, made = small_models.people()
    monkeypatch.chdir(made.folder)
    code = re.search(r"```python\n(.*?)```", (made.folder / "README.md").read_text(), flags=re.DOTALL)[1]
    exec(compile(code, "README.md", "exec"), {})
    assert 0 <= float(capsys.readouterr().out.strip(" []\n")) <= 1


def test_the_card_has_the_test_metrics_once_they_are_known(digits, tmp_path, converted):
    evaluation = {
        "rows": 270, "metrics": {"accuracy": 0.97},
        "interval": {"metric": "accuracy", "low": 0.94, "high": 0.99, "level": 0.95},
    }  # fmt: skip
    both = {"model.keras": {"same": 0.981, "value": 0.96}, "model_int8.tflite": {"same": 0.974, "value": 0.95}}
    changes = {"shift 8%": both, "zoom 10%": {"model.keras": {"same": 1.0, "value": 0.97}}}
    evaluation["consistency"] = {"rows": 200, "metric": "accuracy", "before": {}, "changes": changes}
    release(digits.model, digits.dataset, ["keras"], tmp_path / "out", evaluation=evaluation, trial=3)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "accuracy: 0.97 (95% interval 0.94 to 0.99)" in card
    assert "the same answer: shift 8% 98.1% (int8 97.4%), zoom 10% 100.0%." in card
    document = json.loads((tmp_path / "out" / "export.json").read_text())
    assert document["trial"] == 3 and document["artifacts"][0]["trial"] == 3
