"""Measure the structure of a checkout: repeated low-level code, writers, readers, ambiguous file names, long functions.

    python tests/structure.py [CHECKOUT] [--suite]

Counts come from syntax trees, and the script imports nothing of the project, so that it also runs on older checkouts.
``--suite`` also runs the tests with two processes and reports the seconds.
"""

from __future__ import annotations

import argparse
import ast
import collections
import io
import subprocess
import sys
import time
import tokenize
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("masksynth", "solvers/masksynth_solvers")
"""Folders that are measured."""
WRITES = {"write_text", "write_bytes", "replace", "rename", "mkstemp", "mkdtemp", "NamedTemporaryFile"}
"""Functions that create or replace a file; ``replace`` and ``rename`` count only as attributes of ``os``."""


def name_of(node: ast.expr) -> str:
    """Return the last name of a dotted expression, such as ``repeat`` of ``np.repeat``."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    """Yield the calls of a function by its last name."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call) and name_of(node.func) == name)


def is_owner_of_intervals(call: ast.Call) -> bool:
    """Whether ``np.repeat(np.arange(n), lengths)`` is written: the row of each entry of a CSR layout."""
    return bool(call.args) and isinstance(call.args[0], ast.Call) and name_of(call.args[0].func) == "arange"


def is_ragged_range(node: ast.AST) -> bool:
    """Whether a sum or difference of ``arange`` and ``repeat`` is written: concatenated ranges."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Add | ast.Sub):
        return False
    names = {name_of(side.func) for side in (node.left, node.right) if isinstance(side, ast.Call)}
    return {"arange", "repeat"} <= names


def is_array_alias(node: ast.stmt) -> bool:
    """Whether a statement gives an array type a private name, such as ``Ints = NDArray[np.int64]``."""
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    return value is not None and any(
        name_of(part) == "NDArray" for part in ast.walk(value) if isinstance(part, ast.expr)
    )


def is_write(call: ast.Call) -> bool:
    """Whether a call creates or refiles a file."""
    name = name_of(call.func)
    if name in ("replace", "rename"):
        return isinstance(call.func, ast.Attribute) and name_of(call.func.value) == "os"
    if name == "open":
        texts = [
            part.value
            for part in [*call.args, *(word.value for word in call.keywords)]
            if isinstance(part, ast.Constant)
        ]
        return any(isinstance(text, str) and text[:1] in "wax" and len(text) <= 3 and text for text in texts)
    return name in WRITES


def reads_a_mask(function: ast.FunctionDef) -> bool:
    """Whether a function decides by suffix how to read a mask file."""
    text = ast.unparse(function)
    return "suffix" in text and any(word in text for word in (".npy", ".npz", ".safetensors", "MASK_SUFFIXES"))


def comment_lines(source: str) -> tuple[int, int]:
    """Return how many lines hold only a comment, and how many a comment after code."""
    alone = trailing = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            alone += not token.line[: token.start[1]].strip()
            trailing += bool(token.line[: token.start[1]].strip())
    return alone, trailing


def code_lines(tree: ast.Module, source: str) -> int:
    """Return the lines that hold code: not blank, not comment, not docstring."""
    documented: set[int] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            text = node.body[0]
            documented.update(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    lines = enumerate(source.splitlines(), 1)
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in documented for number, line in lines
    )


def body_lines(function: ast.FunctionDef) -> int:
    """Return the lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def count(checkout: Path) -> dict[str, object]:
    """Return the counts of a checkout, by description."""
    occurrences: dict[str, list[str]] = collections.defaultdict(list)
    lines = code = alone = trailing = 0
    lengths, names = [], collections.Counter[str]()
    for path in sorted(path for package in PACKAGES for path in (checkout / package).rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        tree, file = ast.parse(source), str(path.relative_to(checkout))
        lines, code = lines + len(source.splitlines()), code + code_lines(tree, source)
        alone, trailing = alone + comment_lines(source)[0], trailing + comment_lines(source)[1]
        names[path.name] += path.name not in ("__init__.py", "__main__.py")
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        lengths += [body_lines(function) for function in functions]
        occurrences["owners"] += [file for call in calls(tree, "repeat") if is_owner_of_intervals(call)]
        occurrences["ragged"] += [file for node in ast.walk(tree) if is_ragged_range(node)]
        occurrences["aliases"] += [file for node in tree.body if is_array_alias(node)]
        occurrences["writes"] += [file for node in ast.walk(tree) if isinstance(node, ast.Call) and is_write(node)]
        occurrences["readers"] += [file for function in functions if reads_a_mask(function)]
        occurrences["parameters"] += [file for node in functions if len(node.args.args) + len(node.args.kwonlyargs) > 8]
    checker = ("masksynth/verify/",)
    twice = {name: number for name, number in names.items() if number > 1}
    lengths.sort()
    tenth = lengths[len(lengths) * 9 // 10]

    def split(key: str) -> str:
        files = [file for file in occurrences[key] if not file.startswith(checker)]
        return f"{len(files)} in {len(set(files))} files (and {len(occurrences[key]) - len(files)} in the checker)"

    return {
        "owner of each interval, computed": split("owners"),
        "ragged ranges, computed": split("ragged"),
        "private names of array types": split("aliases"),
        "calls that create or replace a file": split("writes"),
        "functions that tell mask files by suffix": split("readers"),
        "file names that occur more than once": f"{len(twice)} names, {sum(twice.values())} files",
        "functions with more than 8 parameters": len(occurrences["parameters"]),
        "lines, of them code": f"{lines}, {code}",
        "comment lines, comments after code": f"{alone}, {trailing}",
        "functions, median and 90th percentile of lines": f"{len(lengths)}, {lengths[len(lengths) // 2]}, {tenth}",
        "functions of more than 35 lines, longest": f"{sum(length > 35 for length in lengths)}, {lengths[-1]}",
    }


def main() -> None:
    """Print the counts of a checkout."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("checkout", nargs="?", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--suite", action="store_true", help="also run the tests with two processes")
    arguments = parser.parse_args()
    for name, value in count(arguments.checkout).items():
        print(f"{name:<50} {value}")
    if arguments.suite:
        begun = time.monotonic()
        status = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", "2"], cwd=arguments.checkout, check=False
        ).returncode
        print(f"{'seconds of pytest -n 2, exit status':<50} {time.monotonic() - begun:.0f}, {status}")


if __name__ == "__main__":
    main()
