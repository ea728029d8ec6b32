"""Golden vectors: a few validation samples as a user has them, and what each file must answer.

    golden/00.jpg, 01.png ...  the user's own pictures without their metadata, or the decoded ones where those are large
                               or in one file
    golden/00.csv, 00.wav      series and sounds; clips as 00.png, their frames one below the other
    golden/rows.csv            rows of a table, cells as the user wrote them, the target beside them
    golden/expected.json       the samples' names, and outputs of the Keras model and of each exported file

Whoever runs a file elsewhere (a phone, a C program) replays them, decoding and encoding included.
"""

from __future__ import annotations

import csv
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kexp.data import samples
from kexp.data.dataset import Dataset
from kexp.data.samples import SAMPLES
from kexp.errors import ExportError, KexpError
from kexp.records import DatasetSpec

COUNT = 12
LARGEST_PICTURE = 500_000  # bytes of a user's file whose compressed pixels are copied as they are
ROWS = "rows.csv"
EXPECTED = "expected.json"


def choose(dataset: Dataset, count: int = COUNT) -> NDArray[np.int64]:
    """About `count` validation rows, ascending: of every class in turn, or spread over the target's range."""
    rows = dataset.rows("validation")
    y = dataset.y[rows]
    if y.ndim > 1:
        order = np.argsort(y[:, 0], kind="stable")
    else:  # the first of each class, then the second of each ...
        turn = np.empty(len(y), np.int64)
        for label in np.unique(y):
            turn[y == label] = np.arange((y == label).sum())
        order = np.lexsort((y, turn))
        return np.sort(rows[order[:count]])
    return np.sort(rows[order[np.unique(np.linspace(0, len(order) - 1, count).astype(int))]])


def write(dataset: Dataset, folder: Path) -> list[str]:
    """Write the chosen samples into `folder`; the name of each."""
    folder.mkdir(parents=True)
    rows = choose(dataset)
    if dataset.spec.kind != "table":
        return [_write(dataset, int(row), folder / f"{i:02}") for i, row in enumerate(rows)]
    if dataset.raw is None:
        raise ValueError("a table's Dataset has its raw cells")
    frame = dataset.raw.iloc[rows]
    with (folder / ROWS).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(frame.columns)
        writer.writerows([["" if cell is None else cell for cell in row] for row in frame.itertuples(index=False)])
    return [f"{ROWS} row {i + 1}" for i in range(len(rows))]


def read(folder: Path, spec: DatasetSpec) -> NDArray[Any]:
    """The samples in `folder` as the model takes them, (n, *shape), read as `kexp run` reads files."""
    files = [folder / ROWS] if spec.kind == "table" else sorted(p for p in folder.iterdir() if p.name != EXPECTED)
    return np.stack([sample.x for path in files for sample in samples.read(path, spec)])


def save_expected(folder: Path, names: list[str], reference: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> None:
    """Write expected.json: `reference` (n, outputs) of the Keras model, `outputs` of each format."""
    document = {
        "samples": names,
        "reference": reference.astype(float).tolist(),
        "outputs": {format: values.astype(float).tolist() for format, values in outputs.items()},
    }
    (folder / EXPECTED).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def load_expected(folder: Path) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Reference and outputs by format. Raises ExportError for a file that is missing or damaged."""
    try:
        document = json.loads((folder / EXPECTED).read_text(encoding="utf-8"))
        outputs = {format: np.array(values, np.float64) for format, values in document["outputs"].items()}
        return np.array(document["reference"], np.float64), outputs
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportError(f"{folder / EXPECTED} cannot be read: {error}. Export again.") from error


def binary(folder: Path, spec: DatasetSpec, format: str) -> bytes:
    """Samples and the answers of `format` for programs without a decoder: golden.bin.

    Three little-endian uint32 (samples, inputs, outputs), then all inputs and all outputs as float32. Raises
    ExportError where there are no answers of that format.
    """
    _, outputs = load_expected(folder)
    if format not in outputs:
        raise ExportError(f"the golden vectors have no outputs of {format}. Export it together with this one.")
    expected = outputs[format].astype("<f4")
    replayed = replayable(folder, spec, len(expected)).astype("<f4")
    head = struct.pack("<3I", len(expected), int(np.prod(spec.shape)), spec.outputs)
    return head + replayed.tobytes() + expected.tobytes()


def replayable(folder: Path, spec: DatasetSpec, rows: int) -> NDArray[Any]:
    """`read`, whose failures are ExportErrors; there must be `rows` samples."""
    try:
        x = read(folder, spec)
    except (OSError, ValueError, KexpError) as error:
        raise ExportError(f"the golden samples in {folder} cannot be read: {error} Export again.") from error
    if len(x) != rows:
        raise ExportError(f"{folder} holds {len(x)} samples, {EXPECTED} has outputs of {rows}. Export again.")
    return x


def lossy(folder: Path) -> dict[str, bool]:
    """Of each picture, by name: whether another decoder may make slightly different pixels of it.

    JPEG and WebP, which leave rounding to the decoder, and pictures that EXIF turns: `decode` resizes before it turns
    them, a browser afterwards.
    """
    from PIL import Image

    from kexp.export.bare import orientation

    found = {}
    for path in sorted(path for path in folder.iterdir() if path.name != EXPECTED):
        with Image.open(path) as picture:
            found[path.name] = picture.format not in ("PNG", "BMP", "GIF") or orientation(picture) > 1
    return found


def _write(dataset: Dataset, row: int, stem: Path) -> str:
    """Write one sample: a user's own picture where it is small, otherwise what was decoded."""
    x = np.asarray(dataset.x[row])
    source = Path(dataset.files[row]) if dataset.files is not None and dataset.spec.kind == "image" else None
    if source is not None and source.is_file() and source.stat().st_size <= LARGEST_PICTURE:
        target = stem.with_name(stem.name + source.suffix.lower())
        content = _bare(source, x.shape)
        if content is not None:
            target.write_bytes(content)
            return target.name
    write = SAMPLES[dataset.spec.kind].write
    if write is None:
        raise ValueError(f"a {dataset.spec.kind} is not written sample by sample")
    return write(x, dataset.spec, stem).name


def _bare(source: Path, shape: tuple[int, int, int]) -> bytes | None:
    """The file without metadata; None where that is not known to leave its pixels as they are."""
    from kexp.data.pictures import decode
    from kexp.export.bare import bare

    try:
        content = bare(source)
        return content if np.array_equal(decode(content, shape), decode(source, shape)) else None
    except (ValueError, KexpError):
        return None
