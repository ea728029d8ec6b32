"""The process in which converters run: `python -m kexp.export.child FOLDER`, started by `kexp.export.export`.

FOLDER holds job.json and calibration.npy. Each format that was tried is a line of log.jsonl; a line is
written only at the end of a format, so the first one missing is the one that killed this process.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np

from kexp import export
from kexp.export.source import Care, Source
from kexp.formats import FORMATS
from kexp.records import DatasetSpec, from_json


def main(scratch: Path) -> None:
    """Do the job in `scratch`."""
    job = json.loads((scratch / "job.json").read_text(encoding="utf-8"))
    source = Source(
        path=Path(job["model"]),
        spec=from_json(DatasetSpec, job["spec"]),
        calibration=np.load(scratch / "calibration.npy"),
        scratch=scratch,
        modules=tuple(job["modules"]),
        care=Care(*job["care"]),
    )
    for half in ("batch_1", "batch_any"):  # a child that died may have left it unfinished
        shutil.rmtree(scratch / half, ignore_errors=True)
    for format in job["formats"]:
        target = Path(job["folder"]) / FORMATS[format].file
        try:
            export.write(format, source, target)
            reason = None
        except Exception as error:  # noqa: BLE001 - a converter may raise anything; the reason is shown to the user
            text = " ".join(str(error).split())
            reason = f"{type(error).__name__}: {text[:400]}"
            shutil.rmtree(target, ignore_errors=True)
            target.unlink(missing_ok=True)
        with (scratch / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({"format": format, "reason": reason}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
