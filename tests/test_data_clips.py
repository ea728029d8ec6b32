"""Clips: which frames are taken, turned as they are shown, from videos and animations, and files that are broken."""

from __future__ import annotations

import struct
import weakref
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from kexp.data import clips, describe, load, read, samples
from kexp.errors import DataError
from kexp.records import Experiment


def grey_frames(count, height=32, width=48):
    """Frame i is grey all over, 10 levels lighter than the one before."""
    return [np.full((height, width, 3), 10 + 10 * (i % 24), np.uint8) for i in range(count)]


def film(path, frames, rate=10, codec="mpeg4"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def unsteady(path, cut=0):
    """Frames that are shown for unequal times, the last for one millisecond; the first `cut` of these trimmed away."""
    times = [0, 100, 200, 300, 400, 500, 1000, 1500]
    options = {"use_editlist": "1", "avoid_negative_ts": "disabled"} if cut else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("mpeg4", rate=1000)
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = 32, 48, "yuv420p", 2_000_000
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        packets = []
        for at, made in zip(times, grey_frames(len(times)), strict=True):
            frame = av.VideoFrame.from_ndarray(made, format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            packets += stream.encode(frame)
        for packet in [*packets, *stream.encode()]:
            packet.pts, packet.dts = packet.pts - cut, packet.dts - cut
            container.mux(packet)
    return path


def gif(path, frames, duration=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=duration)
    return path


def turned(path, degrees):
    """Write into the header of an mp4 that it is shown turned clockwise, as phones do."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix is 40 bytes behind the name
    one = 1 << 16
    matrix = {90: (0, one, 0, -one, 0, 0), 180: (-one, 0, 0, 0, -one, 0), 270: (0, -one, 0, one, 0, 0)}[degrees]
    data[at : at + 24] = struct.pack(">6i", *matrix)
    path.write_bytes(bytes(data))
    return path


def moves(root, count=4, frames=8, ending="mp4"):
    for label, step in (("dark", 0), ("light", 100)):
        for i in range(count):
            made = [np.clip(frame.astype(int) + step + i, 0, 255).astype(np.uint8) for frame in grey_frames(frames)]
            (gif if ending == "gif" else film)(root / label / f"{i}.{ending}", made)
    return root


def raw(tmp_path, data="moves", **options):
    return read(Experiment(name="x", data=data, **options), base=tmp_path, cache=tmp_path / "cache")


def said(found):
    return " ".join(found.notices)


# --- one file -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.mkv", "a.mov", "a.gif"])
@pytest.mark.parametrize(("count", "frames", "places"), [(12, 4, [1, 4, 7, 10]), (3, 6, [0, 0, 1, 1, 2, 2])])
def test_frames_are_those_in_the_middle_of_equal_spans(tmp_path, name, count, frames, places):
    made = grey_frames(count)
    path = gif(tmp_path / name, made) if name.endswith("gif") else film(tmp_path / name, made)
    clip = clips.decode(path, (frames, 16, 24, 1))
    assert clip.shape == (frames, 16, 24, 1) and clip.dtype == np.uint8
    assert np.abs(clip.mean(axis=(1, 2, 3)) - [10 + 10 * place for place in places]).max() < 4


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_where_frames_are_shown_for_unequal_times_spans_are_of_time(tmp_path, name):
    """Phones film at rates that vary with the light, and the phone's page can go by time alone."""
    clip = clips.decode(unsteady(tmp_path / name), (4, 16, 24, 1))
    places = [1, 5, 5, 6]  # shown at .19, .56, .94 and 1.31 seconds; by their number they were 1, 3, 5, 7
    assert np.abs(clip.mean(axis=(1, 2, 3)) - [10 + 10 * place for place in places]).max() < 4


def test_of_a_clip_that_was_trimmed_spans_are_of_what_is_left(tmp_path):
    """Phones trim by an edit list: the frames that are cut away stay in the file, and are not shown."""
    clip = clips.decode(unsteady(tmp_path / "a.mp4", cut=250), (4, 16, 24, 1))
    assert np.abs(clip.mean(axis=(1, 2, 3)) - [10 + 10 * place for place in (5, 5, 6, 7)]).max() < 4


def test_colours_stay_and_the_centre_is_kept(tmp_path):
    frame = np.zeros((32, 64, 3), np.uint8)
    frame[:, :16] = frame[:, 48:] = (0, 0, 255)
    frame[:, 16:48] = (200, 40, 40)
    clip = clips.decode(gif(tmp_path / "a.gif", [frame, frame[::-1] // 2]), (2, 8, 8, 3))
    np.testing.assert_allclose(clip[0].mean(axis=(0, 1)), (200, 40, 40), atol=12)
    np.testing.assert_allclose(clip[1].mean(axis=(0, 1)), (100, 20, 20), atol=12)


@pytest.mark.parametrize(("degrees", "bright"), [(90, "right"), (180, "bottom"), (270, "left")])
def test_a_video_is_turned_as_it_is_shown(tmp_path, degrees, bright):
    frame = np.full((32, 48, 3), 20, np.uint8)
    frame[:16] = 220  # the upper half
    path = film(tmp_path / "a.mp4", [frame] * 4)
    upper = clips.decode(path, (1, 32, 48, 1))[0, :, :, 0].astype(float)
    assert upper[:14].mean() > 200 and upper[18:].mean() < 40
    height, width = (48, 32) if degrees != 180 else (32, 48)
    shown = clips.decode(turned(path, degrees), (1, height, width, 1))[0, :, :, 0].astype(float)
    half = {"right": shown[:, width // 2 + 2 :], "left": shown[:, : width // 2 - 2], "bottom": shown[height // 2 + 2 :]}
    assert half[bright].mean() > 200 and shown.mean() < 140


def test_what_a_file_says_of_its_frames_is_not_trusted(tmp_path, monkeypatch):
    path = film(tmp_path / "a.mp4", grey_frames(12))
    right = clips.decode(path, (4, 16, 24, 1))
    opened = clips._opened

    class Liar:
        def __init__(self, container):
            self.container = container

        def __getattr__(self, name):
            return getattr(self.container, name)

        def demux(self, stream):
            return list(self.container.demux(stream))[:5]

    class Lying:
        def __init__(self, source):
            self.inner = opened(source)

        def __enter__(self):
            return Liar(self.inner.__enter__())

        def __exit__(self, *reason):
            return self.inner.__exit__(*reason)

    monkeypatch.setattr(clips, "_opened", Lying)
    np.testing.assert_array_equal(clips.decode(path, (4, 16, 24, 1)), right)


def test_a_long_video_is_not_kept_in_memory(tmp_path, monkeypatch):
    """One frame after the other is brought to its size; the large ones do not wait for the last."""
    path = film(tmp_path / "a.mp4", grey_frames(24, 120, 160) * 4, rate=30)
    upright, alive, most = clips._upright, [], []

    def counted(frame):
        picture = upright(frame)
        alive.append(weakref.ref(picture))
        most.append(sum(one() is not None for one in alive))
        return picture

    monkeypatch.setattr(clips, "_upright", counted)
    assert clips.decode(path, (90, 16, 16, 3)).shape == (90, 16, 16, 3)
    assert len(most) == 90 and max(most) <= 2


@pytest.mark.parametrize("content", [b"", b"words, no video", b"\0\0\0\x18ftypmp42" + bytes(40)])
def test_what_is_no_video_is_named(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.mp4 is no clip, or damaged: an mp4, avi, gif, mov"):
        clips.decode(tmp_path / "a.mp4", (2, 8, 8, 1))


def test_a_sound_in_a_video_file_is_named(tmp_path):
    import soundfile

    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 8000)
    (tmp_path / "a.wav").rename(tmp_path / "a.mp4")
    with pytest.raises(DataError, match=r"a\.mp4 holds no pictures"):
        clips.decode(tmp_path / "a.mp4", (2, 8, 8, 1))


def test_a_stream_and_a_wrong_ending_are_read(tmp_path):
    path = film(tmp_path / "a.mp4", grey_frames(6))
    right = clips.decode(path, (3, 8, 8, 1))
    with path.open("rb") as stream:
        np.testing.assert_array_equal(clips.decode(stream, (3, 8, 8, 1)), right)
    path.rename(tmp_path / "a.avi")
    np.testing.assert_array_equal(clips.decode(tmp_path / "a.avi", (3, 8, 8, 1)), right)


# --- folders --------------------------------------------------------------------------------------


def test_class_folders_of_videos(tmp_path):
    moves(tmp_path / "moves")
    found = raw(tmp_path)
    assert (found.kind, found.labels, found.x.shape) == ("clip", ("dark", "light"), (8, 8, 32, 48, 1))
    assert found.rate == pytest.approx(10.0)
    assert "Clips have 8 to 8 frames: 8 evenly spaced ones of each are used, brought to 32 x 48" in said(found)
    np.testing.assert_array_equal(found.x[5], clips.decode(Path(found.files[5]), (8, 32, 48, 1)))


def test_frames_and_size_may_be_set_and_are_found_otherwise(tmp_path):
    root = moves(tmp_path / "moves", frames=4)
    film(root / "dark" / "long.mp4", grey_frames(40, 200, 320))
    found = raw(tmp_path)
    assert found.x.shape == (9, 16, 32, 48, 1)
    assert "Clips have 4 to 40 frames: 16 evenly spaced" in said(found)
    assert said(raw(tmp_path)) == said(found)
    assert raw(tmp_path, frames=5, size=(20, 30)).x.shape == (9, 5, 20, 30, 1)


def test_one_colour_makes_the_set_coloured(tmp_path):
    root = moves(tmp_path / "moves", ending="gif")
    assert raw(tmp_path).x.shape[-1] == 1
    red = [np.full((32, 48, 3), (200, 30, 30), np.uint8) // (i + 1) for i in range(4)]
    gif(root / "light" / "red.gif", red)
    assert raw(tmp_path).x.shape[-1] == 3


def test_a_broken_clip_is_skipped_and_more_are_refused(tmp_path):
    root = moves(tmp_path / "moves", ending="gif")
    (root / "dark" / "1.gif").write_bytes(b"")
    found = raw(tmp_path)
    assert len(found.x) == len(found.ids) == 7 and "1.gif is no clip" in said(found)
    (root / "light" / "2.gif").write_text("words")
    with pytest.raises(DataError, match=r"2 of 8 clips cannot be read; at most 1"):
        raw(tmp_path)


def test_the_second_time_nothing_is_opened(tmp_path, monkeypatch):
    moves(tmp_path / "moves", ending="gif")
    first = raw(tmp_path)
    monkeypatch.setattr(clips, "_opened", None)
    again = raw(tmp_path)
    np.testing.assert_array_equal(again.x, first.x)
    assert (again.rate, said(again)) == (first.rate, said(first))


def test_kexp_run_reads_a_file_as_training_did_and_what_is_written_is_exact(tmp_path):
    moves(tmp_path / "moves", count=6)
    dataset = load(Experiment(name="x", data="moves"), base=tmp_path, cache=tmp_path / "cache")
    assert dict(describe(dataset))["size"] == "8 frames of 32 x 48, grey"
    for file, x in zip(dataset.files, dataset.x, strict=True):
        (sample,) = samples.read(Path(file), dataset.spec)
        np.testing.assert_array_equal(sample.x, x)
    written = samples.SAMPLES["clip"].write(dataset.x[3], dataset.spec, tmp_path / "golden")
    (sample,) = samples.read(written, dataset.spec)
    np.testing.assert_array_equal(sample.x, dataset.x[3])
