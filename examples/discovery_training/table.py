"""The table of stored runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

HEAD = "| method | a prediction sees | predictions a step | rate | held-out loss | CPU s a run |"


def markdown(records: Sequence[dict[str, Any]]) -> str:
    """Return a row for each method: mean and standard deviation of the loss over the seeds that were not for tuning.

    Examples
    --------
    >>> run = {"method": "a", "sees": "all", "seed": 1, "rate": 0.002, "loss": 1.5, "supervised": 40, "seconds": 3.2}
    >>> print(markdown([{"setting": {"steps": 4}, "runs": [run, {**run, "seed": 2, "loss": 1.7}]}]).splitlines()[-1])
    | a | all | 10 | 0.002 | 1.600 ± 0.141 | 3 |
    """
    lines = [HEAD, "|---|---|---|---|---|---|"]
    for record in records:
        final = [run for run in record["runs"] if run["seed"] > 0]
        for method in dict.fromkeys(run["method"] for run in final):
            runs = [run for run in final if run["method"] == method]
            losses = [run["loss"] for run in runs]
            spread = f" ± {statistics.stdev(losses):.3f}" if len(losses) > 1 else ""
            predictions = runs[0]["supervised"] / record["setting"]["steps"]
            cells = [method, runs[0]["sees"], f"{predictions:,.0f}", f"{runs[0]['rate']:g}"]
            cells += [
                f"{statistics.mean(losses):.3f}{spread}",
                f"{statistics.mean(run['seconds'] for run in runs):.0f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
