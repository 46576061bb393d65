"""``python -m benchmarks.summary``: compute the ratios of ``docs/benchmarks.md`` from ``benchmarks/results``.

The table between the markers is rewritten, and the plot of the sparse benchmark is copied if a run has left one.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from textwrap import wrap
from typing import Any

from benchmarks.measure import exponent
from benchmarks.results import FOLDER, read_result

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- begin summary -->", "<!-- end summary -->"
Records = list[dict[str, Any]]


def read_records(name: str, folder: Path, number: int = 0) -> Records:
    """Return the rows of one table of a stored result, one mapping of column to cell each."""
    return read_result(folder / f"{name}.json").tables[number].records()


def largest(records: Records, column: str) -> Records:
    """Return the records in which the column has its largest value."""
    top = max(record[column] for record in records)
    return [record for record in records if record[column] == top]


def format_range(values: Iterable[float], digits: int = 0) -> str:
    """Format the least and the greatest of some values; a single value if they are printed alike.

    Examples
    --------
    >>> format_range([3, 1, 2]), format_range([0.51, 0.52], 1), format_range([1.5, 40.25], 1)
    ('1 to 3', '0.5', '1.5 to 40.2')
    """
    low, *_, high = sorted(values) * 2
    texts = [f"{value:,.{digits}f}" for value in (low, high)]
    return " to ".join(dict.fromkeys(texts))


def merging(folder: Path) -> Iterator[tuple[str, str]]:
    """Summarise merging and checking: growth with the family's size, checker against merge, merge against a trie."""
    records = read_records("merge", folder)
    families = [[record for record in records if record["family"] == family] for family in _values(records, "family")]
    for what, column in (("merging", "merge s"), ("checking", "verify s")):
        slopes = [exponent([r["task nodes"] for r in family], [r[column] for r in family]) for family in families]
        yield f"time of {what} grows like (task nodes)^x", f"x = {format_range(slopes, 2)}"
    top = [family[-1] for family in families]
    yield "merging a million task nodes", f"{format_range(r['merge s'] for r in top)} s"
    yield "checking / merging, a million task nodes", format_range((r["verify / merge"] for r in top), 2)
    yield (
        "merging / prefix trie (causal chains only, no checks)",
        format_range(r["merge / trie"] for r in read_records("trie", folder)),
    )


def solving(folder: Path) -> Iterator[tuple[str, str]]:
    """Summarise solving from file to folder, and the start of the command."""
    records, start = read_records("solve", folder), read_records("solve", folder, 1)
    what = f"{round(max(r['task nodes'] for r in records), -4):,} task nodes, from file to folder"
    yield f"{what}: masksynth before this release / now", _ratios(records, "old / new all", 1)
    yield f"{what}: `solve` alone, before / now", _ratios(records, "old / new solve", 1)
    yield f"{what}: now / `json.loads` of the file", _ratios(records, "all / json.loads")
    seconds = [r for r in start if r["command"] in ("masksynth --version", "masksynth --help")]
    yield "`masksynth --version` and `--help`, CPU seconds", _ratios(seconds, "CPU s", 2)
    yield "`masksynth --version` and `--help`, before / now", _ratios(seconds, "old / new", 1)


def packing(folder: Path) -> Iterator[tuple[str, str]]:
    """Summarise packing and the tokenizing of chats."""
    kernel, files = read_records("kernel", folder), read_records("packing", folder)
    for name, records in (("agent trajectories", kernel[:1]), ("other samples", kernel[1:])):
        yield f"merging {name} / the time that memory takes to move the bytes", _ratios(records, "kernel / limit", 1)
        yield f"the same for {name} that go into one batch", _ratios(records, "one batch / limit", 1)
        yield f"a trie in Python that gives the same arrays / merging {name}", _ratios(records, "trie / kernel")
        yield f"a packer by AReaL's algorithm, without rows / merging {name}", _ratios(records, "first fit / kernel")
    loop = read_records("kernel", folder, 1)
    for name, least, most in (("3,000", 0, 10_000), ("32,000", 10_000, 100_000)):
        records = [r for r in loop if least < r["tokens"] <= most]
        yield f"`pack_batches` on {name} tokens, ms per 1,000 tokens", _ratios(records, "ms / 1,000 tokens", 2)
    yield "json, trie and numpy / packing from file to file, each batch checked", _ratios(files, "ratio", 1)
    chats = read_records("chats", folder)
    for r in chats:
        yield (
            f"tokenizing conversations of {r['conversations of']}, a loop over `apply_chat_template` / masksynth",
            (f"{r['loop / masksynth']:.1f}"),
        )
    yield "tokenizing conversations / tokenizing the text of each once", _ratios(chats, "masksynth / limit", 1)
    jobs = read_records("pipe", folder, 1)
    yield (
        "packing 240 to 305 MB from file to file, one job / two jobs on two cores",
        _ratios(jobs, "wall, 1 / 2 jobs", 2),
    )


