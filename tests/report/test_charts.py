"""The charts of the report show what the figures say, large enough to be read."""

from __future__ import annotations

import re

import numpy as np
from report_examples import metrics_of

from certero.records.metrics import Metrics
from certero.report import charts
from certero.report.page import render
from certero.stats.reliability import spoken_levels
from certero.stats.scores import Resamples, score


def test_of_an_accurate_model_the_check_of_its_percentages_is_drawn_large() -> None:
    random = np.random.default_rng(6)
    sure = random.uniform(0.97, 0.9999, 600)
    truth = (random.random(600) > sure).astype(int)
    levels = spoken_levels(np.stack([sure, 1 - sure], axis=1), truth)
    dots = charts.level_dots(levels)
    axis = charts.dots_axis(dots)
    assert axis.low >= 0.9
    assert all(row.n >= 20 for row in levels)
    stated = [axis.place(dot.stated or 0.0) for dot in dots]
    assert min(np.diff(stated)) > 3, "no two lie on each other"


def test_the_curves_name_the_classes_with_the_least_area() -> None:
    random = np.random.default_rng(7)
    classes = [f"kind-{number}" for number in range(6)]
    truth = random.integers(0, 6, 600)
    skill = np.array([4.0, 4.0, 0.3, 4.0, 0.6, 4.0])
    logits = random.normal(0, 1, (600, 6)) + np.eye(6)[truth] * skill[truth][:, None]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    body = score(probabilities, truth, classes, resamples=Resamples(50))
    ranking = charts.ranking_chart(body)
    assert ranking is not None
    worst = sorted(classes, key=lambda name: body.per_class[name].average_precision.value or 0.0)[: charts.MOST_RANKED]
    assert [one.name for one in ranking.precision_recall.weakest] == worst
    assert {"kind-2", "kind-4"} <= set(worst)
    page = render(Metrics.from_json(metrics_of(body.to_json(), classes)), {})
    legends = re.findall(r'<span class="legend">(.*?)</span></figcaption>', page, re.DOTALL)
    assert len(legends) == 2
    assert all(name in legends[1] for name in worst)
