"""Samples against each other, of any kind: equal ones, their labels, their parts, groups and times; classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kexp.data.dataset import PARTS
from kexp.data.doctor.case import Case, counted, finding, listed
from kexp.records import PLURALS, Finding, Severity

FEW = 20  # training samples of a class: with fewer, a network learns these by heart
UNEQUAL = 10  # times as many samples in the largest class as in the smallest
MANY = 0.3  # of the samples have a twin
CAPPED = 0.01  # of the rows have the largest number, of at least
MANY_VALUES = 50  # different ones: of few, any is common


def twins(case: Case) -> list[Finding]:
    """Samples of equal inputs whose labels agree."""
    if not len(case.keys) or _repeats(case):
        return []
    code, several = _groups(case.keys)
    rows = np.flatnonzero(several[code] & ~_contradicting(case, code)[code])
    if not len(rows):
        return []
    share = len(rows) / len(code)
    severity: Severity = "note" if case.kind == "table" and share < MANY else "warning"
    what = f"{len(rows):,} of {len(code):,} {PLURALS[case.kind]} ({share:.1%}) have an exact twin."
    advice = "Remove the copies, unless they were measured twice." if case.own_parts is not None else (
        "kexp keeps twins in one part. Remove the copies, unless they were measured twice."
    )  # fmt: skip
    return [finding("twins", severity, what, _sets(case, code, rows), advice)]


def contradictions(case: Case) -> list[Finding]:
    """Samples of equal inputs that have different labels."""
    classes = case.classes
    if classes is None or not len(case.keys) or case.question.task == "clustering":  # no label can be wrong
        return []
    code, _ = _groups(case.keys)
    rows = np.flatnonzero(_contradicting(case, code)[code])
    if not len(rows):
        return []
    most = np.zeros((int(code.max()) + 1), np.int64)
    pairs, counts = np.unique(np.stack([code, classes]), axis=1, return_counts=True)
    np.maximum.at(most, pairs[0], counts)
    ceiling = most.sum() / len(code)
    largest = np.bincount(classes).max() / len(code)
    severity: Severity = "warning"
    if ceiling <= largest + 0.01 and len(rows) > 0.5 * len(code):
        severity = "error"
    elif case.kind == "table" and ceiling > 0.97:  # few columns cannot tell every row from every other
        severity = "note"
    what = f"{len(rows):,} of {len(code):,} {PLURALS[case.kind]} have an exact twin with another label"
    what += f": no network can be right in more than {ceiling:.1%}." if ceiling < 0.9995 else "."
    if severity == "error":
        advice = "The inputs do not tell the classes apart. Add columns that do, or correct the labels."
    else:
        advice = "Correct the labels, or remove these." if case.kind != "table" else (
            "Correct the labels where they are slips; otherwise the columns say too little."
        )  # fmt: skip
    return [finding("contradictions", severity, what, _sets(case, code, rows, labels=True), advice)]


def across_parts(case: Case) -> list[Finding]:
    """Test and validation samples that are among the training samples too, where the data bring their own parts."""
    part = case.own_parts
    if part is None or not len(case.keys) or _repeats(case):
        return []
    code, _ = _groups(case.keys)
    first = np.full(int(code.max()) + 1, -1)
    train = np.flatnonzero(part == PARTS["train"])
    first[code[train[::-1]]] = train[::-1]
    found = []
    for name in ("test", "validation"):
        of_part = np.flatnonzero(part == PARTS[name])
        rows = of_part[first[code[of_part]] >= 0]
        if not len(rows) or not len(of_part):
            continue
        share = len(rows) / len(of_part)
        nouns = PLURALS[case.kind]
        what = f"{len(rows):,} of {len(of_part):,} {name} {nouns} ({share:.1%}) are training {nouns} too."
        where = [f"{_id(case, row)} = {_id(case, first[code[row]])}" for row in rows[:8]]
        advice = f"The {name} score is too good by them. Remove them from one of the parts."
        severity: Severity = "error" if share >= 0.5 else "warning"
        found.append(finding(f"twins_across_{name}", severity, what, where, advice, count=len(rows)))
    return found


def groups_across_parts(case: Case) -> list[Finding]:
    """Groups that the data's own parts cut."""
    if case.raw is None or case.raw.groups is None or case.own_parts is None:
        return []
    names, code = np.unique(case.raw.groups, return_inverse=True)
    train = np.zeros(len(names), np.bool_)
    train[code[case.own_parts == PARTS["train"]]] = True
    held = np.zeros(len(names), np.bool_)
    held[code[case.own_parts != PARTS["train"]]] = True
    both = names[train & held]
    if not len(both):
        return []
    what = f"{len(both):,} of {counted(len(names), 'group')} lie both among the training rows and outside of them."
    advice = "The scores tell nothing about new groups. Give each group to one part, or leave the division to kexp."
    return [finding("groups_across_parts", "warning", what, [str(name) for name in both[:8]], advice, count=len(both))]


