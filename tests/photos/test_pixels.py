"""What certero promises about decoding: one upright RGB picture, or a reason, never a substitute."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from places import EXAMPLES, SHARED_DATA

from certero.errors import PhotoError
from certero.photos.pixels import decode, fit, prepare, shrink_grey
from certero.records.preprocessing import Preprocessing

# pytest restores the warning filters that the module under test sets once; the subprocess test below checks them.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

FORMATS = {"jpeg": {"quality": 92}, "png": {}, "webp": {"quality": 90}, "bmp": {}, "tiff": {}, "gif": {}}


def scene(height: int = 120, width: int = 180, seed: int = 3) -> Image.Image:
    """A picture with an unmistakable orientation, soft shapes and a little noise."""
    noise = np.random.default_rng(seed).integers(0, 60, (height, width, 3))
    rows, columns = np.mgrid[0:height, 0:width]
    base = np.stack([rows * 180 // height, columns * 180 // width, (rows + columns) * 90 // height], axis=2)
    base[: height // 3, : width // 4] = (250, 30, 30)
    return Image.fromarray(np.clip(base + noise, 0, 255).astype(np.uint8))


def encode(photo: Image.Image, photo_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, photo_format.upper(), **(FORMATS[photo_format] | options))
    return buffer.getvalue()


def exif(orientation: int = 1, taken_at: str | None = None) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    if taken_at:
        tags.get_ifd(0x8769)[0x9003] = taken_at
        tags[0x8769] = 0  # Pillow's TIFF writer wants the folder's tag, whatever its value
    return tags


def reason(data: bytes) -> str:
    with pytest.raises(PhotoError) as caught:
        decode(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- formats and modes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("photo_format", FORMATS)
def test_content_decides_the_format_and_pixels_are_those_of_pillow(photo_format: str) -> None:
    data = encode(scene(), photo_format)
    photo = decode(data)
    assert (photo.format, photo.damage, photo.captured_at) == (photo_format, None, None)
    assert photo.pixels.dtype == np.uint8
    assert photo.pixels.flags.c_contiguous
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(photo.pixels - expected).max() <= (2 if photo_format == "jpeg" else 0)


@pytest.mark.parametrize("photo_format", ["jpeg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_exactly_once(photo_format: str, orientation: int) -> None:
    data = encode(scene(), photo_format, exif=exif(orientation))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))).astype(int)
    upright = decode(data).pixels
    assert upright.shape == expected.shape
    assert np.abs(upright - expected).mean() < 1


@pytest.mark.parametrize("photo_format", ["jpeg", "png", "webp", "tiff"])
def test_capture_time_is_read_from_exif(photo_format: str) -> None:
    data = encode(scene(), photo_format, exif=exif(taken_at="2024:01:12 05:40:04"))
    assert decode(data).captured_at == datetime(2024, 1, 12, 5, 40, 4)
    assert decode(encode(scene(), photo_format, exif=exif(taken_at="0000:00:00 00:00:00"))).captured_at is None


def test_corrupt_exif_is_damage_and_not_the_end() -> None:
    data = encode(scene(), "jpeg", exif=exif(6))
    at = data.index(b"Exif\0\0") + 6
    photo = decode(data[:at] + b"XXXXXXXX" + data[at + 8 :])
    assert photo.damage == "the EXIF data are corrupt"
    assert photo.pixels.shape == (120, 180, 3)


def test_grey_and_bilevel_become_equal_channels() -> None:
    for photo, photo_format in ((scene().convert("L"), "jpeg"), (scene().convert("1"), "png")):
        got = decode(encode(photo, photo_format)).pixels
        assert (got[..., 0] == got[..., 1]).all()
        assert (got[..., 0] == got[..., 2]).all()
    assert set(np.unique(decode(encode(scene().convert("1"), "png")).pixels)) == {0, 255}


@pytest.mark.parametrize("photo_format", ["png", "tiff"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(photo_format: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    got = decode(encode(Image.fromarray(ramp), photo_format)).pixels[..., 0]
    assert np.abs(got.astype(float) - ramp / 257).max() <= 0.5 + 1e-9


def test_sixteen_bit_colour_is_scaled() -> None:
    import struct
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = b"".join(b"\0" + b"".join(struct.pack(">HHH", x * 4000, 30000, 65535) for x in range(16)) for _ in range(4))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 4, 16, 2, 0, 0, 0))
    start, rest = b"\x89PNG\r\n\x1a\n" + header, chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    for transparent in (b"", chunk(b"tRNS", struct.pack(">HHH", 65535, 30000, 65535))):
        got = decode(start + transparent + rest).pixels
        assert np.abs(got[0, :, 0].astype(float) - np.arange(16) * 4000 / 257).max() <= 1
        assert (got[..., 2] == 255).all()


def test_transparency_is_laid_on_white() -> None:
    red = Image.new("RGBA", (40, 30), (255, 0, 0, 255))
    red.paste((0, 0, 0, 0), (0, 0, 20, 30))
    palette = red.convert("RGB").quantize(4)
    grey_alpha = red.convert("LA")
    for data in (encode(red, "png"), encode(red, "webp", lossless=True), encode(grey_alpha, "png")):
        assert (decode(data).pixels[:, :20] == 255).all()
    black = palette.getpixel((0, 0))
    for photo_format in ("png", "gif"):
        assert (decode(encode(palette, photo_format, transparency=black)).pixels[:, :20] == 255).all()
    half = decode(encode(Image.new("RGBA", (8, 8), (0, 0, 0, 128)), "png")).pixels
    assert abs(int(half[0, 0, 0]) - 127) <= 1


def test_cmyk_jpeg_has_the_colours_that_pillow_shows() -> None:
    data = encode(scene().convert("CMYK"), "jpeg")
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(decode(data).pixels - expected).max() <= 2


def test_first_frame_of_an_animation_is_taken() -> None:
    first, second = scene(), scene(seed=9).transpose(Image.Transpose.ROTATE_180)
    for photo_format in ("gif", "webp", "png", "tiff"):
        data = encode(first, photo_format, save_all=True, append_images=[second])
        shown = decode(data).pixels.astype(int)
        assert np.abs(shown - np.asarray(first)).mean() < 20 < np.abs(shown - np.asarray(second)).mean()


@pytest.mark.parametrize("photo_format", ["eps", "ico", "pcx", "tga"])
def test_other_formats_are_refused_even_where_pillow_reads_them(photo_format: str) -> None:
    buffer = io.BytesIO()
    scene().save(buffer, photo_format)
    assert "convert it to JPEG" in reason(buffer.getvalue())


def test_a_raw_files_preview_does_not_pass_for_the_photo() -> None:
    assert "preview" in reason(encode(scene(), "tiff", tiffinfo={254: 1}))


# ---- damage ---------------------------------------------------------------------------------------------------


def test_empty_zero_and_foreign_files_are_named_as_such() -> None:
    assert reason(b"") == "the file is empty"
    assert reason(bytes(4096)) == "the file holds nothing but zero bytes"
    assert reason(b"<html>404</html>" * 50) == "this is a web page and no photo"
    assert "of no known format" in reason(b"hola" * 50)


def test_a_jpeg_that_lacks_only_its_end_marker_is_damaged_but_used() -> None:
    for options in ({}, {"progressive": True}, {"optimize": True}):
        data = encode(scene(), "jpeg", **options)
        photo = decode(data[:-2])
        assert photo.damage == "the end marker is missing"
        assert (photo.pixels == decode(data).pixels).all()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("kept", [0.05, 0.3, 0.6, 0.9, 0.98])
def test_a_truncated_jpeg_is_unreadable(options: dict[str, object], kept: float) -> None:
    data = encode(scene(), "jpeg", **options)
    cut = data[: int(len(data) * kept)]
    reason(cut)
    reason(cut + b"\xff\xd9")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_jpeg_padded_with_zeros_by_a_power_cut_is_unreadable(options: dict[str, object], kept: float) -> None:
    data = encode(scene(), "jpeg", **options)
    cut = data[: int(len(data) * kept)]
    for tail in (len(data) - len(cut), 4096, 100_000):
        reason(cut + bytes(tail))


def test_a_lost_sector_inside_a_jpeg_is_unreadable() -> None:
    data = encode(scene(300, 400), "jpeg")
    for at in range(1000, len(data) - 600, 2000):
        reason(data[:at] + bytes(512) + data[at + 512 :])


def test_a_progressive_jpeg_cut_between_two_scans_is_unreadable() -> None:
    data = encode(scene(), "jpeg", progressive=True)
    scans = [i for i in range(len(data)) if data[i : i + 2] == b"\xff\xda"]
    last_table = data.rfind(b"\xff\xc4", 0, scans[-1])
    for at in (scans[-1], last_table):
        assert "cut short" in reason(data[:at])


def test_a_constant_photo_full_of_zero_bytes_is_sound() -> None:
    data = encode(Image.new("RGB", (2000, 2000), "white"), "jpeg", optimize=True)
    assert bytes(64) in data
    assert decode(data).damage is None


def test_surplus_bytes_are_damage_and_a_phones_film_is_not() -> None:
    data = encode(scene(), "jpeg")
    assert decode(data + b"garbage").damage == "7 surplus bytes after the end of the photo"
    assert "surplus" in str(decode(data[:-2] + b"garbage" + data[-2:]).damage)
    assert decode(data + b"\0\0\0\x18ftypmp42" + bytes(500)).damage is None
    assert "surplus" in str(decode(encode(scene(), "png") + b"garbage").damage)
    assert "surplus" in str(decode(encode(scene(), "webp") + b"garbage!").damage)


def test_junk_between_header_segments_is_damage_and_hides_no_truncation() -> None:
    data = encode(scene(), "jpeg")
    at = data.index(b"\xff\xc0")
    junk = data[:at] + b"\x11\x22\x33" + data[at:]
    photo = decode(junk)
    assert photo.damage == "surplus bytes in the header"
    assert (photo.pixels == decode(data).pixels).all()
    reason(junk[: len(junk) // 2])
    reason(junk[: len(junk) // 2] + b"\xff\xd9")


@pytest.mark.parametrize(
    ("photo_format", "options"),
    [
        ("png", {}),
        ("webp", {}),
        ("webp", {"lossless": True}),
        ("bmp", {}),
        ("gif", {}),
        ("tiff", {}),
        ("tiff", {"compression": "tiff_lzw"}),
        ("tiff", {"compression": "tiff_adobe_deflate"}),
        ("tiff", {"compression": "jpeg"}),
    ],
)
def test_other_truncated_formats_are_unreadable(photo_format: str, options: dict[str, object]) -> None:
    data = encode(scene(), photo_format, **options)
    for kept in (0.02, 0.3, 0.6, 0.9):
        reason(data[: int(len(data) * kept)])


def test_a_png_without_its_end_marker_is_damaged_but_used() -> None:
    data = encode(scene(), "png")
    photo = decode(data[:-12])
    assert photo.damage == "the end marker is missing"
    assert (photo.pixels == decode(data).pixels).all()


def test_a_bomb_is_refused_from_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(scene(), "jpeg")
    at = data.index(b"\xff\xc0") + 5
    assert "megapixels" in reason(data[:at] + b"\xfe\xff\xfe\xff" + data[at + 4 :])
    bomb = bytearray(encode(scene(), "bmp"))
    bomb[18:26] = (30_000).to_bytes(4, "little") * 2
    assert "30000" in reason(bytes(bomb)) or "bomb" in reason(bytes(bomb))
    # The limit for formats whose header cannot be forged alone: whole photos of 178 megapixels would take minutes.
    monkeypatch.setattr("certero.photos.photo.MAX_PIXELS", 120 * 180 - 1)
    for photo_format in FORMATS:
        assert "180x120" in reason(encode(scene(), photo_format))


def mutants(count: int, seed: int, compressed_tiff: bool = True) -> list[bytes]:
    """Small files of every format with bytes changed, dropped, put in and zeroed."""
    rng = random.Random(seed)
    sources = [encode(scene(60, 80), f) for f in FORMATS]
    sources += [
        encode(scene(60, 80), "jpeg", progressive=True, exif=exif(6, "2024:01:12 05:40:04")),
        encode(scene(60, 80), "tiff", exif=exif(3), **({"compression": "tiff_lzw"} if compressed_tiff else {})),
        encode(scene(60, 80).convert("RGBA"), "webp", exif=exif(6)),
        encode(scene(60, 80).convert("P"), "png", exif=exif(6)),
    ]
    made = []
    for _ in range(count):
        data = bytearray(rng.choice(sources))
        for _ in range(rng.choice((1, 1, 3, 20))):
            at = rng.randrange(min(len(data), rng.choice((64, 1024, 10**6))))
            kind = rng.randrange(4)
            if kind == 0:
                data[at] = rng.randrange(256)
            elif kind == 1:
                del data[at : at + rng.choice((1, 7, 300))]
            elif kind == 2:
                data[at:at] = rng.randbytes(rng.choice((1, 5, 64)))
            else:
                data[at : at + 40] = bytes(40)
            if not data:
                break
        made.append(bytes(data))
    return made


def test_mutated_files_decode_or_give_one_line_reasons() -> None:
    for data in mutants(600, seed=1):
        try:
            outcome = str(decode(data).damage)
        except PhotoError as error:
            outcome = str(error)
        assert 0 < len(outcome) < 200
        assert outcome.isprintable()
        assert "0x7" not in outcome  # no addresses of Python objects


def test_decoders_write_nothing_to_standard_error() -> None:
    script = """
        import sys
        sys.path[:0] = sys.argv[1:]
        from test_pixels import mutants
        from certero.photos.pixels import decode
        from certero.errors import PhotoError
        # libtiff prints its errors from C, out of Python's reach: compressed TIFF is left out.
        for data in mutants(500, seed=2, compressed_tiff=False):
            try:
                decode(data)
            except PhotoError:
                pass
    """
    command = [
        sys.executable,
        "-W",
        "default",
        "-c",
        textwrap.dedent(script),
        str(Path(__file__).parent),
        str(EXAMPLES),
    ]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""


def test_threads_decode_the_same_pixels() -> None:
    photos = [encode(scene(seed=i), f) for i in range(6) for f in FORMATS]
    with ThreadPoolExecutor(4) as threads:
        for data, photo in zip(photos, threads.map(decode, photos), strict=True):
            assert (photo.pixels == decode(data).pixels).all()


# ---- sizes ----------------------------------------------------------------------------------------------------


def test_reduced_decoding_keeps_more_than_was_asked_for() -> None:
    data = encode(scene(1200, 1800), "jpeg", exif=exif(6))
    assert decode(data).pixels.shape == (1800, 1200, 3)
    assert decode(data, at_least=(300, 200)).pixels.shape == (450, 300, 3)
    assert decode(data, at_least=(500, 900)).pixels.shape == (1800, 1200, 3)
    assert decode(encode(scene(), "png"), at_least=(2, 2)).pixels.shape == (120, 180, 3)
    reason(data[: len(data) // 2])


def test_letterbox_keeps_the_whole_frame_and_its_shape() -> None:
    photo = np.asarray(scene(120, 180))
    framed = fit(photo, Preprocessing(height=90, width=90, pad=7))
    assert framed.shape == (90, 90, 3)
    assert (framed[:15] == 7).all()
    assert (framed[75:] == 7).all()
    expected = np.asarray(Image.fromarray(photo).resize((90, 60), Image.Resampling.BILINEAR))
    assert np.abs(framed[15:75].astype(int) - expected).max() <= 2


def test_stretch_fills_the_input_and_equal_sizes_change_nothing() -> None:
    photo = np.asarray(scene(120, 180))
    stretched = fit(photo, Preprocessing(height=50, width=40, fit="stretch", filter="bicubic"))
    expected = np.asarray(Image.fromarray(photo).resize((40, 50), Image.Resampling.BICUBIC))
    difference = np.abs(stretched.astype(int) - expected)  # see tests/test_resizing.py
    assert difference.mean() < 0.5
    assert difference.max() <= 12
    assert (fit(photo, Preprocessing(height=120, width=180)) == photo).all()


def test_extreme_shapes_keep_at_least_one_row() -> None:
    framed = fit(np.zeros((1, 5000, 3), np.uint8), Preprocessing(height=64, width=64))
    assert framed.shape == (64, 64, 3)
    assert (framed == 0).any()


def test_prepare_is_decode_and_fit() -> None:
    wanted = Preprocessing(height=224, width=224)
    data = encode(scene(348, 348), "jpeg")
    assert (prepare(data, wanted) == fit(decode(data).pixels, wanted)).all()
    large = encode(scene(1400, 1400), "jpeg")
    difference = prepare(large, wanted).astype(int) - fit(decode(large).pixels, wanted)
    assert np.abs(difference).mean() < 2


def test_shrunk_grey_is_luma_and_the_same_from_every_resolution() -> None:
    assert (shrink_grey(np.full((90, 70, 3), (200, 100, 50), np.uint8), 9, 7) == 124).all()  # 59.8 + 58.7 + 5.7
    photo = scene(480, 640)
    full = shrink_grey(np.asarray(photo), 64, 64).astype(int)
    luma = np.asarray(photo) @ np.array([0.299, 0.587, 0.114])
    assert abs(full.mean() - luma.mean()) < 1
    smaller = shrink_grey(np.asarray(photo.resize((417, 313), Image.Resampling.LANCZOS)), 64, 64)
    assert np.abs(full - smaller).mean() < 1


def test_real_photos_decode_without_complaint() -> None:
    photos = sorted((SHARED_DATA / "grocery" / "val").rglob("*.jpg"))[:40]
    if not photos:
        pytest.skip("the real photos (../shared/data/grocery) are not here")
    for path in photos:
        photo = decode(path.read_bytes())
        assert (photo.format, photo.damage) == ("jpeg", None)
