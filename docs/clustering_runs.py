"""Run figures 1 and 3 of arXiv 2411.04990 at full size, and keep what the pages show of them.

``python docs/clustering_runs.py`` writes docs/diagnostics/clustering-{consumed,configurations}.json, in about four
minutes of CPU time; ``python docs/diagnostics.py clustering`` draws them. Names as arguments restrict it to these.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

HERE = Path(__file__).parent / "diagnostics"
DIAGONALS = ((1, 1, 1), (2, 2, 1), (3, 2, 1), (-1, -1, -2), (-1, -2, -3))
"""Diagonals of V, one for each final configuration."""
LONG = ("groups", "lasting", "first_centres", "paths")
"""Fields of a record with an entry for each position or start, which are left out."""


def consumed() -> dict[str, Any]:
    """Return the share of positions near Renyi centres over time: 200 tokens, d = 2, beta 64, 5,000 starts."""
    command = "masksynth diagnose clustering --causal 200 --beta 64 --dim 2 --time 150 --seeds 5000"
    return measured(command, beta=64.0, dim=2, time=150.0, seeds=5000, n=200)


def configurations() -> list[dict[str, Any]]:
    """Return where 32 tokens end by time 5,000 at beta 9, d = 3, for V of five kinds, 8 starts each."""
    command = "masksynth diagnose clustering --causal 32 --beta 9 --time 5000 --value="
    names = [",".join(map(str, diagonal)) for diagonal in DIAGONALS]
    return [
        measured(command + name, beta=9.0, time=5000.0, n=32, value=diagonal)
        for name, diagonal in zip(names, DIAGONALS, strict=True)
    ]


def measured(command: str, n: int, value: tuple[int, ...] | None = None, **options: Any) -> dict[str, Any]:
    """Return what a command prints with --json, without long fields, and what it took."""
    import numpy as np

    from masksynth.diagnostics.clustering import Setting, causal_mask, diagnose

    setting = None if value is None else Setting(value=np.diag(value), name=f"value {','.join(map(str, value))}")
    begin = process_time()
    record = diagnose(causal_mask(n), setting=setting, **options).record()
    spent = process_time() - begin
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kept = {name: field for name, field in record.items() if name not in LONG}
    return {"command": command, "cpu_seconds": round(spent, 1), "memory_mb": memory // 1024, **kept}


RUNS: dict[str, Callable[[], Any]] = {"configurations": configurations, "consumed": consumed}


def main(names: list[str]) -> None:
    """Run the named figures, or all."""
    for name in names or RUNS:
        text = json.dumps(RUNS[name](), separators=(",", ":"))
        (HERE / f"clustering-{name}.json").write_text(f"{text}\n", encoding="utf-8")
        print(f"docs/diagnostics/clustering-{name}.json: {len(text):,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