def time_order(case: Case) -> list[Finding]:
    """Test rows that are older than training rows, where the data bring parts and times."""
    if case.raw is None or case.raw.times is None or case.own_parts is None:
        return []
    latest = case.raw.times[case.own_parts == PARTS["train"]].max()
    test = np.flatnonzero(case.own_parts == PARTS["test"])
    early = test[case.raw.times[test] <= latest]
    if not len(early):
        return []
    what = f"{len(early):,} of {len(test):,} test rows are no later than the newest training row."
    advice = "The score says how well the past is known, not the future. Take the newest rows as test rows."
    return [finding("time_order", "warning", what, [_id(case, row) for row in early[:8]], advice, count=len(early))]


def class_sizes(case: Case) -> list[Finding]:
    """Classes with few samples, and classes of very unequal sizes."""
    data = case.dataset
    if data is None or data.spec.task == "regression":
        return []
    train = data.y[data.part == PARTS["train"]]
    if data.spec.task == "multilabel":
        trained = train.sum(axis=0).astype(np.int64)
    else:
        trained = np.bincount(train, minlength=len(data.spec.labels))
    sizes = dict(zip(data.spec.labels, trained.tolist(), strict=True))
    few = sorted((name for name in sizes if sizes[name] < FEW), key=lambda name: sizes[name])
    found = []
    if few:
        named = listed([f"{name} {sizes[name]}" for name in few])
        what = f"{counted(len(few), 'class has', 'classes have')} fewer than {FEW} training samples: {named}."
        advice = "Add samples, or merge the class with another."
        if case.question.task == "clustering":
            advice = "Add samples, or ask for fewer clusters: --clusters N."
        found.append(finding("few_samples", "warning", what, few, advice))
    if data.spec.task != "multilabel" and min(sizes.values()) > 0:
        small, large = min(sizes, key=lambda name: sizes[name]), max(sizes, key=lambda name: sizes[name])
        ratio = sizes[large] / sizes[small]
        if ratio >= UNEQUAL:
            what = (
                f"Classes are very unequal: {large} has {sizes[large]:,} training samples, {small} {sizes[small]:,} "
                f"({ratio:.0f} times fewer)."
            )
            advice = (
                'Rank by balanced accuracy (objective = "balanced_accuracy"), which counts every class alike; more '
                "samples of the small class help most."
            )
            found.append(finding("unequal_classes", "warning", what, [small], advice))
    return found


def capped(case: Case) -> list[Finding]:
    """Numbers to predict of which many are the largest one: what lies above was cut off."""
    data = case.dataset
    if data is None or data.spec.task != "regression" or data.spec.horizon:
        return []
    usable = np.flatnonzero(data.part != PARTS["test"])
    found = []
    for k, name in enumerate(data.spec.labels):
        values, counts = np.unique(data.y[usable, k], return_counts=True)
        if len(values) < MANY_VALUES or counts[-1] < max(10, CAPPED * len(usable), 3 * counts[:-1].max()):
            continue
        rows = usable[data.y[usable, k] == values[-1]]
        what = (
            f"The target {name!r} is {values[-1]:g}, its largest value, in {counted(len(rows), 'row')}: it was capped."
        )
        advice = 'What lies above cannot be learnt. Leave these rows out, or read the answer as "this much or more".'
        found.append(
            finding("capped_target", "note", what, [_id(case, row) for row in rows[:8]], advice, count=len(rows))
        )
    return found


# -- what these share ----------------------------------------------------------------------------


def _repeats(case: Case) -> bool:
    """Whether equal samples are no copies: what comes back each week is what a forecast lives on."""
    return case.dataset is not None and case.dataset.spec.horizon > 0


def _groups(keys: NDArray[np.generic]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """A code for each row, equal where keys are, (n,); and whether several rows have a code, (codes,)."""
    _, code, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return code.reshape(-1).astype(np.int64), counts > 1


def _contradicting(case: Case, code: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether rows of a code have different classes, (codes,)."""
    codes = int(code.max()) + 1
    if case.classes is None:
        return np.zeros(codes, np.bool_)
    pairs = np.unique(np.stack([code, case.classes]), axis=1)
    return np.asarray(np.bincount(pairs[0], minlength=codes) > 1)


def _sets(case: Case, code: NDArray[np.int64], rows: NDArray[np.int64], *, labels: bool = False) -> list[str]:
    """Twins in words, one string for each set of equal samples among `rows`."""
    told = []
    of_code: dict[int, list[int]] = {}
    for row in rows[np.argsort(code[rows], kind="stable")].tolist():
        of_code.setdefault(int(code[row]), []).append(row)
    for alike in sorted(of_code.values(), key=lambda rows: rows[0]):
        shown = alike[:3]
        if labels and case.classes is not None:  # one of each class says more than two of the same
            classes = case.classes
            first = {int(classes[row]): row for row in reversed(alike)}
            shown = sorted(first.values())[:3]
        words = [_id(case, row) + (f" ({case.label(row)})" if labels else "") for row in shown]
        told.append(" = ".join(words) + (f" and {len(alike) - len(shown)} more" if len(alike) > len(shown) else ""))
    return told


def _id(case: Case, row: int) -> str:
    return case.dataset.ids[row] if case.dataset is not None else str(row)
