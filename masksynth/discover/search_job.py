"""One job of the search: build or take a circuit, improve it for some seconds, and place it in a structure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from time import perf_counter

from masksynth.contracts import Contracts
from masksynth.discover.circuit import Circuit, Wants, wants_of
from masksynth.discover.measure import measure
from masksynth.discover.neighbourhood import Neighbourhood, Price, count_unions
from masksynth.discover.place_late import place_late, price_late
from masksynth.discover.place_layered import place_layered
from masksynth.discover.place_one import embedded_inputs, place_one
from masksynth.discover.start_circuits import circuit_of_sets, greedy_circuit, product_circuit
from masksynth.discover.structure import Structure, prune
from masksynth.discover.suggest_sets import suggest_sets

FEW = 600
"""Number of sets of one kind up to which a circuit is made of them at once; more are only tried one by one."""
Inputs = list[tuple[int, ...]]
"""What each node of a circuit reads; with the contracts that is the circuit."""


@dataclass(frozen=True)
class Start:
    """A circuit from which a job begins.

    Parameters
    ----------
    price : float
    inputs : list
    found_by : str
        What built it, before any search.
    """

    price: float
    inputs: Inputs
    found_by: str


@dataclass(frozen=True)
class Improved:
    """Result of a job: the best circuit, and a structure that computes it."""

    structure: Structure
    start: Start


def improve(contracts: Contracts, start: Start | None, seed: int, seconds: float) -> Improved:
    """Return a structure found from a circuit, or from the best of several new ones if none is given.

    Parameters
    ----------
    contracts : Contracts
    start : Start, optional
    seed : int
        Random seed.
    seconds : float
        Time, a fifth of it for placing the result.
    """
    until = perf_counter() + 0.8 * seconds
    wants, rng = wants_of(contracts), Random(seed)
    price, kinds = price_of(contracts), suggest_sets(contracts)
    if start is None:
        name, circuit = min(_starts(contracts, wants, kinds, seed), key=lambda pair: price(pair[1]))
    else:
        name, circuit = start.found_by, restore(wants, start.inputs)
    first = price(circuit)
    best = Neighbourhood(circuit, rng, price, [bits for sets in kinds.values() for bits in sets]).run(until)
    least = price(best)
    found_by = f"{name}, then local search" if least < first and not name.endswith("local search") else name
    structure = place(best, contracts, rng, 0.2 * seconds)
    return Improved(replace(structure, found_by=found_by), Start(least, best.inputs, found_by))


def restore(wants: Wants, inputs: Inputs) -> Circuit:
    """Return the circuit with these inputs."""
    circuit = Circuit(wants, list(inputs), [1 << element for element in range(wants.elements)])
    circuit.value += [0] * (len(inputs) - wants.elements)
    for node in circuit.order():
        circuit.value[node] = circuit.union(inputs[node])
    return circuit


def place(circuit: Circuit, contracts: Contracts, rng: Random, seconds: float) -> Structure:
    """Return a structure that computes a circuit; links of its chains are tried for some seconds."""
    if contracts.masks == "one":
        return place_one(circuit, contracts)
    found = place_layered(circuit, contracts, rng, seconds)
    if contracts.weights.count == "structure":
        return found
    late = place_late(circuit, contracts)
    costs = [measure(prune(structure, "layered"), contracts).cost for structure in (found, late)]
    return late if costs[1] < costs[0] else found


def _starts(contracts: Contracts, wants: Wants, kinds: dict[str, list[int]], seed: int) -> list[tuple[str, Circuit]]:
    """Return circuits with what built them."""
    starts = [("direct reads", Circuit.direct(wants)), ("pair greedy", greedy_circuit(wants, seed))]
    starts += [(name, circuit_of_sets(wants, sets, Random(seed))) for name, sets in kinds.items() if len(sets) <= FEW]
    grid = contracts.elements.space.get("grid", ())
    if len(grid) == 2 and (found := product_circuit(wants, grid[1], seed)) is not None:
        starts.append(("product of rows and columns", found))
    return starts


def price_of(contracts: Contracts) -> Price:
    """Return the function that estimates what a circuit costs as a structure.

    With a mask per layer, counted as a structure, sets are held in positions that are there anyway, so its edges count.
    With one mask each gate is a position. Where the cost counts updates, gates are placed as late as possible.
    """
    weights = contracts.weights
    if contracts.masks == "layered" and weights.count == "structure":
        return count_unions
    if contracts.masks == "layered":
        return lambda circuit: price_late(circuit, weights)

    def price(circuit: Circuit) -> float:
        embeds = embedded_inputs(circuit, contracts)
        is_read = {child for node, read in enumerate(circuit.inputs) for child in read if embeds.get(node) != child}
        raw = sum(1 for node in is_read if node < circuit.wants.elements)
        edges = _count_inputs(circuit) - len(embeds)
        return weights.position * (raw + _count_gates(circuit)) + weights.pair * edges

    return price


def _count_gates(circuit: Circuit) -> int:
    return sum(1 for node in circuit.gates() if circuit.inputs[node])


def _count_inputs(circuit: Circuit) -> int:
    return sum(map(len, circuit.inputs))
