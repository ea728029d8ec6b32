"""Golden pictures leave place, time and camera at home, and not one pixel."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import small_models
from PIL import Image, ImageCms, PngImagePlugin

from kexp.data.pictures import decode
from kexp.export import golden
from kexp.export.bare import ORIENTATION, bare, orientation

SECRETS = (b"Leica", b"at home", b"49.123", b"a film")
SHAPE = (24, 36, 3)


def private(path, turned=1, **options):
    """A picture of 90 x 70 with GPS, a camera's name, XMP, a comment and bytes behind it."""
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 256, (7, 9, 3), np.uint8)).resize((90, 70))
    exif = Image.Exif()
    exif[0x010F] = "Leica"
    exif[ORIENTATION] = turned
    exif.get_ifd(0x8825)[0x001D] = "49.123"  # the GPS directory
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>at home</x:xmpmeta>"
    if path.suffix == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", "at home")
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        options["pnginfo"] = text
    else:
        options["xmp"] = xmp
    if path.suffix == ".jpg":
        options["comment"] = b"at home"
    picture.save(
        path, exif=exif, icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), **options
    )
    with path.open("ab") as file:
        file.write(b"a film")
    return path


CASES = {
    "jpeg": (".jpg", {"quality": 90}),
    "progressive jpeg": (".jpg", {"progressive": True}),
    "png": (".png", {}),
    "webp": (".webp", {"quality": 80}),
    "lossless webp": (".webp", {"lossless": True}),
}


@pytest.mark.parametrize("turned", [1, 6, 8])
@pytest.mark.parametrize("case", CASES)
def test_pixels_and_orientation_stay_and_nothing_else(tmp_path, case, turned):
    suffix, options = CASES[case]
    path = private(tmp_path / f"a{suffix}", turned, **options)
    before = path.read_bytes()
    assert all(secret in before for secret in (b"Leica", b"at home", b"a film"))
    content = bare(path)
    assert not [secret for secret in SECRETS if secret in content]
    np.testing.assert_array_equal(decode(content, SHAPE), decode(path, SHAPE))
    (tmp_path / "bare").write_bytes(content)
    with Image.open(tmp_path / "bare") as picture, Image.open(path) as original:
        assert orientation(picture) == turned
        assert dict(picture.getexif()) == ({ORIENTATION: turned} if turned > 1 else {})
        assert picture.info["icc_profile"] == original.info["icc_profile"]
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(original))


@pytest.mark.parametrize("case", CASES)
def test_what_breaks_off_is_refused(tmp_path, case):
    suffix, options = CASES[case]
    path = private(tmp_path / f"a{suffix}", **options)
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(ValueError, match="end"):
        bare(path)


def test_what_is_not_understood_is_refused(tmp_path):
    Image.new("P", (4, 4)).save(tmp_path / "a.gif", comment=b"at home")
    with pytest.raises(ValueError, match="no JPEG, PNG, WebP or BMP"):
        bare(tmp_path / "a.gif")


def test_golden_samples_are_bare_and_lossy_ones_are_named(tmp_path):
    digits = small_models.digits_net().dataset
    rows = golden.choose(digits)
    files, suffixes = [""] * len(digits.x), [".png", ".jpg", ".webp", ".gif"]
    for place, row in enumerate(rows):
        path = tmp_path / f"{row}{suffixes[place % 4]}"
        if path.suffix == ".gif":
            Image.new("L", (8, 8), int(row) % 256).save(path, comment=b"at home")
        else:
            private(path, turned=6 if place == 4 else 1)
        files[row] = path
    dataset = dataclasses.replace(digits, files=files)
    names = golden.write(dataset, tmp_path / "golden")
    # Of a GIF it is not known what it tells, so its pixels are written anew.
    assert [name.split(".")[1] for name in names[:5]] == ["png", "jpg", "webp", "png", "png"]
    for name in names:
        content = (tmp_path / "golden" / name).read_bytes()
        assert not [secret for secret in SECRETS if secret in content], name
    assert list(golden.lossy(tmp_path / "golden").values())[:5] == [False, True, True, False, True]


def test_a_picture_that_would_look_otherwise_is_written_anew(tmp_path, monkeypatch):
    path = private(tmp_path / "a.jpg")
    monkeypatch.setattr("kexp.export.bare.bare", lambda path: private(tmp_path / "b.jpg", turned=3).read_bytes())
    assert golden._bare(path, SHAPE) is None
    monkeypatch.undo()
    assert golden._bare(path, SHAPE) == bare(path)
