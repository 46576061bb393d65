"""Sparse masks through the real command: answers, files, limits, interruptions, refusals."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

import masksynth as ms
from masksynth.cli import main
from masksynth.subject.mask_file import read_mask, write_mask
from tests.cli.command import FILES, here, interrupt, masksynth, refused, start, wait_for_search
from tests.cli.test_emit import optimum
from tests.sparse.relations import carries, chain, one_class

INSTANCES = Path(__file__).parent.parent.parent / "instances"
CHAIN = INSTANCES / "sparse/chain-12-layers-2.json"
KEYS = [
    "status",
    "objective",
    "size",
    "pairs",
    "layers",
    "closed",
    "edges",
    "certificate",
    "backend",
    "versions",
    "limits",
    "seconds",
]


def saved(folder, relation, name="mask.npy"):
    """A relation as a mask file."""
    path = folder / name
    write_mask(ms.Mask.from_dense(relation), path)
    return path


def written_rules(folder, text):
    """A rules file."""
    path = folder / "rules.json"
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


def usage(done):
    """The last line of a usage error."""
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr.splitlines()[-1]


def test_solve_a_sparse_instance_and_verify_its_folder(tmp_path):
    done = masksynth("solve", CHAIN, "-o", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert "OPTIMAL, 25 edges instead of 66 through 2 layers (12 positions, minimal)" in done.stdout
    assert "the fewest possible" in done.stdout
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == FILES
    record = json.loads((tmp_path / "out/solution.json").read_text())
    assert record["objective"] == {"positions": {"value": 12, "bound": 12}, "edges": {"value": 25, "bound": 25}}
    assert carries(read_mask(tmp_path / "out").dense(), chain(12), 2)
    done = masksynth("verify", CHAIN, tmp_path / "out", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"], told["edges"], told["layers"]) == (0, True, 25, 2)


def test_the_options_sparse_and_layers_make_an_instance_sparse(tmp_path):
    path = INSTANCES / "butterfly-8.json"
    done = here("solve", path, "--sparse", "--layers", "3", "--json", "--backend", "sat")
    record = json.loads(done.stdout)
    line = next(
        x
        for x in json.loads((INSTANCES / "manifest.json").read_text())
        if x["file"] == "sparse/butterfly-8-layers-3.json"
    )
    assert (done.returncode, record["objective"]["edges"]["value"], record["backend"]) == (0, line["edges"], "sat")
    assert here("solve", path, "--sparse", "--layers", "3", "-o", tmp_path / "out", "--quiet").returncode == 0
    assert here("verify", INSTANCES / "sparse/butterfly-8-layers-3.json", tmp_path / "out", "--quiet").returncode == 0


def test_a_folder_with_one_edge_less_fails(tmp_path):
    here("solve", CHAIN, "-o", tmp_path / "out", "--quiet")
    path = tmp_path / "out/mask.safetensors"
    arrays = load_file(path)
    arrays["mask"] = arrays["mask"].copy()
    arrays["mask"][..., 1, 0] = False
    save_file(arrays, path)
    done = here("verify", CHAIN, tmp_path / "out", "--json")
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (1, False)


@pytest.mark.parametrize("name", ["mask.npy", "mask.npz", "mask.safetensors"])
def test_a_mask_file_in_and_out(name, tmp_path):
    given = saved(tmp_path, chain(9), name)
    out = tmp_path / f"out-{name}"
    done = here("sparsify", given, "--layers", "2", "-o", out, "--json")
    record = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(record) == KEYS
    assert (record["status"], record["objective"], record["pairs"], record["size"]) == (
        "OPTIMAL",
        {"edges": {"value": 16, "bound": 16}},
        36,
        9,
    )
    assert (record["layers"], record["closed"], record["backend"], record["limits"]["effort"]) == (
        2,
        True,
        "auto",
        60.0,
    )
    mask = read_mask(out).dense()
    assert carries(mask, chain(9), 2)
    assert [[int(q), int(k)] for q, k in np.argwhere(mask) if q != k] == record["edges"]


def test_an_answer_folder_is_a_mask(tmp_path):
    here("solve", INSTANCES / "causal_lm-8.json", "-o", tmp_path / "dense", "--quiet")
    done = here("sparsify", tmp_path / "dense", "--layers", "2", "--json")
    assert json.loads(done.stdout)["objective"]["edges"] == {"value": 10, "bound": 10}


def test_a_relation_that_is_not_transitive_is_closed_and_that_is_said(tmp_path):
    path = saved(tmp_path, np.eye(5, dtype=bool) | np.eye(5, k=-1, dtype=bool))
    done = here("sparsify", path)
    assert "4 edges instead of 10 through any number of layers" in done.stdout
    assert "the relation was not transitive" in done.stdout
    assert json.loads(here("sparsify", path, "--json").stdout)["closed"] is False


def test_rules_are_heeded(tmp_path):
    path, rules = (
        saved(tmp_path, chain(6)),
        {"forced": [[5, 0]], "forbidden": [[4, 1]], "weights": [[3, 0, 7], [2, 0, -4]]},
    )
    done = here("sparsify", path, "--layers", "2", "--rules", written_rules(tmp_path, rules), "--json")
    record = json.loads(done.stdout)
    due = ms.sparsify(
        chain(6), 2, forced=[(5, 0)], forbidden=[(4, 1)], weights={(3, 0): 7, (2, 0): -4}, backend="brute"
    )
    assert record["objective"]["edges"] == {"value": due.objective.value, "bound": due.objective.bound}
    assert [5, 0] in record["edges"]
    assert [2, 0] in record["edges"]
    assert [4, 1] not in record["edges"]


def test_a_mask_for_each_layer(tmp_path):
    done = here(
        "sparsify", saved(tmp_path, chain(4)), "--layers", "2", "--layered", "-o", tmp_path / "out.npy", "--json"
    )
    record = json.loads(done.stdout)
    assert (done.returncode, record["objective"]["edges"]["value"]) == (0, 4)
    first, second = read_mask(tmp_path / "out.npy").dense()
    assert np.array_equal(second.astype(int) @ first > 0, chain(4))
    assert all(len(edge) == 3 for edge in record["edges"])


def test_forbidden_edges_that_cut_the_flow_exit_1(tmp_path):
    path, rules = saved(tmp_path, chain(4)), written_rules(tmp_path, {"forbidden": [[1, 0]]})
    done = here("sparsify", path, "--rules", rules, "-o", tmp_path / "out.npy", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (
        1,
        {"status": "INFEASIBLE", "layers": None, "unreachable": [1, 0]},
    )
    done = here("sparsify", path, "--rules", rules)
    assert done.stdout.endswith(
        ": INFEASIBLE. The allowed edges do not connect the pair (1, 0) (query, key) within any number of layers.\n"
    )
    assert not (tmp_path / "out.npy").exists()


@pytest.mark.parametrize("backend", ["sat", "maxsat", "cpsat", "ilp", "brute", "construct"])
def test_every_engine_answers(backend, tmp_path):
    done = here("sparsify", saved(tmp_path, chain(6)), "--layers", "2", "--backend", backend, "--json")
    record = json.loads(done.stdout)
    assert (done.returncode, record["objective"]["edges"]["value"], record["backend"]) == (0, 8, backend)


def test_two_workers_find_the_same_optimum(tmp_path):
    done = masksynth("sparsify", saved(tmp_path, one_class(5)), "--layers", "3", "--workers", "2", "--json")
    assert json.loads(done.stdout)["objective"]["edges"] == {"value": 7, "bound": 7}


@pytest.mark.parametrize("command", [["solve", CHAIN], ["sparsify"]])
def test_the_emitted_search_has_the_optimum(command, tmp_path):
    path = tmp_path / "model.wcnf"
    given = command if len(command) > 1 else [*command, saved(tmp_path, chain(12)), "--layers", "2"]
    done = here(*given, "--emit", path, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert optimum(path) == 25


def test_the_same_effort_gives_the_same_answer(tmp_path):
    path = saved(tmp_path, chain(24))
    one, two = (
        json.loads(masksynth("sparsify", path, "--layers", "2", "--effort", "0.5", "--json").stdout) for _ in range(2)
    )
    assert one.pop("seconds") > 0
    assert two.pop("seconds") > 0
    assert one == two
    assert (one["status"], one["limits"]["effort"]) == ("FEASIBLE", 0.5)
    assert one["objective"]["edges"]["bound"] < one["objective"]["edges"]["value"]


@pytest.mark.parametrize("command", [["solve", INSTANCES / "sparse/random-60-50-1-layers-2.json"], ["sparsify"]])
def test_a_time_limit_gives_the_best_so_far(command, tmp_path):
    given = command if len(command) > 1 else [*command, saved(tmp_path, chain(24)), "--layers", "2"]
    begun = time.monotonic()
    done = masksynth(*given, "--time-limit", "1", "--json")
    record = json.loads(done.stdout)
    assert (done.returncode, done.stderr, record["status"], record["limits"]["seconds"]) == (0, "", "FEASIBLE", 1.0)
    assert time.monotonic() - begun < 30
    done = masksynth(*given, "--time-limit", "0")
    assert "are needed: gap" in done.stdout


def children(process):
    """Process ids of a process's children."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, IndexError):
            if (
                entry.name.isdecimal()
                and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == process.pid
            ):
                found.append(int(entry.name))
    return found


