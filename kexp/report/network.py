"""What a report says of the network itself, on validation rows: its first filters, what its answers hang on, its units.

Each needs the model opened, which takes TensorFlow and some seconds.
"""

from __future__ import annotations

import numpy as np

from kexp.records import NOUNS
from kexp.report import activations, features, saliency, samples
from kexp.report.inside import Inside
from kexp.report.markup import Html, figure, join, note, paragraph, plural
from kexp.report.material import Material


def first_filters(material: Material, inside: Inside) -> Html | None:
    """Feature maps of one validation sample; None where the network has no convolution."""
    dataset = material.dataset
    rows = dataset.rows("validation")
    if not len(rows):  # trained on folds: all rows but the test rows trained
        rows = dataset.rows("train")
    row = int(rows[0])
    found = features.data(inside, np.asarray(dataset.x[row]))
    if not found:
        return None
    noun = NOUNS[dataset.spec.kind]
    parts = [
        paragraph(f"What the network makes of one validation {noun}, {dataset.ids[row]}."),
        figure(samples.draw(dataset, row, dataset.ids[row]), "What goes in.", kind="sample"),
    ]
    for one in found:
        drawn = features.shown(one)
        shown = f", the first {drawn} of {one.of}" if one.of > drawn else ""
        caption = f"{one.what[:1].upper()}{one.what[1:]} ({one.layer}): {features.size(one)} each{shown}."
        parts.append(figure(features.draw(one), caption, kind="sample"))
    parts.append(note("Each map from its own lowest value (dark) to its own highest (light)."))
    return join(*parts)


def attention(material: Material, inside: Inside) -> Html | None:
    """Saliency of pictures whose classes or labels are told."""
    spec = material.dataset.spec
    if spec.kind != "image" or spec.task == "regression":
        return None
    found = saliency.data(inside, material.dataset, saliency.rows(material.dataset))
    if not found:
        return None
    return join(
        paragraph("Validation pictures, and beside each where a small change would change the answer most."),
        saliency.draw(found, material.dataset),
        note(
            "The gradient of the winning logit by the pixels (Simonyan et al. 2014): light is much. It shows what the "
            "answer hangs on, not whether for good reasons."
        ),
    )


def units(material: Material, inside: Inside) -> Html | None:
    """Activations of each layer."""
    rows = material.dataset.rows("validation")[: activations.ROWS]
    found = activations.data(inside, np.asarray(material.dataset.x[rows]))
    if not found:
        return None
    dead = sum(one.dead for one in found)
    told = f"Of {plural(sum(one.units for one in found), 'unit')}, {dead:,} always put out the same"
    advice = []
    if any(one.dead / one.units >= activations.MANY for one in found):
        advice = [paragraph("A layer with many dead units is larger than it needs to be, or its learning rate was too "
                            "high: fewer units may do as well.", kind="warn")]  # fmt: skip
    return join(
        paragraph(f"{told}, whichever of {len(rows):,} validation rows they see."),
        *advice,
        activations.draw(found),
        note("Histograms are of all values but zeros, of a relu; of a convolution a unit is a filter."),
    )
