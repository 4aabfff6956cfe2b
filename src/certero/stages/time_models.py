"""How fast models answer on this machine, warm, taking turns so that a busy moment meets them all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import numpy as np

from certero.records.protocols import Map, Progress
from certero.records.quantity import Quantity
from certero.runtime.inference import Photo
from certero.stages.contenders import Contender

# Photos shown one by one, and at once over all cores; in so many rounds.
_SINGLE = 24
_TOGETHER = 48
_ROUNDS = 3
# No model is timed for longer, but each answers at least so many photos.
_SECONDS_A_MODEL = 4.0
_FEWEST = 5


def time_contenders(
    contenders: Sequence[Contender], photos: Sequence[Photo], map_all: Map, progress: Progress
) -> tuple[list[tuple[Quantity, Quantity]], float]:
    """Latency and throughput of each model, from a photo's bytes to its label.

    Args:
        contenders: the models.
        photos: contents of files, or pixels; at least one.
        map_all: ordered parallel map over the cores.
        progress: told how many rounds are done.

    Returns:
        For each model the milliseconds of one photo on one core (median; ends at the 10th and 90th percentile), and the
        photos a second over all cores (median of the rounds; ends are the slowest and the fastest). And how many times
        longer than its own computing a photo took, because other programs had the processor: 1 on an idle machine.
    """
    total = _SINGLE + _ROUNDS
    singles, computing = _time_singles(contenders, photos, progress, total)
    slowest = max(statistics.median(times) for times in singles)
    count = int(np.clip(_SECONDS_A_MODEL / slowest / _ROUNDS, _FEWEST, _TOGETHER))
    batch = [photos[number % len(photos)] for number in range(count)]
    rates: list[list[float]] = [[] for _contender in contenders]
    for done in range(_ROUNDS):
        for place in _turn(len(contenders), done):
            start = time.perf_counter()
            for _answer in contenders[place].answer(batch, map_all):
                pass
            rates[place].append(count / (time.perf_counter() - start))
        progress("measure", _SINGLE + done + 1, total)
    timed = [
        (_latency(times), Quantity(statistics.median(rate), min(rate), max(rate), "range", count))
        for times, rate in zip(singles, rates, strict=True)
    ]
    return timed, sum(map(sum, singles)) / max(computing, 1e-9)


def _time_singles(
    contenders: Sequence[Contender], photos: Sequence[Photo], progress: Progress, total: int
) -> tuple[list[list[float]], float]:
    """Seconds of each photo for each model, and what the processor computed in all of them."""
    times: list[list[float]] = [[] for _contender in contenders]
    began, computing = time.perf_counter(), 0.0
    # The first rounds only warm up: libraries load, memory is claimed.
    for number in range(-2, _SINGLE):
        for place in _turn(len(contenders), number):
            start, before = time.perf_counter(), time.thread_time()
            next(iter(contenders[place].answer([photos[number % len(photos)]], lambda f, items: map(f, items))))
            if number >= 0:
                times[place].append(time.perf_counter() - start)
                computing += time.thread_time() - before
        progress("measure", max(0, number + 1), total)
        if number + 1 >= _FEWEST and time.perf_counter() - began > _SECONDS_A_MODEL * len(contenders):
            break
    return times, computing


def _turn(count: int, number: int) -> list[int]:
    """Who goes first changes from round to round."""
    return [(place + number) % count for place in range(count)]


def _latency(seconds: Sequence[float]) -> Quantity:
    low, middle, high = (float(1000 * time_) for time_ in np.quantile(seconds, [0.1, 0.5, 0.9]))
    return Quantity(middle, low, high, "p10_to_p90", len(seconds))
