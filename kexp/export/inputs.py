"""What the input of a model is, in words and in code, for kinds whose samples are plain arrays: series, sounds, clips.

Pictures and tables, of which each format tells more, are described where they are written (card.py, c.py).
"""

from __future__ import annotations

from kexp.records import AXES, NOUNS, PLURALS, DatasetSpec, Kind

A: dict[Kind, str] = {**{kind: f"A {noun}" for kind, noun in NOUNS.items()}, "table": "A row of a table"}
PLURAL: dict[Kind, str] = {**PLURALS, "table": "table rows"}
EXAMPLE: dict[Kind, str] = {
    "image": "picture.jpg",
    "table": "rows.csv",
    "series": "recording.csv",
    "sound": "sound.wav",
    "clip": "clip.mp4",
}


def size(spec: DatasetSpec) -> str:
    """How large a sample is: "128 steps of 9 channels"."""
    if spec.kind == "series":
        steps, channels = spec.shape
        return f"series of {steps} steps of {channels} channel{'s' if channels > 1 else ''}"
    if spec.kind == "sound":
        return f"sounds of {spec.shape[0] / spec.rate:.3g} s at {spec.rate:,.0f} Hz"
    frames, height, width, channels = spec.shape
    return f"clips of {frames} frames of {width} x {height} pixels, {'grey' if channels == 1 else 'in colour'}"


def order(spec: DatasetSpec) -> str:
    """What the numbers of a sample are, and in which order."""
    axes = ", ".join(AXES[spec.kind])
    if spec.kind == "series":
        rate = f", {spec.rate:g} a second" if spec.rate else ""
        names = ", ".join(spec.channels)
        return f"({axes}): the oldest step first{rate}; channels {names}, as they were measured"
    if spec.kind == "sound":
        return f"({axes}): mono, {spec.rate:g} a second, -1 to 1"
    colours = "grey" if spec.shape[3] == 1 else "red, green, blue"
    rate = f", {spec.rate:.3g} a second" if spec.rate else ""
    return f"({axes}): the first frame first{rate}; {colours}, 0 to 255"


def treatment(spec: DatasetSpec) -> str:
    """What kexp does with a file before the model sees it."""
    return {
        "series": (
            "Only the last steps are looked at; there must be as many. A missing value is the one before."
            if spec.horizon
            else "A longer recording is cut around its middle, of a shorter one the last values are repeated. Missing "
            "values are drawn straight between their neighbours. `kexp.data.series.fit` does exactly that."
        ),
        "sound": "Channels are averaged and brought to this rate; a longer sound is cut around its middle, a shorter "
        "one has zeros at its end. `kexp.data.sounds.decode` does exactly that.",
        "clip": "Of a video, the frames in the middle of as many equal spans, each cut around its centre to this ratio "
        "and resized with an antialiasing filter. `kexp.data.clips.decode` does exactly that.",
    }[spec.kind]


def snippet(spec: DatasetSpec) -> tuple[str, str]:
    """Imports, and Python lines that make `x`, (1, *shape) float32, of a file."""
    shape = ", ".join(map(str, spec.shape))
    if spec.kind == "series":
        last = f"[-{spec.shape[0]}:]"
        return "", (
            f'x = np.loadtxt("recording.csv", delimiter=",", skiprows=1, ndmin=2){last}  # one row for each step\n'
            f"x = x.astype(np.float32).reshape(1, {shape})"
        )
    if spec.kind == "sound":
        return "import soundfile\n", (
            f'x, rate = soundfile.read("sound.wav", dtype="float32")  # mono, {spec.rate:g} Hz\n'
            f"x = np.resize(np.pad(x, (0, max(0, {shape} - len(x)))), (1, {shape}))"
        )
    return "", f'x = np.load("clip.npy").astype(np.float32).reshape(1, {shape})  # 0 to 255'
