"""Checks on the parameters of families: every refusal comes before anything is built and names parameter, value and remedy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from masksynth.errors import InvalidInstance
from masksynth.tasks.instance_files import MAX_NODES

MAX_KEYS = 20_000_000
"""Most keys in the literal rows of one catalogue instance."""
MAX_PARAMETER = 2**31 - 1
"""Largest integer parameter, that of a position."""


def shown(value: Any) -> str:
    """Show a value as messages do; a huge integer or a long tuple by its size.

    Examples
    --------
    >>> shown(7), shown(10**5000), shown((1, 2))
    ('7', 'an integer of 16610 bits', '(1, 2)')
    """
    if type(value) is int and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, tuple) and len(value) > 12:
        return f"a tuple of {len(value)} items"
    return repr(value)


def at_least(least: int, **parameters: int) -> None:
    """Check that every parameter is an integer from ``least`` to ``MAX_PARAMETER`` (a boolean is none).

    Examples
    --------
    >>> at_least(2, n=1)
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: $.n: n=1 is less than 2; give n >= 2
    """
    for name, value in parameters.items():
        if type(value) is not int:
            raise InvalidInstance(f"{name}={shown(value)} is not an integer", f"$.{name}", f"give {name} >= {least}")
        if value < least:
            raise InvalidInstance(f"{name}={shown(value)} is less than {least}", f"$.{name}", f"give {name} >= {least}")
        if value > MAX_PARAMETER:
            raise InvalidInstance(
                f"{name}={shown(value)} is more than {MAX_PARAMETER}", f"$.{name}", f"give a smaller {name}"
            )


def require(condition: bool, name: str, value: Any, fact: str, remedy: str) -> None:
    """Raise InvalidInstance for parameter ``name`` unless ``condition`` holds.

    Examples
    --------
    >>> require(8 % 3 == 0, "l", 3, "does not divide n=8", "give a divisor of n")
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: $.l: l=3 does not divide n=8; give a divisor of n
    """
    if not condition:
        raise InvalidInstance(f"{name}={shown(value)} {fact}", f"$.{name}", remedy)


def integers(name: str, values: Iterable[int], least: int = 0) -> tuple[int, ...]:
    """Check a tuple of integers >= ``least``, checked one by one.

    Examples
    --------
    >>> integers("lengths", (3, 0), 1)
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: $.lengths[1]: lengths[1]=0 is less than 1; give lengths[1] >= 1
    """
    for place, value in enumerate(items(name, values)):
        at_least(least, **{f"{name}[{place}]": value})
    return tuple(values)


def integer_rows(name: str, rows: Iterable[Iterable[int]], least: int = 0) -> tuple[tuple[int, ...], ...]:
    """Check a tuple of tuples of integers >= ``least``."""
    return tuple(integers(f"{name}[{place}]", row, least) for place, row in enumerate(items(name, rows)))


def words(name: str, values: Iterable[str]) -> tuple[str, ...]:
    """Check a tuple of strings.

    Examples
    --------
    >>> words("train", ("a", 1))
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: $.train[1]: train[1]=1 is not a string; give strings
    """
    for place, value in enumerate(items(name, values)):
        require(type(value) is str, f"{name}[{place}]", value, "is not a string", "give strings")
    return tuple(values)


def items(name: str, values: Iterable[Any]) -> tuple[Any, ...]:
    """Take a tuple or list as a tuple; a string, a number or anything else is refused."""
    require(isinstance(values, (tuple, list)), name, values, "is not a tuple", f"give {name} as a tuple")
    return tuple(values)


def affordable(nodes: int, keys: int = 0, **parameters: Any) -> None:
    """Refuse a family by its computed size: ``nodes`` task nodes, ``keys`` keys in literal rows.

    Examples
    --------
    >>> affordable(10**9 * (10**9 - 1) // 2, n=10**9)
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: $.n: n=1000000000 makes 499999999500000000 task nodes, more than 4000000; give a smaller n
    """
    names = ", ".join(parameters)
    given = ", ".join(f"{name}={shown(value)}" for name, value in parameters.items())
    path = f"$.{next(iter(parameters), '')}".rstrip(".")
    if nodes > MAX_NODES:
        raise InvalidInstance(
            f"{given} makes {shown(nodes)} task nodes, more than {MAX_NODES}", path, f"give a smaller {names}"
        )
    if keys > MAX_KEYS:
        raise InvalidInstance(
            f"{given} makes about {shown(keys)} keys in rows, more than {MAX_KEYS}", path, f"give a smaller {names}"
        )
