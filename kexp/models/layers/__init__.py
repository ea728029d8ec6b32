"""Layers of kexp's own: front ends and augmentation, by kind of data.

All are registered with Keras, so a saved `.keras` file opens after `import kexp.models.layers`.
"""

from __future__ import annotations

from kexp.models.layers.augmentation import Augmentation
from kexp.models.layers.clip import ClipAugment, Folded, Unfolded
from kexp.models.layers.pictures import Augment, Grey
from kexp.models.layers.series import FromLast, Naive, SeriesAugment
from kexp.models.layers.sound import LogMel, SpecAugment
from kexp.models.layers.table import TableEncoder

__all__ = [
    "Augment",
    "Augmentation",
    "ClipAugment",
    "Folded",
    "FromLast",
    "Grey",
    "LogMel",
    "Naive",
    "SeriesAugment",
    "SpecAugment",
    "TableEncoder",
    "Unfolded",
]
