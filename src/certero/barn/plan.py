"""The plan of the demo barn: who is where, in which pose, and under which light."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from certero.errors import ConfigError

FIRST_DAY = datetime(2024, 3, 4)
_OPENS_MINUTE, _CLOSES_MINUTE = 5 * 60, 21 * 60
DAY_MINUTES = 24 * 60
HERD = 12

# The stalls as fractions of the frame: the row from left to right, the neighbours' overlap, the lower edge.
ROW_LEFT, ROW_RIGHT, OVERLAP, BED_BOTTOM = 0.12, 0.86, 0.012, 0.88


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides every byte of a barn; see `render_barn`."""

    days: int
    interval_minutes: int
    beds: int
    seed: int
    width: int
    height: int

    def check(self) -> None:
        """Raises ConfigError where a setting is out of range."""
        for name, low, high in (
            ("days", 1, 31),
            ("interval_minutes", 1, 120),
            ("beds", 1, 6),
            ("seed", 0, 2**63 - 1),
            ("width", 160, 4096),
            ("height", 100, 4096),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(
                    "%(name)s must be %(low)s to %(high)s, found %(value)s; choose one in that range",
                    name=name,
                    low=low,
                    high=high,
                    value=value,
                )

    @property
    def unit(self) -> float:
        """NDArray[np.floating[Any]] a drawing unit; a bed is about 128 units wide."""
        return min(self.height / 320, self.width * (ROW_RIGHT - ROW_LEFT) / self.beds / 126)

    def times(self) -> list[datetime]:
        """When the frames are taken."""
        clock = np.random.default_rng([self.seed, 1])
        minutes = range(_OPENS_MINUTE, _CLOSES_MINUTE, self.interval_minutes)
        return [
            FIRST_DAY + timedelta(days=day, minutes=minute, seconds=int(clock.integers(3, 6)))
            for day in range(self.days)
            for minute in minutes
        ]

    def regions(self) -> dict[str, tuple[float, float, float, float]]:
        """Left, top, right, bottom of each bed as fractions of the frame, by bed."""
        step = (ROW_RIGHT - ROW_LEFT) / self.beds
        edges = [(ROW_LEFT + step * i, ROW_LEFT + step * (i + 1)) for i in range(self.beds)]
        return {
            f"bed{i + 1}": (round(left - OVERLAP / 2, 4), 0.0, round(right + OVERLAP / 2, 4), BED_BOTTOM)
            for i, (left, right) in enumerate(edges)
        }

    def crops(self) -> dict[str, tuple[int, int, int, int]]:
        """The regions in pixels of the frame."""
        scale = (self.width, self.height, self.width, self.height)
        return {
            bed: (
                round(box[0] * scale[0]),
                round(box[1] * scale[1]),
                round(box[2] * scale[2]),
                round(box[3] * scale[3]),
            )
            for bed, box in self.regions().items()
        }


# --- The plan: who is where, since when, under which light ----------------------------------------


@dataclass(frozen=True, slots=True)
class Pose:
    """One posture of one cow in one place, kept from `begin` to `end` (minutes since the first midnight).

    Lengths are in drawing units from the frame's left upper corner, angles in radians. `stretch` is how far
    the legs of a lying cow show: below about 0.8 she has them tucked under.
    """

    number: int
    cow: int
    posture: str
    begin: float
    end: float
    x: float
    y: float
    heading: float
    half_length: float
    half_width: float
    bend: float
    side: int
    stretch: float
    neck_turn: float
    neck_length: float


@dataclass(frozen=True, slots=True)
class Lane:
    """A stall: the poses held in it, when its sand was trodden, and clutter (begin, end, kind, x, y)."""

    poses: tuple[Pose, ...]
    trodden: tuple[tuple[float, float, float], ...]
    clutter: tuple[tuple[float, float, int, float, float], ...]


@dataclass(frozen=True, slots=True)
class Day:
    """The light of one day: sun 0 to 1, white balance, night lamp or infrared, exposure, dry or wet sand."""

    sun: float
    tint: tuple[float, float, float]
    infrared: bool
    night_gain: float
    gain: float
    sand: float


class Planner:
    """Draws the stays lane by lane, so that no cow is in two beds at a time."""

    def __init__(self, settings: Settings) -> None:
        self.rng = np.random.default_rng([settings.seed, 2])
        self.end = settings.days * float(DAY_MINUTES)
        self.sizes = self.rng.uniform(0.86, 1.12, HERD)
        self.busy: list[tuple[int, float, float]] = []
        self.count = 0
        self.height = settings.height / settings.unit

    def lane(self, center: float) -> Lane:
        """A persistent process: empty for a while, then a cow for 15 to 130 minutes, and again."""
        rng, poses, trodden, now = self.rng, [], [], float(self.rng.uniform(0, 90))
        while now < self.end:
            phases = self._phases()
            cow = self._free_cow(now, now + sum(minutes for _, minutes in phases))
            reverse = rng.random() < 0.12
            for posture, minutes in phases:
                poses.append(self._pose(cow, posture, now, now + minutes, center, reverse))
                now += minutes
            trodden.append((poses[-len(phases)].begin, poses[-1].x, poses[-1].y))
            pause = float(np.clip(rng.exponential(52), 10, 200))
            if rng.random() < 0.15 and pause > 25:
                poses.append(self._peek(now + 5, now + rng.uniform(8, 20), center))
            now += pause
        clutter = tuple(
            (begin, begin + rng.uniform(60, 300), int(rng.integers(3)), center + rng.uniform(-40, 40), y)
            for begin in np.cumsum(rng.exponential(900, int(self.end / 900) + 1))
            for y in [rng.uniform(30, 75) if rng.random() < 0.5 else rng.uniform(120, 240)]
        )
        return Lane(tuple(poses), tuple(trodden), clutter)

    def _phases(self) -> list[tuple[str, float]]:
        rng = self.rng
        if rng.random() < 0.36:
            return [("standing", rng.uniform(15, 55))]
        phases = [("standing", rng.uniform(4, 20))]
        phases += [("lying", rng.uniform(18, 55)) for _ in range(int(rng.integers(1, 4)))]
        if rng.random() < 0.6:
            phases.append(("standing", rng.uniform(5, 18)))
        return phases

    def _free_cow(self, begin: float, end: float) -> int:
        away = {cow for cow, start, stop in self.busy if start < end and begin < stop}
        free = [cow for cow in range(HERD) if cow not in away] or list(range(HERD))
        cow = int(self.rng.choice(free))
        self.busy.append((cow, begin, end))
        return cow

    def _pose(self, cow: int, posture: str, begin: float, end: float, center: float, reverse: bool) -> Pose:
        rng, size = self.rng, self.sizes[cow]
        lying = posture == "lying"
        perching = not lying and not reverse and rng.random() < 0.45
        y = rng.uniform(200, 232) if perching else rng.uniform(168, 188)
        heading = -math.pi / 2 + rng.normal(0, 0.11 if lying else 0.13) + (math.pi if reverse else 0)
        reaching = rng.random() < 0.28
        side = 1 if rng.random() < 0.5 else -1
        turn = rng.uniform(0.8, 1.35) if reaching else abs(rng.normal(0, 0.35))
        return Pose(
            number=self._next(),
            cow=cow,
            posture=posture,
            begin=begin,
            end=end,
            x=center + rng.normal(0, 6) + (side * 12 if reaching else 0),
            y=y - (20 if reverse else 0),
            heading=heading,
            half_length=size * (rng.uniform(62, 76) if lying else rng.uniform(70, 82)),
            half_width=size * (rng.uniform(27.5, 38) if lying else rng.uniform(24.5, 31.5)),
            bend=rng.normal(0, 0.3) if lying else rng.normal(0, 0.12),
            side=-side if reaching else side,
            stretch=rng.uniform(0.66, 1.06),
            neck_turn=side * turn * (-1 if reverse else 1),
            neck_length=size * (rng.uniform(30, 42) if reaching or not lying else rng.uniform(16, 32)),
        )

    def _peek(self, begin: float, end: float, center: float) -> Pose:
        """A cow in the alley with her head over the kerb: the bed stays empty."""
        pose = self._pose(self._free_cow(begin, end), "standing", begin, end, center, False)
        y = self.height * BED_BOTTOM + pose.half_length + self.rng.uniform(2, 20)
        return replace(pose, posture="peeking", y=y, neck_turn=pose.neck_turn * 0.5)

    def _next(self) -> int:
        self.count += 1
        return self.count


def plan_lanes(settings: Settings) -> list[Lane]:
    """One lane a bed, and one left of the first: its cows are no bed's, but their heads reach in."""
    planner = Planner(settings)
    step = (ROW_RIGHT - ROW_LEFT) / settings.beds * settings.width / settings.unit
    left = ROW_LEFT * settings.width / settings.unit
    return [planner.lane(left + step * (i - 0.5)) for i in range(settings.beds + 1)]


def plan_days(settings: Settings) -> list[Day]:
    rng = np.random.default_rng([settings.seed, 3])
    days = []
    for number in range(settings.days):
        warm = rng.normal(0, 0.035)
        days.append(
            Day(
                sun=float(rng.uniform(0.55, 1.0) if number % 3 != 1 else rng.uniform(0.0, 0.25)),
                tint=(0.98 + warm, 0.98, 1.02 - warm),
                infrared=number % 2 == 1,
                night_gain=float(rng.uniform(0.18, 0.32)),
                gain=float(rng.uniform(0.86, 1.1)),
                sand=float(rng.uniform(0.86, 1.05)),
            )
        )
    return days
