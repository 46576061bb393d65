"""Measure merged batches on one GPU, the cases of most worth first, within a budget of seconds."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from functools import partial
from time import perf_counter

import torch

from benchmarks.gpu_attention import measure_attention, measure_blocks, measure_forms, measure_lengths
from benchmarks.gpu_discovery import measure_discovery
from benchmarks.gpu_models import Case, measure_fold, measure_model
from benchmarks.gpu_setting import Row, Setting
from benchmarks.results import Result, Table, table

LEFT_OUT = "Left out on a CPU: the backward pass of FlexAttention, which is not implemented there (models run sdpa)."
TINY = "Left out by --tiny: compilation, repetitions, memory of the device, MFU, real sizes; times mean nothing."


def list_cases(setting: Setting) -> Iterator[tuple[str, Case]]:
    """Yield (name, case) in the order of their worth; equal names are rows of one table."""
    short, long = (64, 96) if setting.tiny else (8192, 32768)
    half, full = (torch.float32, torch.float32) if setting.tiny else (torch.bfloat16, torch.float32)
    yield "attention", partial(measure_attention, length=short, dtype=half)
    yield "model", partial(measure_model, length=short)
    yield "fold", partial(measure_fold, length=short // 2, kind="GRPO")
    yield "fold", partial(measure_fold, length=short // 4, kind="DPO")
    yield "attention", partial(measure_attention, length=long, dtype=half)
    yield "model", partial(measure_model, length=long)
    yield "windows", partial(measure_model, length=short, windows=True)
    yield "forms", partial(measure_forms, length=short)
    yield "block sizes", partial(measure_blocks, length=short)
    yield "lengths", partial(measure_lengths, length=short)
    yield "discovery", measure_discovery
    if not setting.tiny:
        yield "attention", partial(measure_attention, length=short, dtype=full)
        yield "model", partial(measure_model, length=2 * short)
        yield "model", partial(measure_model, length=8 * short)


def measure_gpu(budget: float, tiny: bool) -> Result:
    """Run the cases until the budget is spent.

    Parameters
    ----------
    budget : float
        Seconds. A case that has begun ends with the row that it is at; cases that were not run are named.
    tiny : bool
        Run the same code at small sizes on a CPU.

    Raises
    ------
    SystemExit
        If there is no GPU and the run is not tiny.
    """
    if not tiny and not torch.cuda.is_available():
        raise SystemExit("gpu: torch finds no CUDA device; --tiny runs the same code on a CPU")
    device = torch.device("cpu" if tiny else "cuda")
    setting = Setting(device, tiny, perf_counter() + budget)
    found: dict[str, list[Row]] = {}
    notes: list[str] = []
    cases = list(list_cases(setting))
    for number, (name, case) in enumerate(cases):
        if perf_counter() > setting.deadline:
            names = ", ".join(f"{name} ({_describe(rest)})" for name, rest in cases[number:])
            notes.append(f"Not run within {budget:g} s: {names}.")
            break
        notes += _run_case(setting, name, case, found.setdefault(name, []))
    notes += [LEFT_OUT, TINY] if tiny else []
    tables = [_table_of(name, rows) for name, rows in found.items() if rows]
    return Result(tuple(tables), (_describe_device(device), *notes))


def _run_case(setting: Setting, name: str, case: Case, rows: list[Row]) -> list[str]:
    """Append the rows of a case, and return what went wrong: a GPU without memory ends a case, not the run."""
    from contextlib import nullcontext

    # a tiny run compiles nothing: on a CPU a second length of FlexAttention fails in torch's code generator
    with torch.compiler.set_stance("force_eager") if setting.tiny else nullcontext():
        try:
            rows += setting.rows_until_deadline(case(setting))
        except torch.OutOfMemoryError as error:
            return [f"{name} ({_describe(case)}): out of memory: {str(error).splitlines()[0]}"]
    return []


def _describe(case: Case) -> str:
    options = case.keywords if isinstance(case, partial) else {}
    return ", ".join(f"{name} {value}" for name, value in options.items())


def _table_of(name: str, rows: list[Row]) -> Table:
    return table(("case", *rows[0]), [[name, *row.values()] for row in rows])


def _describe_device(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return f"Device: {name}, torch {torch.__version__}."
