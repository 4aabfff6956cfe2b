"""What a training run would do, take and need, without training: `certero train --dry-run`.

The photos are scanned, separated and split as the run itself would do it, and what that finds is remembered: no time is
lost by it. The test photos stay sealed: what is measured here is measured on others.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from certero.config.recipes import resolve
from certero.machine.folders import cache_folder
from certero.machine.limits import free_bytes, memory_in_all
from certero.records.protocols import Progress, no_progress
from certero.runs.folder import check_place, name_of_run
from certero.runs.openings import check_log
from certero.runs.versions import versions
from certero.stages.describe import describe_separation
from certero.stages.estimate.plan import Plan, count_folds
from certero.stages.fitter import loading_fitter
from certero.stages.prepare import prepare
from certero.stages.tools import open_tools
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
    check_place(None if output is None else Path(output), name_of_run(data), resumable=resolved.fitting == "network")
    if resolved.open_test:
        check_log(keep=False)
    with (
        open_tools(resolved.workers, progress) as tools,
        tempfile.TemporaryDirectory() as folder,
        loading_fitter(resolved, tools, Path(folder), "") as finish_loading,
    ):
        prepared = prepare(data, resolved, tools, planned=True)
        facts_remembered = tools.fingerprints.hits
        fitter = finish_loading(len(prepared.development))
        fitter.check(prepared.development.table.columns, prepared.classes)
        estimate = fitter.estimate(prepared)
    seconds = estimate.seconds | {"total": sum(estimate.seconds.values())}
    return Plan(
        evaluation=prepared.evaluation,
        cv=prepared.cv,
        separation=describe_separation(prepared.separation).to_json(),
        **prepared.facts.to_json(),
        folds=count_folds(prepared),
        model=estimate.model,
        fits=estimate.fits,
        remembered={
            "facts": facts_remembered,
            "features": estimate.features_remembered,
            "network": estimate.network_remembered,
        },
        measured=estimate.measured,
        seconds={stage: round(value, 2) for stage, value in seconds.items()},
        memory_bytes=estimate.memory_bytes,
        memory_free_bytes=memory_in_all(),
        disk={
            "run_bytes": estimate.run_bytes,
            "cache_bytes": estimate.cache_bytes,
            "free_bytes": free_bytes(Path.cwd()),
            "cache_free_bytes": free_bytes(cache_folder()),
        },
        versions=versions(),
        notes=list(prepared.notes),
    )
