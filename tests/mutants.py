"""Change lines of the library at random, one at a time, and run the tests of their package: which go unnoticed?

    python tests/mutants.py [--seed N] [--count N] [--part I/K]

Lines are drawn among those that hold an operator, a comparison or a number, in the packages of ``TESTS``. Each change
is made in a copy of the checkout. A change that passes every test is printed as ALIVE: add a test, or show that the two
programs are equivalent.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
LOSSES = ["tests/torch/test_loss.py", "tests/torch/test_packed_losses.py", "tests/torch/test_router_loss.py"]
TESTS = {
    "masksynth/merge": ["tests/merge", "tests/test_solve.py"],
    "masksynth/pack": ["tests/pack", "tests/cli/test_pack.py"],
    "masksynth/export": ["tests/export", "tests/torch/test_forms.py", "tests/torch/test_flex.py"],
    "masksynth/verify": [
        "tests/verify",
        "tests/proofs",
        "tests/pack/test_check.py",
        "tests/cli/test_verify_samples.py",
    ],
    "masksynth/audit": ["tests/audit"],
    "masksynth/sparse/cut_bounds.py": ["tests/sparse"],
    "masksynth/sparse/constructions/size_bounds.py": ["tests/sparse"],
    "masksynth/torch/label_logprobs.py": LOSSES,
    "masksynth/torch/loss_edges.py": LOSSES,
}
"""Package, or file, and the tests that must notice a change in it; its doctests always run too."""
SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


def changed(node: ast.AST) -> ast.AST | None:
    """Return the node with its operator, comparison or number changed; None if it has none."""
    new: ast.AST = copy.deepcopy(node)
    if isinstance(new, ast.BinOp | ast.BoolOp) and type(new.op) in SWAPPED:
        new.op = SWAPPED[type(new.op)]()  # type: ignore[assignment]
        return new
    if isinstance(new, ast.Compare) and type(new.ops[0]) in SWAPPED:
        new.ops[0] = SWAPPED[type(new.ops[0])]()  # type: ignore[call-overload]
        return new
    if isinstance(new, ast.UnaryOp) and isinstance(new.op, ast.Not):
        return new.operand
    if isinstance(new, ast.Constant) and isinstance(new.value, bool):
        new.value = not new.value
        return new
    if isinstance(new, ast.Constant) and isinstance(new.value, int | float):
        new.value = new.value + 1
        return new
    return None


def expressions(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run: no annotations, no parts of texts."""
    for name, field in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_params"):
            continue
        for child in field if isinstance(field, list) else [field]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                yield child
                yield from expressions(child)


def changes(file: Path) -> dict[int, list[str]]:
    """Return, for each line that can be changed, the file's text after each change of it."""
    source = file.read_text(encoding="utf-8")
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    by_line: dict[int, list[str]] = {}
    for node in expressions(ast.parse(source)):
        new = changed(node)
        if new is None or not isinstance(node, ast.expr) or node.end_lineno is None or node.end_col_offset is None:
            continue
        first, last = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        text = source.encode()
        by_line.setdefault(node.lineno, []).append(
            (text[:first] + b"(" + ast.unparse(new).encode() + b")" + text[last:]).decode()
        )
    return by_line


def drawn(seed: int, count: int) -> list[tuple[str, int, str]]:
    """Return ``count`` random changes as (file, line, new text of the file); equal seeds give equal changes."""
    generator = random.Random(seed)
    lines: list[tuple[str, int, list[str]]] = []
    for package in TESTS:
        path = CHECKOUT / package
        for file in [path] if path.suffix else sorted(path.rglob("*.py")):
            name = str(file.relative_to(CHECKOUT))
            lines += [(name, line, texts) for line, texts in sorted(changes(file).items())]
    return [(name, line, generator.choice(texts)) for name, line, texts in generator.sample(lines, count)]


def tests_of(file: str) -> list[str]:
    """Return the tests of the package that a file lives in."""
    return next(tests for package, tests in TESTS.items() if file.startswith(package))


def survives(copied: Path, file: str, text: str) -> bool:
    """Whether every test of the file's package passes after the change, in a copy of the checkout."""
    target = copied / file
    before = target.read_text(encoding="utf-8")
    target.write_text(text, encoding="utf-8")
    package = file.rsplit("/", 1)[0]
    try:
        environment = {**os.environ, "PYTHONPATH": f"{copied}:{copied / 'solvers'}"}
        # Bytecode of the file before the change may look current: equal size, equal second. So each run has its own.
        environment["PYTHONPYCACHEPREFIX"] = tempfile.mkdtemp(dir=copied.parent)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests_of(file), package]
        run = subprocess.run(command, cwd=copied, env=environment, capture_output=True, timeout=900, check=False)
    except subprocess.TimeoutExpired:
        return False
    finally:
        target.write_text(before, encoding="utf-8")
    return run.returncode == 0


def main() -> None:
    """Print one line for each change: killed or ALIVE, the place, and the line before and after."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--part", default="0/1", help="run only the changes i of K by their number modulo K")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it, and so would tests
    passing: set[str] = set()
    part, parts = map(int, options.part.split("/"))
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "checkout"
        shutil.copytree(CHECKOUT, copied, ignore=shutil.ignore_patterns(".git", "__pycache__"))
        if (CHECKOUT.parent / "shared").is_dir():
            (Path(folder) / "shared").symlink_to(CHECKOUT.parent / "shared")
        for number, (file, line, text) in enumerate(drawn(options.seed, options.count)):
            if number % parts != part:
                continue
            source = (CHECKOUT / file).read_text(encoding="utf-8")
            old = source.splitlines()[line - 1].strip()
            package = file.rsplit("/", 1)[0]
            if package not in passing and not survives(copied, file, source):
                sys.exit(f"{package}: its tests fail without a change, so they show nothing")
            passing.add(package)
            outcome = "ALIVE " if survives(copied, file, text) else "killed"
            print(
                f"{number:3} {outcome} {file}:{line}: {old}\n    now: {text.splitlines()[line - 1].strip()}", flush=True
            )


if __name__ == "__main__":
    main()
