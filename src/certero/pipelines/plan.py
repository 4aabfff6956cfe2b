"""What a training run would do, take and need, without training: `certero train --dry-run`.

The photos are scanned, separated and split as the run itself would do it, and what that finds is remembered: no time is
lost by it. The test photos stay sealed: what is measured here is measured on others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from certero.config.recipes import resolve
from certero.records.protocols import Progress, no_progress
from certero.runs.folder import check_place, name_of_run
from certero.runs.openings import check_log
from certero.stages.estimate.plan import Plan
from certero.stages.estimate.probe import plan_probe
from certero.stages.fitter import require_torch
from certero.stages.tools import resources
from certero.stats.requirements import parse_requirement


def plan(
    data: str | Path,
    *,
    recipe: str = "probe",
    output: str | Path | None = None,
    progress: Progress = no_progress,
    **settings: Any,
) -> Plan:
    """What `certero.train` with the same arguments would do, take and need; nothing is trained and no run written.

    Args:
        data: folder of class folders, pre-split folder, or manifest.
        recipe: a recipe's name or TOML file.
        output: where the run would stand.
        progress: called with (stage, done, total).
        **settings: fields of `certero.config.settings.TrainSettings`.

    Raises:
        UserError: a kind of it for each mistake that the user can mend, as `certero.train` would raise it.
    """
    resolved = resolve(recipe, **settings)
    for requirement in resolved.require:
        parse_requirement(requirement)
    data = Path(data)
    place = None if output is None else Path(output)
    check_place(place, name_of_run(data), resumable=resolved.fitting == "network")
    if resolved.open_test:
        check_log(keep=False)
    if resolved.fitting == "network":
        require_torch(resolved)
        # Not at the top: it imports torch.
        from certero.stages.estimate.network import plan_network as planned
    else:
        planned = plan_probe
    with resources(resolved.workers, progress) as tools:
        return planned(data, resolved, tools)
