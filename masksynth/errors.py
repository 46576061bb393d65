"""Errors: a fact with its values, its location, and a remedy if there is one."""

from __future__ import annotations


class MasksynthError(Exception):
    """Base class of all errors that masksynth raises; the message is one line."""


class MasksynthWarning(UserWarning):
    """Something works but deserves attention; the message is one line."""


class InvalidInstance(MasksynthError):
    """A value is not a valid instance, family, mask or option.

    Parameters
    ----------
    fact : str
        What is wrong, with the invalid value.
    path : str
        JSON path of the value, ``$`` for the document itself; empty if there is no document.
    remedy : str
        How to correct it; may be empty.
    source : str
        The file (or ``<stdin>``); empty for a value from Python.
    """

    def __init__(self, fact: str, path: str = "$", remedy: str = "", source: str = "") -> None:
        self.fact, self.path, self.remedy, self.source = fact, path, remedy, source
        prefix = "".join(f"{part}: " for part in (source, path) if part)
        super().__init__(f"{prefix}{fact}" + (f"; {remedy}" if remedy else ""))

    def within(self, prefix: str = "$", source: str = "") -> InvalidInstance:
        """Return the same error for the document that contains this one at the JSON path ``prefix``."""
        return InvalidInstance(self.fact, prefix + self.path[1:], self.remedy, source or self.source)

    def __reduce__(self) -> tuple[type[InvalidInstance], tuple[str, str, str, str]]:
        return InvalidInstance, (self.fact, self.path, self.remedy, self.source)


class Unsupported(MasksynthError):
    """The chosen backend or format does not support a valid request; there is no silent fallback."""


class WrongAnswer(MasksynthError):
    """The independent checker rejects an answer.

    Parameters
    ----------
    requirement : str
        The requirement that is violated (``identity``, ``rows``, ``leak``, ``loss edges``, ``minimality``, ...).
    fact : str
        A description of the witness, with tokens and numbers.
    task, node : str
        The task and node concerned; empty if the violation is not specific to one.
    path : tuple of str
        A path of node names (or positions), one hop per layer; may be empty.
    """

    def __init__(self, requirement: str, fact: str, task: str = "", node: str = "", path: tuple[str, ...] = ()) -> None:
        self.requirement, self.fact, self.task, self.node, self.path = requirement, fact, task, node, tuple(path)
        prefix = "".join(f" {word} {name!r}" for word, name in (("task", task), ("node", node)) if name)
        route = f"; path {' -> '.join(self.path)}" if self.path else ""
        super().__init__(f"{requirement}:{prefix}{':' if prefix else ''} {fact}{route}".replace(":  ", ": "))

    def __reduce__(self) -> tuple[type[WrongAnswer], tuple[str, str, str, str, tuple[str, ...]]]:
        return WrongAnswer, (self.requirement, self.fact, self.task, self.node, self.path)


class Contradiction(MasksynthError):
    """A proved lower bound exceeds the cost of a known solution: a defect of the software, never a result.

    Parameters
    ----------
    engine : str
        The engine that proved the bound.
    bound : int
        The lower bound on the cost of every solution.
    found_by : str
        The engine that found the solution.
    value : int
        The cost of the solution.
    instance : str
        The problem; may be empty.

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
        """Return the same contradiction as part of the larger problem ``instance``."""
        inner = f"{instance}, {self.instance}" if self.instance else instance
        return Contradiction(self.engine, self.bound, self.found_by, self.value, inner)

    def __reduce__(self) -> tuple[type[Contradiction], tuple[str, int, str, int, str]]:
        return Contradiction, (self.engine, self.bound, self.found_by, self.value, self.instance)


def check_type(value: object, kind: type, remedy: str = "") -> None:
    """Raise InvalidInstance if a value is not of the expected type.

    Parameters
    ----------
    value : object
    kind : type
    remedy : str
        How to get a value of that type; may be empty.

    Examples
    --------
    >>> check_type("x", int)
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: expected int, got str
    """
    if not isinstance(value, kind):
        raise InvalidInstance(f"expected {kind.__name__}, got {type(value).__name__}", "", remedy)
