"""What kexp's own front ends become when they are converted."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kexp.export.plan import Constant, Plan, Tensor
from kexp.forecasts import places
from kexp.models.layers import FromLast, Grey, LogMel, Naive, TableEncoder


def _selected(plan: Plan, x: Tensor, columns: list[int]) -> Tensor:
    if columns == list(range(x.shape[-1])):
        return x
    held = [Constant(len(columns), 1, tuple(columns))]
    return plan.add("GATHER", [x], (1, len(columns)), len("frontend_1/GatherV2_1;"), constants=held)


def _sliced(plan: Plan, x: Tensor, begin: Sequence[int], shape: Sequence[int]) -> Tensor:
    """One place of a sample; `begin` its index, which equal constants tell apart."""
    end = tuple(i + 1 for i in begin)
    ones = tuple(1 for _ in begin)
    held = [Constant(len(begin) + 1, 1, key) for key in ((0, *begin), (0, *end), (1, *ones))]
    return plan.add("STRIDED_SLICE", [x], shape, len("frontend_1/strided_slice_1"), constants=held)


def _missing(plan: Plan, x: Tensor) -> Tensor:
    return plan.add("NOT_EQUAL", [x, x], x.shape, len("frontend_1/NotEqual"))


def table(plan: Plan, layer: TableEncoder, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    """Rows to features: numbers, their bins, what is missing, and each category by itself."""
    x, features = inputs[0], []

    def bounded(z: Tensor, kind: str, held: Sequence[Constant]) -> Tensor:
        z = plan.add("MINIMUM", [z], z.shape, len("frontend_1/clip_by_value/Minimum"), constants=[Constant(1, 0)])
        return plan.add(kind, [z], z.shape, len("frontend_1/clip_by_value"), constants=held)

    def scaled(z: Tensor) -> Tensor:
        for kind, name in (("SUB", "frontend_1/sub"), ("MUL", "frontend_1/truediv;model_1/frontend_1/Const_11")):
            z = plan.add(kind, [z], z.shape, len(name), constants=[Constant(z.shape[-1])])
        return z

    if layer._numbers:
        raw = _selected(plan, x, layer._numbers)
        mean = [Constant(raw.size, 2)]
        known = plan.add("SELECT", [_missing(plan, raw), raw], raw.shape, len("frontend_1/SelectV2"), constants=mean)
        z = scaled(known)
        features.append(bounded(z, "MAXIMUM", [Constant(1, 0)]))
        if layer._bin_of:
            features.append(bounded(scaled(_selected(plan, z, layer._bin_of)), "RELU", []))
        if layer._missing:
            gone = _missing(plan, _selected(plan, x, layer._missing))
            features.append(plan.add("CAST", [gone], gone.shape, len("frontend_1/Cast")))
    for i in layer._categories:
        choices = int(layer.columns[i]["choices"])
        code = _sliced(plan, x, (i,), (1, 1))
        same = plan.add(
            "EQUAL", [code], (1, choices), len("frontend_1/Equal"), constants=[Constant(choices, 1, choices)]
        )
        features.append(plan.add("CAST", [same], (1, choices), len("frontend_1/Cast_1")))
    if len(features) == 1:
        return features[0]
    return plan.add("CONCATENATION", features, shape, len("frontend_1/concat"))


def spectrogram(plan: Plan, layer: LogMel, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    """As export's files have it: frames are put together of pieces that all have in common."""
    x, (frames, mels) = inputs[0], shape[1:3]
    name, fft, bins = len("frontend_1/stft/frame/Reshape"), layer.fft, layer.fft // 2 + 1
    before = (fft - layer.window) // 2
    after = fft - layer.window - before + max(0, layer.window - x.shape[1])
    if before or after:
        padded = (1, x.shape[1] + before + after)
        x = plan.add("PAD", [x], padded, len("frontend_1/Pad"), constants=[Constant(4, 2)])
    piece = math.gcd(fft, layer.hop)
    used = x.shape[1] // piece * piece
    if used < x.shape[1]:
        x = plan.add("SLICE", [x], (1, used), 3 * name, constants=[Constant(2), Constant(2)])
    x = plan.reshaped(x, (1, used // piece, piece), name)
    if frames > 1 or used > fft:
        places = [Constant(frames * fft // piece, 2)]
        x = plan.add("GATHER", [x], (1, frames, fft // piece, piece), name, constants=places)
    x = plan.reshaped(x, (1, frames, fft), name)
    x = plan.add("MUL", [x], x.shape, len("frontend_1/stft/mul"), constants=[Constant(fft)])
    x = plan.reshaped(x, (1, frames, 1, fft), len("frontend_1/stft/rfft3"))
    steps = frames * fft * max(1, fft.bit_length() - 1)  # about as many products as the FFT has
    # A complex number is as long as two.
    x = plan.add(
        "RFFT2D", [x], (1, frames, 1, 2 * bins), name, constants=[Constant(2, 1, "fft")], products=steps
    )  # fmt: skip
    x = plan.reshaped(x, (1, frames, 2 * bins), name)
    x.takers = 2
    parts = []
    for part in ("IMAG", "REAL"):
        one = plan.add(part, [x], (1, frames, bins), len("frontend_1/Imag"))
        parts.append(plan.add("MUL", [one, one], one.shape, len("frontend_1/mul_1")))
    power = plan.add("ADD", parts, parts[0].shape, len("frontend_1/add"))
    bands = [Constant(bins * mels, 2)]
    x = plan.add(
        "FULLY_CONNECTED", [power], (1, frames, mels), len("frontend_1/Tensordot"), constants=bands,
        products=frames * bins * mels,
    )  # fmt: skip
    x.takers = 2
    loudest = plan.add("REDUCE_MAX", [x], (1, 1, 1), len("frontend_1/Max"), constants=[Constant(2, 1, "max")])
    loudest = plan.add("ADD", [loudest], (1, 1, 1), len("frontend_1/add_1"), constants=[Constant(1, 0)])
    x = plan.add("DIV", [x, loudest], x.shape, len("frontend_1/truediv"))
    for kind in ("ADD", "LOG", "MUL", "SUB", "MUL"):
        held = [Constant(1, 0)] if kind != "LOG" else []
        x = plan.add(kind, [x], x.shape, len("frontend_1/truediv_1;frontend"), constants=held)
    return plan.reshaped(x, shape, len("frontend_1/ExpandDims1"))


def from_last(plan: Plan, layer: FromLast, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    """Each step less the last one, and a factor."""
    inputs[0].takers += 1
    end = _sliced(plan, inputs[0], (shape[1] - 1, 0), (1, 1, shape[2]))
    x = plan.add("SUB", [inputs[0], end], shape, len("frontend_1/sub"))
    return plan.add(
        "MUL", [x], shape, len("frontend_1/truediv;frontend_1/Const"), constants=[Constant(len(layer.scale))]
    )


def naive(plan: Plan, layer: Naive, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    """A slice for each output."""
    x = inputs[0]
    chosen = places(x.shape[1], layer.horizon, layer.season, tuple(layer.channels))
    found = [_sliced(plan, x, place, (1, 1)) for place in chosen]
    return found[0] if len(found) == 1 else plan.add("CONCATENATION", found, (1, len(found)), len("naive_1/concat"))


def grey(plan: Plan, layer: Grey, inputs: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    """Weighted colours, and their sum."""
    x = inputs[0]
    x = plan.add("MUL", [x], x.shape, len(layer.name) + len("_1/mul"), constants=[Constant(x.shape[-1])])
    return plan.add("SUM", [x], shape, len(layer.name) + len("_1/Sum"), constants=[Constant(1, 0)])
