"""Clean data of each kind, for the tests of the doctor to plant defects in."""

from __future__ import annotations

import numpy as np
import soundfile
from PIL import Image

from kexp.data import doctor
from kexp.experiment import from_data

ROWS = 240


def examine(path, tmp_path, **options):
    return doctor.examine(from_data(str(path), **options), cache=tmp_path / "cache")


def named(found, name):
    """The one finding called `name`."""
    several = [one for one in found if one.name == name]
    assert len(several) == 1, f"{name} is not among {[one.name for one in found]}"
    return several[0]


def grave(found):
    return [one for one in found if one.severity != "note"]


def planted(found, name, severity, *beside):
    """The one finding called `name`, of that severity; nothing else is grave but what is called as in `beside`."""
    one = named(found, name)
    assert one.severity == severity
    assert {other.name for other in grave(found)} <= {name, *beside}
    return one


def table():
    """Columns of a table from which the answer follows only together, without a twin."""
    random = np.random.default_rng(0)
    size, weight = random.normal(10, 2, ROWS).round(3), random.normal(50, 9, ROWS).round(3)
    colour = random.choice(["red", "green", "blue"], ROWS)
    noise = random.normal(0, 1, ROWS)
    answer = np.where(size / 2 + weight / 9 + noise > 10.5, "yes", "no")
    return {"size": size, "weight": weight, "colour": colour, "answer": answer}


def write(path, columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(columns)]
    lines += [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def picture(seed, side=96):
    """A photo's stand-in: smooth blobs, none like another."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (12, 12, 3), np.uint8))
    return coarse.resize((side, side), Image.Resampling.BICUBIC)


def photos(root, per_class=12):
    for at, label in enumerate(("cat", "dog")):
        (root / label).mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            picture(100 * at + i).save(root / label / f"{i:02}.png")
    return root


def tone(seed, rate=8000, seconds=0.4):
    random = np.random.default_rng(seed)
    at = np.arange(int(rate * seconds)) / rate
    wave = np.sin(2 * np.pi * random.uniform(200, 900) * at + random.uniform(0, 6))
    return 0.4 * wave + random.normal(0, 0.02, len(at))


def sounds_in(root, per_class=6):
    for at, label in enumerate(("low", "high")):
        (root / label).mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            soundfile.write(root / label / f"{i}.wav", tone(100 * at + i), 8000)
    return root


def write_clip(path, pictures, rate=10):
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for pixels in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def frames(seed, count=12, side=64):
    pixels = np.asarray(picture(seed, side))
    return [np.roll(pixels, 3 * i, axis=1).copy() for i in range(count)]


def clips_in(root, per_class=4):
    for at, label in enumerate(("left", "right")):
        (root / label).mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            write_clip(root / label / f"{i}.mp4", frames(100 * at + i))
    return root


def walks(count=60, steps=30, channels=3):
    random = np.random.default_rng(1)
    return random.normal(0, 1, (count, steps, channels)).cumsum(axis=1), np.arange(count) % 2


def write_npz(path, x, y):
    np.savez(path, x=x.astype(np.float32), y=y)
    return path


# -- defects that several tests plant: functions of the columns ------------------------------------


def constant(columns):
    columns["unit"] = ["kg"] * ROWS


def spelt(columns):
    columns["colour"] = columns["colour"].astype(object)
    columns["colour"][[11, 12]] = "Red "


def copied(columns):
    columns["verdict"] = np.where(columns["answer"] == "yes", "B", "A")
