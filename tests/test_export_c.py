"""The C package: the gated file byte by byte, compiled without a warning, answering as Python does to the last bit."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import small_models

from kexp.errors import DataError, ExportError
from kexp.export import c, card, golden, micro
from kexp.export.package import Package
from kexp.records import Artifact, from_json
from kexp.runtime import c as runtime
from kexp.runtime import open_runtime
from kexp.runtime.c import CRuntime, compile_program, find_library

pytestmark = pytest.mark.needs("g++")

NASTY = ('a "quoted"', "back\\slash", "??/", "*/ //", "tab\there", "$money", "قطة", "x\u202ey", "日本", "-", "7", "%s")


def package_of(exported: Path) -> Package:
    document, spec = card.manifest(exported)
    artifacts = tuple(from_json(Artifact, item) for item in document["artifacts"])
    return Package(folder=exported, spec=spec, artifacts=artifacts)


def build(exported, folder):
    """A copy of what the package is made of, with the package in it."""
    shutil.copytree(exported, folder)
    c.write(package_of(folder), folder / "c")
    return folder / "c"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The package of a picture model, and its opened program."""
    path = build(small_models.digits().release.folder, tmp_path_factory.mktemp("c") / "digits")
    return path, CRuntime(path)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    path = build(small_models.people().release.folder, tmp_path_factory.mktemp("c") / "people")
    return path, CRuntime(path)


@pytest.fixture
def copy(digits, tmp_path):
    """A copy of the digits package beside its .tflite, to be spoilt."""
    for path in (digits[0], digits[0].parent / c.SOURCE):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    return tmp_path / "c"


def substitute(path, old, new, count=1):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, count), encoding="utf-8")


def failed(path):
    return [check.name for check in c.checks(path) if not check.ok]


@pytest.mark.parametrize("net", ["digits", "people"])
def test_the_program_answers_as_python_to_the_last_bit(net, request):
    path, opened = request.getfixturevalue(net)
    dataset = getattr(small_models, net)().dataset
    x = np.asarray(dataset.x[:150]).astype(np.float32)  # more than two requests
    expected = open_runtime(path.parent / c.SOURCE).predict(x)
    assert opened.shape == dataset.spec.shape and opened.predict(x).tobytes() == expected.tobytes()
    assert len(opened.predict(x[:0])) == 0
    with pytest.raises(DataError, match="samples are of shape"):
        opened.predict(x[:, :2])


def test_a_table_without_a_value_is_answered_alike(people):
    path, opened = people
    x = np.full((1, 5), np.nan, np.float32)
    assert opened.predict(x).tobytes() == open_runtime(path.parent / c.SOURCE).predict(x).tobytes()


@pytest.mark.parametrize("net", ["digits", "people"])
def test_the_package_holds_the_gated_file_and_its_labels(net, request):
    path, _ = request.getfixturevalue(net)
    assert not failed(path)
    body = (path / "model.cc").read_text(encoding="utf-8")
    assert c.model_bytes(body) == (path.parent / c.SOURCE).read_bytes()
    assert c.labels_of(body) == getattr(small_models, net)().dataset.spec.labels


def program(opened):
    return opened._folder / "kexp_model"