def gone(process_ids, seconds=60):
    """Whether processes end by themselves; one that only waits to be collected has ended."""
    end = time.monotonic() + seconds
    while any(Path(f"/proc/{number}/exe").exists() for number in process_ids):
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


@contextmanager
def working(*arguments):
    """The command, and an engine in a process of its own, on a chain of 30 at L = 3, which none solves in a minute."""
    process = start("sparsify", *arguments, "--layers", "3", "--workers", "2", "--effort", "1e6", "--json")
    try:
        end = time.monotonic() + 90
        while not (found := children(process)):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.05)
        time.sleep(0.5)
        yield process, found
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_in_a_long_search_gives_the_best_checked_answer(tmp_path):
    path, out = saved(tmp_path, chain(30)), tmp_path / "out.npy"
    process = start("sparsify", path, "--layers", "2", "--effort", "1e6", "-o", out, "--json")
    wait_for_search(process)
    time.sleep(0.5)
    code, text, complaints, seconds = interrupt(process, 60)
    assert (code, complaints) == (0, "")
    assert seconds < 30
    record = json.loads(text)
    edges = record["objective"]["edges"]
    assert record["status"] == "FEASIBLE"
    assert 29 <= edges["bound"] < edges["value"] == len(record["edges"]) <= 100
    assert carries(read_mask(out).dense(), chain(30), 2)


