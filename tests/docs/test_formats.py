"""The formats page against the engine: its snippets, its tables of fields, limits and keys."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import re
import shlex
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.numpy import load_file

import masksynth as ms
from masksynth.cli import main
from masksynth.contracts import Demand, Weights, loads_contracts
from masksynth.contracts.schema import schema as contracts_schema
from masksynth.pack import open_packed
from masksynth.tasks.instance_files import content_hash, schema
from masksynth.verify.check_forms import form_shapes
from tests.docs.pages import DOCS, ROOT, agrees, blocks, shell

ELSEWHERE = {"fact", "rows", "reason", "unreachable", "flops", "format", "file", "table", "bytes", "arrays", "cost"}
"""Keys that these commands print in other cases."""
SAMPLES = ROOT / "tests/pack/data/reasoning_calls.jsonl.gz"

TEXT = (DOCS / "formats.md").read_text(encoding="utf-8")
PAGE = blocks(DOCS / "formats.md")


def snippets():
    names = {}
    for block in PAGE:
        if block.language == "python" and not block.title:
            exec(block.text, names)
    return names


def table(heading):
    """Rows of the first table after a heading, cell by cell."""
    lines = TEXT[TEXT.index(heading) :].splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("|---"))
    rows = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def printed(line, folder):
    """Return what the last of some commands, separated by semicolons, prints, run in this process."""
    with contextlib.chdir(folder):
        results = [CliRunner().invoke(main, shlex.split(command)[1:]) for command in line.split("; ")]
    assert all(result.exception is None for result in results[:-1]), results
    return results[-1].stdout


def named(cell):
    return re.findall(r"`([a-z_-]+)`", cell)


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    (folder / "instance.json").write_text(next(block.text for block in PAGE if block.title == "instance.json"))
    for block in PAGE:
        if block.title == "use_flex.py":
            (folder / block.title).write_text(block.text)
    assert "OPTIMAL, 2 positions" in shell("masksynth solve instance.json -o answer", folder)
    return folder


def test_hash_snippet_is_the_hash(answer):
    own = snippets()["instance_hash"]
    paths = [path for path in sorted((ROOT / "instances").glob("*.json")) if path.name != "manifest.json"]
    assert len(paths) > 50
    for path in [*paths, answer / "instance.json"]:
        assert own(json.loads(path.read_bytes())) == content_hash(ms.load(path).family), path.name
    document = json.loads((answer / "instance.json").read_text())
    document["tasks"][0]["predict"][0]["weight"] = 2
    assert own(document) != content_hash(ms.load(answer / "instance.json").family)


def test_manifest_hash_snippet_is_the_hash(answer):
    shell(f"masksynth pack {SAMPLES} -o hashed --quiet", answer)
    manifest = json.loads((answer / "hashed/manifest.json").read_text(encoding="utf-8"))
    names = snippets()
    assert names["manifest_hash"](manifest) == manifest["hash"]
    with safe_open(answer / "hashed" / manifest["batches"][0]["file"], framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        assert file.metadata()["batch_hash"] == manifest["batches"][0]["hash"] == names["content_hash"](arrays)
    positions = names["sample_position"](arrays)
    assert positions == names["sample_position"]({"sample_position": positions})
    assert positions == open_packed(answer / "hashed")[0].sample_position.tolist()
    keys = {named(cells[0])[0] for cells in table("## Packed folder")}
    assert keys == set(manifest)


def test_content_hash_snippet_is_the_hash(answer):
    arrays = load_file(answer / "answer/mask.safetensors")
    with safe_open(answer / "answer/mask.safetensors", "numpy") as file:
        assert file.metadata() == {"schema": "1", "content_hash": snippets()["content_hash"](arrays)}


def test_arrays_are_those_of_the_table(answer):
    due = {
        name: cells[1]
        for cells in table("### Arrays")
        for name in named(cells[0])
        if ("8,192" not in cells[3] or "≤" in cells[3]) and "only read" not in cells[3]
    }
    with np.load(answer / "answer/mask.npz") as file:
        types = {name: str(file[name].dtype) for name in file}
    forms = {name: cells[1] for cells in table("The form of table p") for name in named(cells[0])}
    assert {name: dtype for name, dtype in types.items() if not name.startswith("flex_")} == due
    stored = {name.replace("_0_", "_p_"): dtype for name, dtype in types.items() if name.startswith("flex_")}
    assert stored == {name: forms[name] for name in ("flex_p_row_intervals", "flex_p_reason")}
    expected = {name.replace("_0_", "_p_"): dtype for name, (dtype, _) in form_shapes(9, 1).items()}
    assert {name: np.dtype(dtype).str for name, dtype in forms.items()} == expected


def test_keys_of_solution_json(answer):
    record = json.loads((answer / "answer/solution.json").read_text())
    assert list(record) == [named(cells[0])[0] for cells in table("### solution.json")]
    assert list(record["problem"]) == ["layers", "sparse", "pattern", "sha256"]
    assert list(record["limits"]) == ["seconds", "workers", "seed", "effort"]
    assert list(record["certificate"]["roads"][0]) == ["backend", "value", "bound", "proof"]


def test_flex_snippet(answer):
    want = next(after.text for block, after in pairwise(PAGE) if block.title == "use_flex.py")
    assert agrees(want, shell("python use_flex.py", answer))


@pytest.mark.parametrize(
    ("heading", "kind"),
    [("## Instance", "Instance"), ("A task:", "Task"), ("A node:", "Node"), ("A prediction:", "Prediction")],
)
def test_fields_and_defaults_are_those_of_the_schema(heading, kind):
    shape = schema()["$defs"][f"{kind}File"]
    rows = {named(cells[0])[0]: cells for cells in table(heading)}
    assert set(rows) == set(shape["properties"])
    for name, cells in rows.items():
        assert (cells[2] == "required") == (name in shape["required"]), name
        if name not in shape["required"]:
            default = {"null": None}.get(cells[2].split(":")[0], ...)
            assert (json.loads(cells[2].strip("`")) if default is ... else default) == shape["properties"][name][
                "default"
            ], name


@pytest.mark.parametrize(
    ("heading", "kind"),
    [('json title="contracts.json"', "Contracts"), ("A target:", "Target")],
    ids=["whole", "target"],
)
def test_fields_of_contracts_are_those_of_the_schema(heading, kind):
    shape = contracts_schema()["$defs"][f"{kind}File"]
    rows = {named(cells[0])[0]: cells for cells in table(heading)}
    assert set(rows) == set(shape["properties"])
    for name, cells in rows.items():
        assert (cells[2] == "required") == (name in shape["required"]), name


def test_contracts_of_the_page_are_read():
    (block,) = [block for block in PAGE if block.title == "contracts.json"]
    contracts = loads_contracts(block.text)
    assert [contracts.needed(target).tolist() for target in range(3)] == [[1, 2, 3], [0, 2, 3], [0, 1, 2, 3]]
    assert [target.position for target in contracts.targets] == [0, 1, 9]
    defaults = loads_contracts('{"masksynth_contracts": 1, "name": "x", "elements": 2, "targets": "each"}')
    assert (defaults.weights, defaults.demand) == (Weights(), Demand())
    assert all(str(getattr(Weights(), name)).removesuffix(".0") in TEXT for name in ("position", "kv", "pair"))


def test_snippet_of_contracts():
    (block,) = [block for block in PAGE if "with_options(leave_one_out" in block.text]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(block.text, {})
    assert agrees(PAGE[PAGE.index(block) + 1].text, printed.getvalue())


def test_line_of_results_is_what_the_command_writes(answer):
    (block,) = [block for block in PAGE if block.title == "results.jsonl"]
    told, found = json.loads(block.text), json.loads(shell("masksynth search instance.json --jobs 1", answer))
    assert list(told) == list(found) == [key for cells in table("## Results of a batch") for key in named(cells[0])]
    for key in set(told) - {"seconds", "versions"}:
        assert told[key] == found[key], key


def test_limits_are_those_of_the_code():
    """Every constant MAX_... of the packages, but for those of the checker, which has its own."""
    values = {}
    for package, folder in (
        ("masksynth", ROOT / "masksynth"),
        ("masksynth_solvers", ROOT / "solvers/masksynth_solvers"),
    ):
        for path in sorted(folder.rglob("*.py")):
            names = re.findall(r"^(MAX_\w+) = ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
            if names and "verify" not in path.parts:
                module = importlib.import_module(".".join([package, *path.relative_to(folder).with_suffix("").parts]))
                values |= {name: getattr(module, name) for name in names}
    assert {
        cells[0].strip("`"): int(cells[1].split(" ")[0].replace(",", "")) for cells in table("### Limits")
    } == values


def test_keys_of_every_json_output(answer):
    said = {named(cells[0])[0]: named(cells[1]) for cells in table("## Output of --json")}
    shell("masksynth new causal_lm --n 5 | masksynth solve - --sparse --layers 2 --quiet -o thin --proof proof", answer)
    (block,) = [block for block in PAGE if block.title == "contracts.json"]
    (answer / "contracts.json").write_text(block.text)
    found = {
        "families": "masksynth contracts --json",
        "discover": "masksynth discover contracts.json -o found --quiet; masksynth discover contracts.json --json",
        "contracts": "masksynth verify contracts.json found --json",
        "sparsify": "masksynth sparsify thin --layers 2 --json",
        "check-proof": "masksynth check-proof proof --json",
        "verify": "masksynth verify instance.json answer --json",
        "samples": f"masksynth pack {SAMPLES} -o thick --quiet; masksynth verify {SAMPLES} thick --json",
        "explain": 'masksynth explain instance.json "predict b" a "predict b" m --json',
        "pack": f"masksynth pack {SAMPLES} -o packed --json",
        "export": "masksynth export packed --json",
        "arrange": "masksynth arrange packed --json",
        "audit": "masksynth audit packed --json",
        "inspect": "masksynth inspect packed --json",
        "search": "masksynth search instance.json -o run.jsonl --quiet; "
        "masksynth search run.jsonl --report --compare run.jsonl --json",
        "clustering": "masksynth diagnose clustering answer --seeds 2 --time 5 --json",
        "hierarchy": "masksynth diagnose hierarchy --length 16 --branching 4,4 --json",
        "symmetry": "masksynth diagnose symmetry answer --json",
        "catalog": "masksynth catalog --json",
        "backends": "masksynth backends --json",
    }
    for command, line in found.items():
        value = json.loads(printed(line, answer))
        keys = list(value[0] if isinstance(value, list) else value)
        listed = [key for key in dict.fromkeys(said[command]) if key in keys or key not in ELSEWHERE]
        assert listed == keys, command
    shown = shell(
        'sed \'s/MASK/b/; s/"carries": \\[\\]/"carries": ["b"]/\' instance.json | masksynth solve - --json', answer
    )
    assert list(json.loads(shown)) == said["solve"]
    shell('sed -i \'s/"OPTIMAL"/"NONE"/\' answer/solution.json', answer)
    assert list(json.loads(shell("masksynth verify instance.json answer --json", answer))) == [
        key for key in said["verify"] if key not in ("checks", "positions", "layers", "minimal", "edges")
    ]
