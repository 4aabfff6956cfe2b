"""Which photos that are equal in a part `certero audit` names: planted on the test photos of grocery, among the others.

Each kind of change is planted so many times after each of the alterations below, across splits and classes, from photos
of the publishers' test split; every constant was chosen on those of train and val. The audit does without the network.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import bench
import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

Photo = Image.Image
Rng = np.random.Generator


def _pasted(photo: Photo, other: Photo, share: float, rng: Rng, opacity: int = 255) -> Photo:
    """An ellipse or a rectangle of the other photo on this share of the area, somewhere."""
    width, height = photo.size
    ellipse, aspect = rng.random() < 0.5, rng.uniform(0.7, 1.4)
    area = share * width * height * (4 / np.pi if ellipse else 1)
    across, down = min(width, (area * aspect) ** 0.5), min(height, (area / aspect) ** 0.5)
    left, top = rng.uniform(0, width - across), rng.uniform(0, height - down)
    mask = Image.new("L", photo.size, 0)
    draw = ImageDraw.Draw(mask)
    (draw.ellipse if ellipse else draw.rectangle)((left, top, left + across, top + down), fill=opacity)
    return Image.composite(other.resize(photo.size), photo, mask)


def _masked(photo: Photo, share: float, rng: Rng) -> Photo:
    """A drawn face mask with shading."""
    width, height = photo.size
    side = (share * width * height / 0.8) ** 0.5
    corners = [(-0.5, -0.35), (0, -0.45), (0.5, -0.35), (0.5, 0.15), (0.3, 0.45), (0, 0.5), (-0.3, 0.45), (-0.5, 0.15)]
    middle = rng.uniform(0.4, 0.6) * width, rng.uniform(0.5, 0.7) * height
    mask = Image.new("L", photo.size, 0)
    ImageDraw.Draw(mask).polygon([(middle[0] + x * side, middle[1] + y * side) for x, y in corners], fill=255)
    shade = 1 - 0.15 * np.linspace(-1, 1, height)[:, None, None] ** 2 * np.ones((1, width, 1))
    colour = np.array([(200, 215, 230), (245, 245, 245), (30, 30, 35), (120, 170, 200)][rng.integers(4)])
    return Image.composite(Image.fromarray((colour * shade).astype(np.uint8)), photo, mask)


def _other_background(photo: Photo, other: Photo, share: float) -> Photo:
    """The middle of the photo, an ellipse of this share of the area, on the other photo."""
    width, height = photo.size
    half = (share / np.pi) ** 0.5
    mask = Image.new("L", photo.size, 0)
    box = (0.5 - half) * width, (0.5 - half) * height, (0.5 + half) * width, (0.5 + half) * height
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    return Image.composite(photo, other.resize(photo.size), mask.filter(ImageFilter.GaussianBlur(1)))


def _other_sky(photo: Photo) -> Photo:
    changed = photo.copy()
    changed.paste((120, 160, 230), (0, 0, photo.width, int(0.4 * photo.height)))
    return changed


def _logo(photo: Photo, rng: Rng) -> Photo:
    changed = photo.copy()
    left, top = int(rng.choice([0.02, 0.6]) * photo.width), int(rng.choice([0.02, 0.72]) * photo.height)
    colour = tuple(rng.integers(0, 255, 3).tolist())
    changed.paste(colour, (left, top, left + int(0.36 * photo.width), top + int(0.25 * photo.height)))
    return changed


CHANGES: dict[str, Callable[[Photo, Photo, Rng], Photo]] = {
    "object on 10 %": lambda photo, other, rng: _pasted(photo, other, 0.1, rng),
    "object on 30 %": lambda photo, other, rng: _pasted(photo, other, 0.3, rng),
    "object on 50 %": lambda photo, other, rng: _pasted(photo, other, 0.5, rng),
    "sticker on 30 %": lambda photo, other, rng: _pasted(photo, other, 0.3, rng, 190),
    "mask on 15 %": lambda photo, _other, rng: _masked(photo, 0.15, rng),
    "mask on 45 %": lambda photo, _other, rng: _masked(photo, 0.45, rng),
    "logo": lambda photo, _other, rng: _logo(photo, rng),
    "sky": lambda photo, _other, _rng: _other_sky(photo),
    "background, 50 % left": lambda photo, other, _rng: _other_background(photo, other, 0.5),
    "background, 30 % left": lambda photo, other, _rng: _other_background(photo, other, 0.3),
}


def _cropped(photo: Photo, rng: Rng) -> Photo:
    left, top = int(rng.uniform(0, 0.1) * photo.width), int(rng.uniform(0, 0.1) * photo.height)
    return photo.crop((left, top, left + int(0.9 * photo.width), top + int(0.9 * photo.height)))


def _brighter(photo: Photo, rng: Rng) -> Photo:
    return ImageEnhance.Brightness(photo).enhance(float(rng.choice([0.7, 1.3])))


def _saved(photo: Photo, quality: int) -> Photo:
    data = io.BytesIO()
    photo.save(data, "JPEG", quality=quality)
    return Image.open(data).convert("RGB")


AFTERWARDS: dict[str, Callable[[Photo, Rng], Photo]] = {
    "as it is": lambda photo, _rng: photo,
    "JPEG 60": lambda photo, _rng: _saved(photo, 60),
    "half size": lambda photo, _rng: photo.resize((photo.width // 2, photo.height // 2), Image.Resampling.BILINEAR),
    "mirror": lambda photo, _rng: ImageOps.mirror(photo),
    "crop 90 %": _cropped,
    "brightness": _brighter,
    "all but size": lambda photo, rng: _saved(_brighter(_cropped(ImageOps.mirror(photo), rng), rng), 75),
}


def main() -> None:
    """Parses the command line, plants, audits, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("grocery", type=Path, help="folder of the grocery photos")
    parser.add_argument("--each", type=int, default=10, help="planted of each kind and alteration (%(default)s)")
    arguments = parser.parse_args()
    bench.print_machine()
    with tempfile.TemporaryDirectory() as name:
        measure(arguments.grocery, Path(name), arguments.each)