def training(folder: Path) -> Iterator[tuple[str, str]]:
    """Summarise training steps and block lists."""
    for r in read_records("fold", folder):
        yield f"training step on a CPU, plain / `fold`, {r['rows']}", f"{r['plain / folded']:.2f}"
    records = [r for r in read_records("training", folder) if r["layout"] == "merged"]
    for width in _values(records, "width"):
        speeds = format_range((r["faster than padded"] for r in records if r["width"] == width), 2)
        yield f"training step, padded / merged, model of width {width:,}", speeds
    seconds = {
        r["method"].partition(",")[0]: r["seconds"] for r in largest(read_records("blocks", folder), "positions")
    }
    ratio = seconds["torch.compile(create_block_mask)"] / seconds["BlockMask"]
    yield "compiled `create_block_mask` / `masksynth.torch.block_mask`, 131,072 positions", f"{ratio:.0f}"
    counted = largest(read_records("blocks", folder, 1), "positions")
    faster = format_range((r["dense / runs"] for r in counted), 1)
    yield "counting 1,048,576 positions in blocks, all blocks / runs of blocks", faster
    memory = max(r["added MiB"] for r in counted), max(r["dense, added MiB"] for r in counted)
    yield "the same, MiB above the mask at most, runs / all blocks", "{:.0f} / {:,.0f}".format(*memory)


def filling(folder: Path) -> Iterator[tuple[str, str]]:
    """Summarise how far the positions of batches are from lower bounds, and what keeping groups together costs."""
    records = read_records("filling", folder)
    for name in _values(records, "samples"):
        own = [r for r in records if r["samples"] == name]
        gaps = [100 * (r["groups kept"] / r["lower bound"] - 1) for r in own]
        sizes = ", ".join(f"{r['batches of']:,}" for r in own)
        yield f"{name}, batches of {sizes}: % of positions above the lower bound", ", ".join(f"{g:.2f}" for g in gaps)
    # a split distribution that is below the bound for whole groups proves that the difference is their price
    prices = [100 * (r["lower bound"] / r["groups split"] - 1) for r in records if r["lower bound"] > r["groups split"]]
    yield "price of whole groups where it is proved, % of positions", format_range(prices, 2) if prices else "none"


def searching(folder: Path) -> Iterator[tuple[str, str]]:
    """Summarise sparse masks: cases solved, sizes reached, constructions against bounds."""
    solved = {r["method"]: (r["solved"], r["cases"]) for r in read_records("sparse", folder)}
    for method in ("auto", "RC2, default", "CP-SAT, default"):
        yield f"sparse masks proved optimal in 5 CPU seconds by {method}", "{} of {}".format(*solved[method])
    reached = format_range((r["ratio"] for r in read_records("reach", folder)), 1)
    yield "positions reached with proof, `auto` / default CP-SAT", reached
    records = largest([r for r in read_records("constructions", folder) if r["family"] == "chain"], "positions")
    for r in records:
        yield (
            f"causal mask of 131,072 positions through {r['L']} layers, edges / lower bound",
            f"{r['edges / bound']:.2f} ({r['edges / position']:.1f} edges per position)",
        )


def others(folder: Path) -> Iterator[tuple[str, str]]:
    """Summarise audits, batches of instances and diagnoses."""
    audits = largest(read_records("audit", folder), "positions")
    yield "audit of 131,072 positions", f"{format_range((r['seconds'] for r in audits), 1)} s"
    batches = [r for r in read_records("batches", folder) if r["workers"] == 2 and "answers" not in r["method"]]
    overhead = ", ".join(f"{r['overhead, ms']:.1f} ms ({r['method'].partition('.')[0]})" for r in batches)
    yield "overhead per instance, two workers", overhead
    ratios = read_records("clustering", folder)
    yield "loop of `solve_ivp` / `diagnose clustering`, 64 starts", format_range((r["ratio"] for r in ratios), 1)
    run = [r for r in read_records("hierarchy", folder) if r["positions"] == 65_536]
    seconds = {r["attention"]: r["CPU seconds"] for r in run}
    ratio = seconds["softmax, fused in torch"] / seconds["tied, torch"]
    yield "fused softmax attention / attention tied on a tree, 65,536 positions, CPU", f"{ratio:.0f}"


PARTS: tuple[Callable[[Path], Iterator[tuple[str, str]]], ...] = (
    merging,
    solving,
    packing,
    training,
    filling,
    searching,
    others,
)


def _ratios(records: Records, column: str, digits: int = 0) -> str:
    return format_range((record[column] for record in records), digits)


def _values(records: Records, column: str) -> list[Any]:
    return list(dict.fromkeys(record[column] for record in records))


def format_summary(folder: Path) -> str:
    """Return the table of ratios, and the machine that produced the figures."""
    rows = [row for part in PARTS for row in part(folder)]
    machines = {read_result(path).machine for path in sorted(folder.glob("*.json"))}
    lines = ["| quantity | value |", "|---|---|", *(f"| {quantity} | {value} |" for quantity, value in rows)]
    return "\n".join([*lines, "", *wrap(f"Measured on {'; '.join(sorted(machines))}", 120, break_on_hyphens=False)])


def replace_summary(page: str, summary: str) -> str:
    """Return the page with the text between the markers replaced."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"expected one {BEGIN} and one {END} in the page")
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n\n{summary}\n\n{END}{rest.split(END)[1]}"


def main() -> None:
    """Rewrite the page."""
    PAGE.write_text(replace_summary(PAGE.read_text(encoding="utf-8"), format_summary(FOLDER)), encoding="utf-8")
    if (FOLDER / "cactus.svg").exists():
        shutil.copy(FOLDER / "cactus.svg", PAGE.parent)


if __name__ == "__main__":
    sys.exit(main())
