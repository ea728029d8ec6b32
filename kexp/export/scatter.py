"""A picture of clusters for the model card: samples in a plane, coloured by cluster; exemplars bear its number."""

from __future__ import annotations

from html import escape

from kexp.records import Clustering

NAME = "clusters.svg"
SIDE = 640  # pixels
EDGE = 28
GOLDEN = 137.508  # degrees, the golden angle: however many hues in a row, neighbours stay far apart


def svg(clustering: Clustering, labels: tuple[str, ...]) -> str:
    """The picture, as SVG. `clustering.places` are the exemplars, in the order of `labels`, then other samples."""
    xs, ys = zip(*clustering.places, strict=True)
    # Both axes at one scale: a distance is the same in every direction.
    scale = (SIDE - 2 * EDGE) / (max(max(xs) - min(xs), max(ys) - min(ys)) or 1.0)
    middle = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2

    def at(x: float, y: float) -> tuple[float, float]:
        return SIDE / 2 + scale * (x - middle[0]), SIDE / 2 - scale * (y - middle[1])

    spots = [(*at(*place), member) for place, member in zip(clustering.places, clustering.members, strict=True)]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}" width="{SIDE}" height="{SIDE}" '
        'font-family="system-ui, sans-serif" font-size="13" font-weight="600" text-anchor="middle">',
        f"<title>{escape(clustering.plane)}</title>",
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for x, y, member in spots[len(labels) :]:
        lines.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_colour(member)}" fill-opacity=".65"/>')
    for k, ((x, y, member), label) in enumerate(zip(spots, labels, strict=False), 1):
        lines += [
            f'<g><title>{escape(label)}</title><circle cx="{x:.1f}" cy="{y:.1f}" r="11" fill="#fff" '
            f'stroke="{_colour(member)}" stroke-width="3"/><text x="{x:.1f}" y="{y + 4.5:.1f}">{k}</text></g>'
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _colour(member: int) -> str:
    return f"hsl({(210 + GOLDEN * member) % 360:.0f} 70% {(42, 55)[member % 2]}%)"