def measure(grocery: Path, folder: Path, each: int) -> None:
    """Plants into a copy of the test photos, audits it, prints what was named."""
    with (grocery / "grocery81.csv").open(encoding="utf-8") as file:
        paths = [row["path"] for row in csv.DictReader(file) if row["split"] == "test"]
    rng = np.random.default_rng(0)
    rows = [("path", "label", "split")]
    photos = [Image.open(grocery / path).convert("RGB") for path in paths]
    for number, path in enumerate(paths):
        (folder / f"{number}.jpg").write_bytes((grocery / path).read_bytes())
        rows.append((f"{number}.jpg", f"class {number % 2}", ("train", "test")[number // 2 % 2]))
    kinds = [(change, after) for change in CHANGES for after in AFTERWARDS for _time in range(each)]
    made_of: dict[str, set[str]] = {}
    for place, (change, after) in enumerate(kinds):
        one, other = rng.choice(len(photos), 2, replace=False).tolist()
        changed = AFTERWARDS[after](CHANGES[change](photos[one], photos[other], rng), rng)
        name = f"planted-{place}.jpg"
        changed.save(folder / name, "JPEG", quality=90)
        made_of[name] = {f"{one}.jpg", f"{other}.jpg"}
        made_of[f"first of {name}"] = {f"{one}.jpg"}
        rows.append((name, f"class {place % 2}", ("train", "test")[place // 2 % 2]))
    with (folder / "all.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    places = {"CERTERO_CACHE": str(folder / "cache"), "CERTERO_STATE": str(folder / "state")}
    command = [*bench.CERTERO, "audit", str(folder / "all.csv"), "--no-network", "--quiet"]
    measured = bench.run([*command, "--json", str(folder / "audit.json")], **places)
    answer = json.loads((folder / "audit.json").read_text("utf-8"))
    judge(answer["findings"], kinds, made_of, len(paths))
    print(f"{len(rows) - 1} photos, {measured.seconds:.1f} s, {measured.cpu_seconds:.1f} s of CPU, {answer['seconds']}")


def judge(
    findings: list[dict[str, list[str]]], kinds: list[tuple[str, str]], made_of: dict[str, set[str]], n: int
) -> None:
    """Prints the share of each kind that is named with its source, and how many other photos are."""
    partners: dict[str, set[str]] = {}
    for finding in findings:
        if finding["kind"] in ("partly_equal", "near_duplicate"):
            for path in finding["paths"]:
                partners.setdefault(path, set()).update(set(finding["paths"]) - {path})
    found: dict[tuple[str, str], list[bool]] = {}
    for place, kind in enumerate(kinds):
        name = f"planted-{place}.jpg"
        found.setdefault(kind, []).append(bool(partners.get(name, set()) & made_of[f"first of {name}"]))
    table = [[change, *(float(np.mean(found[change, after])) for after in AFTERWARDS)] for change in CHANGES]
    print("| planted | " + " | ".join(AFTERWARDS) + " | all |")
    for name, *shares in table:
        print(f"| {name} | " + " | ".join(f"{share:.2f}" for share in shares) + f" | {np.mean(shares):.3f} |")
    sources = set().union(*made_of.values())
    wrong = {path for path in partners if not path.startswith("planted") and path not in sources}
    print(f"photos that nothing was made of and that are named: {len(wrong)} of {n - len(sources)}")


if __name__ == "__main__":
    main()
