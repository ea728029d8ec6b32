"""Pictures that are nearly the same: resized, saved again, a shade lighter, the next frame of a burst.

A perceptual hash finds pairs, the pictures themselves decide. The hash is the 64 signs of the lowest cosine frequencies
against their median, as imagehash's `phash` (Zauner 2010) takes them; all pictures at once, with matrix products.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from kexp.data.doctor.case import Progress, silent

SMALLEST = 24  # pixels a side: of smaller pictures, many are alike
LARGE = 48  # pixels a side: of smaller ones, pairs must agree in more
BLOCK = 1 << 19  # hashes compared at a time: what a processor's cache holds
MOST = 200_000  # pairs that are looked at
# For photos, and for small pictures (Fashion-MNIST: two pairs of trousers agree in .97): bits of the 64 that may differ
# in a pair worth looking at, pixels by which it may be out of line, and correlation of its detail. Of 36 pairs of
# TrashNet's photos above .5, the 30 above .7 are two photos of one thing, those below .6 are not.
PHOTOS = (8, 2, 0.75)
SMALL = (4, 0, 0.985)


def hashes(thumbs: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The perceptual hash of each grey picture, (n,); `thumbs` is (n, height, width)."""
    down, across = _cosines(thumbs.shape[1]), _cosines(thumbs.shape[2])
    bits = np.empty((len(thumbs), 64), np.bool_)
    for start in range(0, len(thumbs), 4096):
        low = (down @ thumbs[start : start + 4096].astype(np.float32) @ across.T).reshape(-1, 64)
        bits[start : start + 4096] = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)


def find(thumbs: NDArray[np.uint8], progress: Progress = silent) -> NDArray[np.int64]:
    """Pairs of indices, (m, 2), ascending, of grey pictures (n, height, width) that are nearly the same."""
    bits, shift, least = PHOTOS if min(thumbs.shape[1:]) >= LARGE else SMALL
    candidates = close(hashes(thumbs), bits, progress)
    return candidates[alike(thumbs, candidates, shift) >= least]


def close(codes: NDArray[np.uint64], bits: int, progress: Progress = silent) -> NDArray[np.int64]:
    """Pairs of indices, (m, 2), whose hashes differ in at most `bits` bits; at most about MOST."""
    starts = [0]
    while starts[-1] < len(codes):
        starts.append(starts[-1] + max(1, BLOCK // (len(codes) - starts[-1])))

    def look(start: int, end: int) -> NDArray[np.int64]:
        differ = np.bitwise_count(codes[start:end, None] ^ codes[None, start:])
        left, right = np.nonzero(differ <= bits)
        later = right > left
        return np.stack([left[later] + start, right[later] + start], axis=1)

    found = [np.empty((0, 2), np.int64)]
    count = 0
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # numpy frees the interpreter lock
        for at, pairs in enumerate(pool.map(look, starts[:-1], starts[1:])):
            found.append(pairs)
            count += len(pairs)
            if at % 100 == 0:
                progress(starts[at], len(codes), "looking for near twins")
            if count > MOST:
                pool.shutdown(cancel_futures=True)
                break
    return np.concatenate(found)


def alike(thumbs: NDArray[np.uint8], candidates: NDArray[np.int64], shift: int) -> NDArray[np.float64]:
    """How alike the detail of each pair is, (m,), at the shift of at most `shift` pixels where it is most alike.

    It is the lowest of three correlations: of the pictures, and of their edges down and across. Two pictures of one
    bright thing on a plain ground agree in the first alone.
    """
    scores = np.empty(len(candidates))
    steps = range(-shift, shift + 1)
    for start in range(0, len(candidates), 512):
        chosen = candidates[start : start + 512]
        a, b = thumbs[chosen[:, 0]].astype(np.float32), thumbs[chosen[:, 1]].astype(np.float32)
        best = np.full(len(chosen), -1.0)
        for down in steps:
            for across in steps:
                one, other = _cut(a, down, across), _cut(b, -down, -across)
                score = np.minimum(
                    _correlation(one, other),
                    np.minimum(*(_correlation(np.diff(one, axis=axis), np.diff(other, axis=axis)) for axis in (1, 2))),
                )
                best = np.maximum(best, score)
        scores[start : start + 512] = best
    return scores


def _cut(pictures: NDArray[np.float32], down: int, across: int) -> NDArray[np.float32]:
    """`pictures` (m, height, width) without the rows and columns that a shift brings in."""
    rows = slice(max(down, 0), pictures.shape[1] + min(down, 0))
    columns = slice(max(across, 0), pictures.shape[2] + min(across, 0))
    return pictures[:, rows, columns]


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    a = a.reshape(len(a), -1) - a.reshape(len(a), -1).mean(axis=1, keepdims=True)
    b = b.reshape(len(b), -1) - b.reshape(len(b), -1).mean(axis=1, keepdims=True)
    spread = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.asarray(np.where(spread > 0, (a * b).sum(axis=1) / np.maximum(spread, 1e-9), 0.0), np.float64)


def _cosines(side: int) -> NDArray[np.float32]:
    """The lowest eight rows of the cosine transform of `side` samples, (8, side)."""
    frequency, at = np.arange(8)[:, None], np.arange(side)[None]
    return np.cos(np.pi * frequency * (2 * at + 1) / (2 * side)).astype(np.float32)