def test_ctrl_c_with_two_workers_leaves_no_process_behind(tmp_path):
    path, out = saved(tmp_path, chain(30)), tmp_path / "out.npy"
    with working(path, "-o", out) as (process, found):
        code, text, complaints, seconds = interrupt(process, 60)
    assert (code, complaints) == (0, "")
    assert seconds < 30
    assert not [number for number in found if Path(f"/proc/{number}").exists()]
    assert json.loads(text)["status"] == "FEASIBLE"
    assert carries(read_mask(out).dense(), chain(30), 3)


def test_workers_end_when_the_command_is_killed(tmp_path):
    with working(saved(tmp_path, chain(30))) as (process, found):
        process.kill()
        process.communicate()
        assert gone(found)


def test_ctrl_c_in_solve_writes_an_answer_that_verifies(tmp_path):
    path = INSTANCES / "sparse/random-60-50-1-layers-2.json"
    process = start("solve", path, "-o", tmp_path / "out", "--effort", "1e6", "--json")
    wait_for_search(process)
    time.sleep(0.5)
    code, text, complaints, _ = interrupt(process, 30)
    assert (code, complaints) == (0, "")
    record = json.loads(text)
    assert (record["status"], record["objective"]["positions"]) == ("FEASIBLE", {"value": 60, "bound": 60})
    assert masksynth("verify", path, tmp_path / "out", "--quiet").returncode == 0


