"""The data sets that scikit-learn brings along: they need no download, and the README begins with one."""

from __future__ import annotations

from typing import Any

import numpy as np

from kexp.data.dataset import Raw
from kexp.errors import DataError, nearest

PREFIX = "sklearn:"
TABLES = ("iris", "wine", "breast_cancer", "diabetes")
NAMES = ("digits", *TABLES)


def read(name: str) -> Raw:
    """The set `name`, as "sklearn:digits": pictures (1797, 8, 8, 1) for digits, a table of text otherwise.

    Raises DataError for a name that scikit-learn does not have, or that needs a download.
    """
    from sklearn import datasets

    name = name.removeprefix(PREFIX)
    if name not in NAMES:
        raise DataError(f"sklearn:{name} is none of the bundled data sets.{nearest(name, NAMES)}")
    if name == "digits":
        bunch: Any = datasets.load_digits()
        pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
        return Raw(
            kind="image",
            x=pixels,
            y=np.array([str(digit) for digit in bunch.target]),
            targets=("digit",),
            labels=tuple(str(digit) for digit in bunch.target_names),
            ids=[f"digits sample {index}" for index in range(len(pixels))],
        )
    import pandas as pd

    # diabetes is normalised unless asked otherwise; a phone would have to know the scale
    bunch = datasets.load_diabetes(scaled=False) if name == "diabetes" else getattr(datasets, f"load_{name}")()
    cells = {
        str(column): [repr(float(value)) for value in bunch.data[:, index]]
        for index, column in enumerate(bunch.feature_names)
    }
    ids = [f"{name} sample {index}" for index in range(len(bunch.target))]
    frame = pd.DataFrame(cells)
    if name == "diabetes":
        return Raw(
            kind="table",
            x=frame,
            y=bunch.target[:, np.newaxis].astype(np.float64),
            targets=("progression",),
            ids=ids,
        )
    classes = bunch.target_names[bunch.target].astype(str)
    return Raw(kind="table", x=frame, y=classes, targets=("class",), ids=ids)
