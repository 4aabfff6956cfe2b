"""Two thousand hostile files: no exception, no crash of the process, bounded time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from places import EXAMPLES

_FILES = 2000
_SECONDS_A_FILE = 10.0
_MEGABYTES = 1500

# Each file's number and answer go out at once, so that a crash shows which file it was.
_SCRIPT = """
import io, json, random, resource, sys, time
sys.path.insert(0, sys.argv[1])
from mutations import ENCODINGS, encode, turned
from certero.photos.fingerprints import fingerprint

photo = open(sys.argv[2], "rb").read()
limit = int(sys.argv[4]) << 20
resource.setrlimit(resource.RLIMIT_AS, (3 * limit, 3 * limit))
from PIL import Image
small = Image.open(io.BytesIO(photo)).convert("RGB").resize((96, 72))
buffer = io.BytesIO()
small.save(buffer, "JPEG", quality=85)
photo = buffer.getvalue()
seeds = [encode(photo, name) for name in ("jpeg", *ENCODINGS)]
seeds += [turned(photo, name, 6) for name in ("jpeg", "png", "webp")]
frames = [small.rotate(angle) for angle in (0, 90, 180)]
for name in ("GIF", "WEBP", "PNG", "TIFF"):
    buffer = io.BytesIO()
    frames[0].save(buffer, name, save_all=True, append_images=frames[1:])
    seeds.append(buffer.getvalue())

def mutate(rng):
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 5, 40))):
        # Headers decide most, so they are hit most.
        at = rng.randrange(min(len(data), rng.choice((32, 300, 10**6))))
        kind = rng.randrange(9)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.choice((0, 1, 127, 128, 254, 255))
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + rng.choice((1, 2, 9, 400))]
        elif kind == 4:
            data[at:at] = rng.randbytes(rng.choice((1, 4, 64, 5000)))
        elif kind == 5:
            size = rng.choice((4, 64, 512))
            data[at : at + size] = bytes(size)
        elif kind == 6:  # a length or a size
            data[at : at + 4] = bytes.fromhex(rng.choice(("ffffffff", "7fffffff", "00000000", "0000ffff")))
        elif kind == 7:  # a block again, somewhere else
            start = rng.randrange(len(data))
            data[at:at] = data[start : start + rng.choice((8, 200, 4000))]
        else:  # the end of another file
            other = rng.choice(seeds)
            data[at:] = other[rng.randrange(len(other)) :]
        if not data:
            break
    return bytes(data)

def peak_megabytes():
    # Linux hands a parent's ru_maxrss on to the program it starts; VmHWM is this program's own.
    try:
        lines = open("/proc/self/status").read().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

for number in range(int(sys.argv[3])):
    data = mutate(random.Random(number))
    print(f'{{"file": {number}', end="", flush=True)
    start = time.process_time()  # of the processor: others may be using the machine
    facts = fingerprint(data)
    seconds = time.process_time() - start
    megabytes = peak_megabytes()
    print(", " + json.dumps({"status": facts.status, "problem": facts.problem, "format": facts.format,
          "seconds": seconds, "megabytes": megabytes})[1:], flush=True)
"""


@pytest.fixture(scope="module")
def answers(small_barn: Path) -> list[dict[str, Any]]:
    pytest.importorskip("resource", reason="memory is measured and bounded on Linux and macOS only")
    photo = next(iter(sorted((small_barn / "frames").iterdir())))
    arguments = [str(EXAMPLES), str(photo), str(_FILES), str(_MEGABYTES)]
    command = [sys.executable, "-X", "faulthandler", "-c", _SCRIPT, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    lines = run.stdout.splitlines()
    assert run.returncode == 0, f"after {lines[-1] if lines else 'nothing'}: {run.stderr[-2000:]}"
    return [json.loads(line) for line in lines]


def test_no_fuzzed_file_ends_the_process_or_raises(answers: list[dict[str, Any]]) -> None:
    assert [answer["file"] for answer in answers] == list(range(_FILES))


def test_fuzzed_files_are_classed_with_a_one_line_reason(answers: list[dict[str, Any]]) -> None:
    for answer in answers:
        assert answer["status"] in ("ok", "damaged", "unreadable")
        assert (answer["problem"] is None) == (answer["status"] == "ok")
        assert (answer["problem"] or "-").isprintable()
        assert len(answer["problem"] or "") < 250
    # The fuzzer reaches every outcome and every format, or it would show nothing.
    assert all(sum(answer["status"] == status for answer in answers) > 20 for status in ("ok", "damaged", "unreadable"))
    assert {answer["format"] for answer in answers} >= {"jpeg", "png", "webp", "bmp", "gif", "tiff"}


def test_no_fuzzed_file_takes_long_or_much_memory(answers: list[dict[str, Any]]) -> None:
    slowest = max(answers, key=lambda answer: answer["seconds"])
    assert slowest["seconds"] < _SECONDS_A_FILE, slowest
    assert answers[-1]["megabytes"] < _MEGABYTES, next(a for a in answers if a["megabytes"] > _MEGABYTES)