RULES = 'write {"forced": [[q, k], ...], "forbidden": [[q, k], ...], "weights": [[q, k, w], ...]}'
BAD_RULES = {
    "{": "$: not JSON: line 1, column 2: Expecting property name enclosed in double quotes; check the text there",
    "": f"$: expected object, got null; {RULES}",
    "[]": f"$: expected object, got array; {RULES}",
    '{"color": 1}': f"$: object contains unknown field color; {RULES}",
    '{"forced": 3}': f"$.forced: expected array, got int; {RULES}",
    '{"forced": [[1]]}': f"$.forced[0]: expected array of length 2, got 1; {RULES}",
    '{"forced": [[true, 0]]}': f"$.forced[0][0]: expected int, got bool; {RULES}",
    '{"weights": [[1, 0, 1], [2, 0, 1.5]]}': f"$.weights[1][2]: expected int, got float; {RULES}",
    '{"weights": [[1, 0, 1], [1, 0, 5]]}': "$.weights[1]: the edge [1, 0] is given twice; keep one of them",
    '{"weights": [[1, 0, NaN]]}': "$.weights[0][2]: NaN is not a JSON number; use a finite number",
    '{"forced": [], "forced": []}': "$: key 'forced' is repeated in one object; keep one of them",
    "[" * 100_000: "$: nested deeper than 48 levels; flatten the document",
}


@pytest.mark.parametrize("text", BAD_RULES, ids=lambda text: text[:24])
def test_bad_rules_files(text, tmp_path):
    path, rules = saved(tmp_path, chain(4)), written_rules(tmp_path, text)
    said = refused(here("sparsify", path, "--rules", rules, "-o", tmp_path / "out.npy"))
    assert said == f"{rules}: {BAD_RULES[text]}"
    assert {entry.name for entry in tmp_path.iterdir()} == {"mask.npy", "rules.json"}


@pytest.mark.parametrize(
    ("rules", "fact"),
    [
        (
            {"forced": [[0, 1]]},
            "the forced edge (0, 1) would carry flow beyond the relation; force only pairs of the relation",
        ),
        ({"forced": [[1, 0]], "forbidden": [[1, 0]]}, "the edge (1, 0) is forced and forbidden; choose one"),
        ({"forced": [[1, 1]]}, "forced: expected two different positions from 0 to 3, got (1, 1)"),
        ({"weights": [[9, 0, 1]]}, "weights: expected two different positions from 0 to 3, got (9, 0)"),
        (
            {"weights": [[1, 0, 10**7]]},
            "weights: expected an integer from -1000000 to 1000000 for the edge (1, 0), got 10000000",
        ),
    ],
)
def test_rules_that_do_not_fit_the_relation(rules, fact, tmp_path):
    path = saved(tmp_path, chain(4))
    assert refused(here("sparsify", path, "--rules", written_rules(tmp_path, rules))).removeprefix("$: ") == fact


def bad_masks(folder):
    """Files that contain no mask -> the error."""
    np.save(folder / "float.npy", np.eye(3))
    np.save(folder / "oblong.npy", np.ones((3, 4), bool))
    np.save(folder / "pickled.npy", np.array([{"a": 1}], object), allow_pickle=True)
    np.savez(folder / "other.npz", x=np.eye(3, dtype=bool))
    (folder / "junk.npy").write_bytes(b"junk")
    (folder / "empty.npy").write_bytes(b"")
    (folder / "mask.txt").write_text("1")
    plain = "is not a complete .npy file of plain numbers; save an array with numpy.save"
    return {
        "float.npy": "array 'mask' is not an additive mask: expected 0 and one number that forbids, got 0 and 1.0; "
        "store 0 and minus infinity, or a bool array",
        "oblong.npy": "array 'mask' has shape (3, 4); store (n, n), (P, n, n) or (1, 1, n, n)",
        "pickled.npy": plain,
        "junk.npy": plain,
        "empty.npy": plain,
        "other.npz": "the arrays ['x'] hold 0 masks; store one of mask, attention_mask, row_offset, edge_query",
        "missing.npy": "there is no such file or folder; name one, or package.module:mask_mod with --length",
        "mask.txt": "ends in '.txt'; name a file that ends in .npy, .npz, .safetensors, a folder, or package.module:mask_mod",  # noqa: E501
    }


