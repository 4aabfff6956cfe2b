"""Where things lie that several tests look for."""

from __future__ import annotations

from pathlib import Path

#: Modules that tests share, for programs that tests start.
EXAMPLES = Path(__file__).resolve().parent
#: The checkout.
ROOT = EXAMPLES.parents[1]
#: Real photos; none of them is part of the repository.
SHARED_DATA = ROOT.parent / "shared" / "data"
