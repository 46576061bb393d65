"""``masksynth discover``: find a structure for contracts."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from masksynth.cli.search_files import EXIT
from masksynth.terminal import (
    JSON,
    QUIET,
    check_outputs,
    input_files,
    plain,
    print_json,
    progress,
    read_contracts,
    to_the_end,
)
from masksynth.terminal.gather import gather

if TYPE_CHECKING:
    from masksynth.contracts import Contracts
    from masksynth.discover.discovery import Discovery


@dataclass(frozen=True)
class FolderOptions:
    """Where ``masksynth discover`` writes.

    Parameters
    ----------
    output : path, optional
        The folder.
    proof : path, optional
        The folder of a proof that the answer is the least.
    resume, force : bool
        Whether to continue the search in the folder, or to replace it.
    """

    output: Path | None
    proof: Path | None
    resume: bool
    force: bool

    def check(self, inputs: list[Path]) -> None:
        """Raise before any work is done if the folder cannot be written."""
        from masksynth.discover.write import is_discovery_file
        from masksynth.files import check_folder

        if self.output is None and (self.resume or self.force):
            raise click.UsageError("--resume and --force need -o")
        if self.resume and self.force:
            raise click.UsageError("--resume continues the folder and --force replaces it; give one of them")
        check_outputs(inputs, self.output, self.proof)
        if self.output is not None:
            check_folder(self.output, self.force or self.resume, inputs, is_discovery_file)


@dataclass(frozen=True)
class SearchOptions:
    """How ``masksynth discover`` searches."""

    objective: str
    positions: int | None
    backend: str
    time_limit: float
    jobs: int | None
    dask: str | None
    seed: int


@click.command("discover")
@click.argument("contracts", type=click.Path(allow_dash=True))
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Write the answer as a folder.")
@click.option(
    "--objective",
    type=click.Choice(["cost", "pairs", "pareto"]),
    default="cost",
    show_default=True,
    help="Least cost; most reads of mixed contexts; or all trade-offs of positions, pairs and layers.",
)
@click.option(
    "--positions",
    type=click.IntRange(1, 1_000_000),
    metavar="COUNT",
    help="Positions for --objective pairs [default: one per element and blank target].",
)
@click.option(
    "--layers", type=click.IntRange(1, 10_000), metavar="COUNT", help="Number of layers [default: CONTRACTS']."
)
@click.option(
    "--masks",
    type=click.Choice(["one", "layered"]),
    help="One mask, safe at any depth, or a mask per layer [default: layered if layers are given].",
)
@click.option("--backend", default="auto", show_default=True, help="auto, search, or the name of an exact search.")
@click.option(
    "--time-limit",
    type=click.FloatRange(0, 1e9),
    metavar="SECONDS",
    default=60.0,
    show_default=True,
    help="Stop the search after this time.",
)
@click.option("--jobs", type=click.IntRange(1, 4096), metavar="COUNT", help="Worker processes [default: 1].")
@click.option("--dask", metavar="tcp://HOST:PORT", help="Search on the workers of this Dask scheduler.")
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), metavar="INTEGER", default=0, show_default=True, help="Random seed."
)
@click.option(
    "--proof",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write a folder with a proof of least reads, or of the least cost of one mask or of queries, for check-proof.",
)
@click.option("--resume", is_flag=True, help="Continue the search whose journal is in the folder of -o.")
@click.option("--force", is_flag=True, help="Replace the folder of -o.")
@JSON
@QUIET
@gather("files", FolderOptions)
@gather("search", SearchOptions)
def discover_command(
    contracts: str,
    layers: int | None,
    masks: Any,
    files: FolderOptions,
    search: SearchOptions,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find the cheapest structure for CONTRACTS (a JSON file, or - for stdin), with a lower bound.

    \b
    masksynth contracts leave_one_out --n 64 | masksynth discover - --layers 6 -o out
    masksynth discover contracts.json --objective pairs --layers 4 --json
    masksynth verify out/contracts.json out

    CONTRACTS say what each prediction needs and hides. -o DIR writes contracts.json, instance.json, the answer to it,
    and discovery.json. After Ctrl-C or --time-limit the best structure so far is returned, marked FEASIBLE, and
    --resume continues.
    """
    from masksynth.discover.write import write_discovery
    from masksynth.terminal.claim_target import claim_target

    inputs = input_files(contracts)
    # To continue, the contracts in the folder itself may be named: they are written again as they are.
    files.check([path for path in inputs if not files.resume or path.parent != files.output])
    question = read_contracts(contracts, layers, masks)
    with claim_target(files.output):
        discovery = _search(question, files, search, quiet)
        with to_the_end():
            if files.output is not None and discovery.best is not None:
                write_discovery(discovery, files.output, force=True)
            if files.proof is not None and discovery.best is not None:
                _write_proof(discovery, files.proof, files.force, search.time_limit)
            _show(discovery, files.output, as_json, quiet)
    sys.exit(EXIT[discovery.status])


def _write_proof(discovery: Discovery, proof: Path, force: bool, seconds: float) -> None:
    """Write and check a proof, in as much time as the search had."""
    from masksynth.backends import Limits
    from masksynth.verify.proof import check_proof
    from masksynth_solvers.discover.write_structure_proof import write_discovery_proof

    assert discovery.best is not None
    structure, limits = discovery.best.structure, Limits(seconds)
    write_discovery_proof(proof, discovery.contracts, structure, limits, force=force, inspect=check_proof)


def _search(question: Contracts, files: FolderOptions, search: SearchOptions, quiet: bool) -> Discovery:
    """Run the search; SIGTERM ends it as Ctrl-C does."""
    from masksynth.backends import Limits
    from masksynth.discover.discover import discover
    from masksynth.discover.search_journal import Journal
    from masksynth.workers.dask import connected

    with ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, signal.default_int_handler))
        executor, jobs = stack.enter_context(connected(search.dask, least=2)) if search.dask else (None, 1)
        show = stack.enter_context(progress(f"discovering {plain(question.name)} ...", quiet))
        return discover(
            question,
            objective=search.objective,
            positions=search.positions,
            backend=search.backend,
            limits=Limits(search.time_limit, search.jobs or jobs, search.seed),
            executor=executor,
            journal=None if files.output is None else Journal(files.output, files.resume),
            progress=show,
        )


def _show(discovery: Discovery, output: Path | None, as_json: bool, quiet: bool) -> None:
    """Print a discovery as JSON or as text."""
    from masksynth.cli.discovery_text import discovery_text
    from masksynth.discover.discovery import record

    if as_json:
        print_json(record(discovery))
    elif not quiet:
        click.echo(discovery_text(discovery, output))