def test_the_self_test_passes_and_says_so(digits):
    path, opened = digits
    done = subprocess.run([program(opened), "--golden"], cwd=path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "12 samples, largest gap 0, limit 0.02, bit-identical: PASS" in done.stdout


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda data: data[:-40] + np.full(10, 0.5, np.float32).tobytes(), "FAIL"),
        (lambda data: data[:-40] + np.full(10, np.nan, np.float32).tobytes(), "FAIL"),
        (lambda data: data[:-1], "cut off"),
        (lambda data: b"\0\0\0\0" + data[4:], "of another model"),
    ],
)
def test_the_self_test_fails_on_other_vectors(digits, tmp_path, spoil, said):
    path, opened = digits
    (tmp_path / "golden.bin").write_bytes(spoil((path / "golden.bin").read_bytes()))
    done = subprocess.run([program(opened), "--golden"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and said in done.stdout + done.stderr


def test_the_program_reads_raw_samples(digits, tmp_path):
    path, opened = digits
    x = golden.read(path.parent / "golden", small_models.digits().dataset.spec).astype(np.float32)
    expected = opened.predict(x)
    (tmp_path / "x.bin").write_bytes(x.tobytes())
    for arguments, piped in ((["x.bin"], b""), ([], x.tobytes())):
        done = subprocess.run([program(opened), *arguments], cwd=tmp_path, input=piped, capture_output=True, check=True)
        lines = [line.split("\t") for line in done.stdout.decode().splitlines()]
        assert [line[-1] for line in lines] == [str(best) for best in expected.argmax(axis=1)]
        np.testing.assert_array_equal(np.array([line[:-1] for line in lines], np.float32), expected)
    cut = subprocess.run([program(opened)], input=x.tobytes()[:-3], capture_output=True, check=False)
    assert cut.returncode == 1 and b"ends within a sample" in cut.stderr
    assert subprocess.run([program(opened), "--what"], capture_output=True, check=False).returncode == 2
    assert subprocess.run([program(opened), "gone.bin"], capture_output=True, check=False).returncode == 1


def test_plain_c_uses_the_network(people, tmp_path):
    path, _ = people
    source = """
#include <stdio.h>
#include "network.h"
int main(void) {
  float input[KEXP_INPUTS] = {40.0f, 0.0f, 1.0f, 18500.0f, 1000.0f}, output[KEXP_OUTPUTS];
  kexp_network *network = kexp_open();
  if (network == NULL || !kexp_run(network, input, output)) { puts(kexp_error()); return 1; }
  printf("%s %s %.9g\\n", kexp_columns[1].choices[0], kexp_labels[1], (double)output[0]);
  kexp_close(network);
  return 0;
}
"""
    (tmp_path / "use.c").write_text(source)
    library, strict = find_library(), ["-Wall", "-Wextra", "-Werror", "-pedantic"]
    for command in (
        ["gcc", "-std=c99", *strict, f"-I{path}", "-c", "use.c", "-o", "use.o"],
        ["gcc", "-x", "c", "-std=c99", *strict, "-c", path / "model.cc", "-o", "model.o"],
        ["g++", "-std=c++17", *strict, "-c", path / "network.cc", "-o", "network.o"],
        ["g++", "use.o", "model.o", "network.o", library, f"-Wl,-rpath,{library.parent}", "-o", "use"],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    x = np.array([[40, 0, 1, 18500, 1000]], np.float32)
    (answer,) = open_runtime(path.parent / c.SOURCE).predict(x)[0]
    said = subprocess.run([tmp_path / "use"], capture_output=True, text=True, check=True).stdout.split()
    assert said[:2] == ["Bonn", "yes"] and np.float32(said[2]) == answer


def test_the_command_of_the_readme_works(digits, tmp_path):
    path, _ = digits
    (block,) = (part.split("```")[0] for part in (path / "README.md").read_text().split("```sh\n")[1:])
    shutil.copytree(path, tmp_path / "c")
    python = tmp_path / "python3"  # the README says python3: the one of this test, which has LiteRT
    python.write_text(f'#!/bin/sh\nexec {os.sys.executable} "$@"\n')
    python.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-e", "-c", block], cwd=tmp_path / "c", env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "PASS" in done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.needs("cmake")
def test_cmake_builds_and_tests_it(digits, tmp_path):
    path, _ = digits
    for command in (
        ["cmake", "-S", path, "-B", "build", f"-DLITERT_DIR={find_library().parent}"],
        ["cmake", "--build", "build"],
        ["ctest", "--test-dir", "build", "--output-on-failure"],
    ):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


# -- refused ---------------------------------------------------------------------------------------


def flipped(body):
    """The text of model.cc with a run of its weights turned over."""
    start = body.index("kexp_model[] = {") + len(body) // 3
    start = body.index("\n", start)
    end = body.index("\n", start + 2000)
    rows = body[start:end].split(",")
    return body[:start] + ",".join(str(255 - int(n)) if n.strip().isdigit() else n for n in rows) + body[end:]


def test_changed_weights_are_refused_by_checks_and_by_the_self_test(copy):
    body = (copy / "model.cc").read_text(encoding="utf-8")
    (copy / "model.cc").write_text(flipped(body), encoding="utf-8")
    assert failed(copy) == ["c model sha256"]
    compile_program(copy, copy / "spoilt")
    done = subprocess.run([copy / "spoilt", "--golden"], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode != 0


def test_an_array_that_was_cut_off_does_not_compile(copy):
    substitute(copy / "model.cc", "32,0,0,0,", "32,0,0,")
    assert failed(copy) == ["c model sha256"]
    with pytest.raises(ExportError, match=r"does not compile.*Export it again"):
        CRuntime(copy)


@pytest.mark.parametrize(
    ("name", "old", "new", "check"),
    [
        ("model.cc", '"3"', '"4"', "c labels"),
        ("model.h", 'SHA256 "', 'SHA256 "0', "c stated sha256"),
        ("network.cc", "KEXP_INPUTS", "KEXP_INPUTS ", "c network.cc"),
    ],
)
def test_another_package_is_refused(copy, name, old, new, check):
    substitute(copy / name, old, new)
    assert failed(copy) == [check]


def test_a_package_that_lacks_a_file_is_refused(copy):
    (copy / "model.h").unlink()
    with pytest.raises(ExportError, match="no whole C package"):
        c.checks(copy)
    with pytest.raises(ExportError, match="cannot be read"):
        CRuntime(copy)


def test_a_header_without_a_shape_is_refused(copy):
    (copy / "model.h").write_text("#define KEXP_OUTPUTS 3\n")
    with pytest.raises(ExportError, match="states no KEXP_INPUTS"):
        CRuntime(copy)


def test_a_model_that_is_none_is_refused_by_litert(copy):
    substitute(copy / "model.cc", ",84,70,76,51,", ",84,70,76,52,")
    with pytest.raises(ExportError, match="compiled program ended with exit status 1"):
        CRuntime(copy)


def test_a_program_that_dies_is_an_error(digits):
    opened = CRuntime(digits[0])
    x = np.zeros((1, 8, 8, 1), np.float32)
    opened.predict(x)
    opened._process.send_signal(signal.SIGSEGV)
    opened._process.wait()
    for _ in range(2):
        with pytest.raises(ExportError, match="was ended by signal 11"):
            opened.predict(x)


def test_the_program_ends_with_its_runtime(digits):
    opened = CRuntime(digits[0])
    process, folder = opened._process, opened._folder
    opened.close()
    assert process.poll() == 0 and not folder.exists()
    with pytest.raises(ExportError, match="ended with exit status 0"):
        opened.predict(np.zeros((1, 8, 8, 1), np.float32))
    opened = CRuntime(digits[0])
    process, folder = opened._process, opened._folder
    del opened
    assert process.poll() == 0 and not folder.exists()


def test_without_a_compiler_or_library_the_message_says_what_to_do(digits, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ExportError, match=r"no C\+\+ compiler is here \(no-such-compiler\)"):
        CRuntime(digits[0])
    monkeypatch.delenv("CXX")
    monkeypatch.setattr(runtime, "LIBRARY", "libGone.so")
    with pytest.raises(ExportError, match=r"libGone.so does not exist"):
        CRuntime(digits[0])


@pytest.mark.parametrize("number", ["2.1.0", "3.0.0"])
def test_another_version_of_litert_is_refused(digits, monkeypatch, number):
    class Distribution:
        version = number

    monkeypatch.setattr(runtime.metadata, "distribution", lambda name: Distribution())
    with pytest.raises(ExportError, match=rf"ai-edge-litert is {number}.*2.1.6 or later, below 3, is expected"):
        CRuntime(digits[0])


def test_a_library_that_lacks_a_function_is_named(digits, monkeypatch, tmp_path):
    library = tmp_path / "libLiteRt.so"
    subprocess.run(["g++", "-shared", "-x", "c++", "/dev/null", "-o", library], check=True)
    monkeypatch.setattr(runtime, "find_library", lambda: library)
    with pytest.raises(ExportError, match=r"lacks LiteRtCreateCompiledModel, .*another C interface"):
        CRuntime(digits[0])


# -- text ------------------------------------------------------------------------------------------


def test_every_label_is_a_literal_that_reads_back():
    for label in NASTY:
        assert c.unliteral(c.literal(label)) == label
        assert c.literal(label).isprintable()


def test_nasty_names_compile_and_come_out_as_they_are(tmp_path):
    exported = small_models.digits().release.folder
    shutil.copytree(exported, tmp_path / "exported")
    package = package_of(tmp_path / "exported")
    spec = dataclasses.replace(package.spec, name='*/ "$x" ??/ \\', labels=NASTY[:10])
    c.write(dataclasses.replace(package, spec=spec), tmp_path / "exported" / "c")
    path = tmp_path / "exported" / "c"
    assert c.labels_of((path / "model.cc").read_text(encoding="utf-8")) == NASTY[:10]
    main = (
        '#include <stdio.h>\n#include "model.h"\nint main(void) { for (int i = 0; i < 10; ++i) puts(kexp_labels[i]); }'
    )
    (path / "labels.c").write_text(main)
    for language in (["-x", "c", "-std=c99"], ["-x", "c++", "-std=c++17"]):
        command = ["gcc", *language, "-Wall", "-Wextra", "-Werror", "labels.c", "model.cc", "-o", "labels"]
        done = subprocess.run(command, cwd=path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said = subprocess.run([path / "labels"], capture_output=True, check=True).stdout.decode("utf-8")
        assert said.split("\n")[:10] == list(NASTY[:10])


def test_nothing_is_made_without_the_int8_file(tmp_path):
    package = package_of(small_models.digits().release.folder)
    with pytest.raises(ExportError, match=r"made of model_int8.tflite, which is not in"):
        c.write(dataclasses.replace(package, folder=tmp_path), tmp_path / "c")
    shutil.copytree(package.folder, tmp_path / "some")
    expected = tmp_path / "some" / "golden" / "expected.json"
    document = json.loads(expected.read_text())
    del document["outputs"]["tflite_int8"]
    expected.write_text(json.dumps(document))
    with pytest.raises(ExportError, match="no outputs of tflite_int8"):
        c.write(dataclasses.replace(package, folder=tmp_path / "some"), tmp_path / "some" / "c")


# -- microcontrollers ------------------------------------------------------------------------------


def test_operators_are_told_with_their_kernels(digits, people):
    content = (digits[0].parent / c.SOURCE).read_bytes()
    found = {use.name: use for use in micro.uses(content)}
    assert found["CONV_2D"].times >= 1 and found["CONV_2D"].kernel
    assert "| CONV_2D |" in (digits[0] / "OPERATORS.md").read_text()
    assert "kernel of each name" in (digits[0] / "OPERATORS.md").read_text()
    assert len(micro.TFLM) == 100 and "SELECT" not in micro.TFLM


def test_the_arena_is_estimated(digits):
    content = (digits[0].parent / c.SOURCE).read_bytes()
    memory = micro.arena(content)
    assert 8 * 8 * 4 < memory.peak <= memory.total < len(content) * 10  # the float input alone is 256 bytes
    assert f"| {memory.peak:,} |" in (digits[0] / "OPERATORS.md").read_text()
