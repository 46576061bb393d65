"""Errors: an inner fact, an outer context, a remedy where there is one."""

from __future__ import annotations


class MasksynthError(Exception):
    """Base of every error that masksynth raises on purpose; its text is one line for people."""


class MasksynthWarning(UserWarning):
    """Something that works and that people should know of; its text is one line."""


class InvalidInstance(MasksynthError):
    """Something that cannot be read as an instance, a family, a mask or an option.

    Parameters
    ----------
    fact : str
        What is wrong, with the offending value.
    path : str
        JSON path of the place, ``$`` being the whole document; empty where there is no document.
    remedy : str
        What to do about it; may be empty.
    source : str
        The file (or ``<stdin>``); empty when the value came from Python.
    """

    def __init__(self, fact: str, path: str = "$", remedy: str = "", source: str = "") -> None:
        self.fact, self.path, self.remedy, self.source = fact, path, remedy, source
        place = "".join(f"{part}: " for part in (source, path) if part)
        super().__init__(f"{place}{fact}" + (f"; {remedy}" if remedy else ""))

    def within(self, prefix: str = "$", source: str = "") -> InvalidInstance:
        """The same fact seen from an outer document in which this one lies at ``prefix``."""
        return InvalidInstance(self.fact, prefix + self.path[1:], self.remedy, source or self.source)

    def __reduce__(self) -> tuple[type[InvalidInstance], tuple[str, str, str, str]]:
        return InvalidInstance, (self.fact, self.path, self.remedy, self.source)


class Unsupported(MasksynthError):
    """A well-formed request that the chosen backend or format cannot serve; it never falls back silently."""


class WrongAnswer(MasksynthError):
    """An answer that the independent checker refuses.

    Parameters
    ----------
    requirement : str
        Which requirement is broken (``identity``, ``rows``, ``leak``, ``loss edges``, ``minimality``, ...).
    fact : str
        The witness in words, with tokens and numbers.
    task, node : str
        Where it shows, if it shows in one task or node.
    path : tuple of str
        A path of node names (or positions), one hop per layer, if there is one.
    """

    def __init__(self, requirement: str, fact: str, task: str = "", node: str = "", path: tuple[str, ...] = ()) -> None:
        self.requirement, self.fact, self.task, self.node, self.path = requirement, fact, task, node, tuple(path)
        place = "".join(f" {word} {name!r}" for word, name in (("task", task), ("node", node)) if name)
        route = f"; path {' -> '.join(self.path)}" if self.path else ""
        super().__init__(f"{requirement}:{place}{':' if place else ''} {fact}{route}".replace(":  ", ": "))

    def __reduce__(self) -> tuple[type[WrongAnswer], tuple[str, str, str, str, tuple[str, ...]]]:
        return WrongAnswer, (self.requirement, self.fact, self.task, self.node, self.path)


class Contradiction(MasksynthError):
    """A lower bound that was called proved lies above a value that was found: a defect, never a result.

    Parameters
    ----------
    engine : str
        Who proved the bound.
    bound : int
        What it proved every solution to cost at least.
    found_by : str
        Who found the value.
    value : int
        Cost of a solution.
    instance : str
        Of what problem; empty where the one who raises does not know it.

    Examples
    --------
    >>> str(Contradiction("maxsat", 9, "greedy", 8, "a chain")).partition(";")[0]
    'contradiction: maxsat proved that at least 9 are needed, but greedy found 8 (a chain)'
    """

    def __init__(self, engine: str, bound: int, found_by: str, value: int, instance: str = "") -> None:
        self.engine, self.bound, self.found_by, self.value, self.instance = engine, bound, found_by, value, instance
        super().__init__(
            f"contradiction: {engine} proved that at least {bound} are needed, but {found_by} found {value}"
            f"{f' ({instance})' if instance else ''}; this is a defect of masksynth or of a solver, please report it"
        )

    def within(self, instance: str) -> Contradiction:
        """Return the same contradiction as a part of a larger problem."""
        inner = f"{instance}, {self.instance}" if self.instance else instance
        return Contradiction(self.engine, self.bound, self.found_by, self.value, inner)

    def __reduce__(self) -> tuple[type[Contradiction], tuple[str, int, str, int, str]]:
        return Contradiction, (self.engine, self.bound, self.found_by, self.value, self.instance)
