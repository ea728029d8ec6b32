"""Every format of one network: made, held to the gate, run, verified from the files alone, and refused once spoilt."""

from __future__ import annotations

import json
import shutil

import pytest
import small_models
from click.testing import CliRunner

from kexp.cli import commands
from kexp.export import card
from kexp.formats import FORMATS, formats
from kexp.release import release
from kexp.verify import digest

pytestmark = [pytest.mark.slow, pytest.mark.needs("node", "npm", "g++")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    net = small_models.digits_net()
    made = release(net.model, net.dataset, ["all"], tmp_path_factory.mktemp("all") / "digits")
    assert made.ok, made.failures
    return made


@pytest.fixture
def folder(whole, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(whole.folder, tmp_path / "digits")


def verify(folder):
    """Exit status of kexp verify, and the names of the checks that failed."""
    done = CliRunner().invoke(commands, ["verify", str(folder), "--json"], standalone_mode=False)
    assert done.exception is None, done.output
    checks = json.loads(done.stdout.splitlines()[-1])["checks"]
    return done.return_value, [check["name"] for check in checks if not check["ok"]]


def test_every_format_is_made_and_passes(whole):
    assert [artifact.format for artifact in whole.artifacts] == list(FORMATS) == formats("image", ["all"])
    assert verify(whole.folder) == (0, [])
    assert (whole.folder / card.MANIFEST).is_file()


def test_every_file_is_run_on_a_picture(whole):
    for artifact in whole.artifacts:
        arguments = ["run", str(whole.folder / artifact.path), str(whole.folder / "golden" / "03.png"), "--json"]
        done = CliRunner().invoke(commands, arguments, standalone_mode=False)
        assert done.exception is None, (artifact.format, done.output)
        (answer,) = json.loads(done.stdout.splitlines()[-1])["predictions"]
        assert 0 <= answer["values"][answer["label"]] <= 1


def largest(path):
    """The file itself, or the largest one in the folder."""
    return path if path.is_file() else max((f for f in path.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_was_cut_off_is_refused(folder, format):
    spoilt = largest(folder / FORMATS[format].file)
    content = spoilt.read_bytes()
    spoilt.write_bytes(content[: len(content) * 2 // 3])
    keep_only(folder, format)
    status, failed = verify(folder)
    assert status == 1 and f"{format} sha256" in failed


@pytest.mark.parametrize("format", [name for name, row in FORMATS.items() if row.exact or row.parts])
def test_a_file_of_another_network_is_refused(folder, impostor, format):
    """Its checksum in export.json made right, so that its answers, or what it holds, must give it away."""
    target = folder / FORMATS[format].file
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    copy = shutil.copytree if (impostor / target.name).is_dir() else shutil.copy2
    copy(impostor / target.name, target)
    keep_only(folder, format)
    small_models.resign(folder)
    status, failed = verify(folder)
    assert status == 1 and not any(name.endswith("sha256") and name.startswith(f"{format} sha") for name in failed)
    assert any(name.startswith(format) for name in failed)


@pytest.fixture(scope="module")
def impostor(tmp_path_factory):
    """The same formats of a network with other weights."""
    place = tmp_path_factory.mktemp("impostor")
    net = small_models.digits_net()
    model = small_models.impostor(net, place / "impostor.keras")
    made = release(model, net.dataset, ["all"], place / "digits")
    assert made.ok, made.failures
    return made.folder


def keep_only(folder, format):
    """Leave one format, and what it is made of, in export.json: checking the others again takes time."""
    document = json.loads((folder / card.MANIFEST).read_text())
    wanted = {format, *FORMATS[format].parts}
    for item in document["artifacts"]:
        path = folder / item["path"]
        if item["format"] not in wanted:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    document["artifacts"] = [item for item in document["artifacts"] if item["format"] in wanted]
    (folder / card.MANIFEST).write_text(json.dumps(document))


def test_checksums_are_of_the_whole_folder(folder):
    before = digest(folder / "c")
    (folder / "c" / "more.h").write_text("int more;")
    assert digest(folder / "c") != before