def test_files_without_a_mask(tmp_path):
    for name, fact in bad_masks(tmp_path).items():
        assert refused(here("sparsify", tmp_path / name, "--layers", "2")) == f"{tmp_path / name}: {fact}"


def test_a_layer_pattern_is_not_one_flow(tmp_path):
    np.save(tmp_path / "two.npy", np.stack([chain(3), chain(3)]))
    said = refused(here("sparsify", tmp_path / "two.npy"))
    assert said.endswith("expected one flow, got a mask of 2 tables; give one (n, n) relation")


def test_bad_options(tmp_path):
    path = saved(tmp_path, chain(4))
    for value in ("0", "x", "-1", "1.5"):
        assert f"'--layers': expected a positive integer or 'any', got '{value}'" in usage(
            here("sparsify", path, f"--layers={value}")
        )
    assert "does not exist" in usage(here("sparsify", path, "--rules", tmp_path / "missing.json"))
    assert "stdout is reserved for the answer; name a file" in usage(here("sparsify", path, "-o", "-"))
    assert "expected an integer from 1 to 4096, got 0" in usage(here("sparsify", path, "--workers", "0"))
    assert "unknown sparse backend 'magic'; choose from auto, " in refused(here("sparsify", path, "--backend", "magic"))
    assert "unknown sparse backend 'criterion'" in refused(here("solve", CHAIN, "--backend", "criterion"))
    assert "layered needs a number of layers, got None" in refused(here("sparsify", path, "--layered"))


def test_places_are_refused_before_the_work(tmp_path):
    path, other = saved(tmp_path, chain(60)), tmp_path / "other.npy"
    other.write_bytes(b"old")
    wrong = {
        (
            "-o",
            tmp_path / "out.txt",
        ): f"{tmp_path}/out.txt: ends in '.txt'; name a file that ends in .npy, .npz, .safetensors",
        ("-o", path): f"{path}: is the input, which is never replaced; choose another name",
        ("-o", other): f"{other}: already exists; choose another name or give --force (in Python force=True)",
        (
            "--emit",
            other / "m.wcnf",
        ): f"{other}/m.wcnf: the search cannot be written: Not a directory; choose another place",
        (
            "--proof",
            tmp_path,
        ): f"{tmp_path}: the folder is not empty; choose another folder or give --force (in Python force=True)",
        (
            "--backend",
            "construct",
            "--emit",
            tmp_path / "m.wcnf",
        ): "a construction has neither a search nor a proof to write; name another backend",
    }
    for options, said in wrong.items():
        begun = time.monotonic()
        assert refused(masksynth("sparsify", path, "--layers", "2", "--effort", "1000", *options)) == said
        assert time.monotonic() - begun < 20
    assert sorted(tmp_path.iterdir()) == sorted([path, other])
    assert (
        masksynth("sparsify", path, "--layers", "2", "--effort", "0", "-o", other, "--force", "--quiet").returncode == 0
    )
    assert carries(read_mask(other).dense(), chain(60), 2)


def test_sparse_needs_closed_tasks():
    said = refused(here("solve", INSTANCES / "window-2-layers-2.json", "--sparse"))
    assert "sparse needs closure" in said
    assert "--proof writes the proof of a sparse optimum; give --sparse" in refused(
        here("solve", INSTANCES / "causal_lm-8.json", "--proof", "proof")
    )


@pytest.mark.parametrize("options", [(), ("--layered",), ("--backend", "cpsat")])
def test_a_mask_of_no_positions_has_no_edges(options, tmp_path):
    np.save(tmp_path / "none.npy", np.zeros((0, 0), bool))
    arguments = ["sparsify", str(tmp_path / "none.npy"), "--layers", "2", "--json", *options]
    done = CliRunner().invoke(main, arguments)
    assert (done.exit_code, done.exception) == (0, None), done.output
    assert json.loads(done.stdout)["status"] == "OPTIMAL"
