"""Check the parameters of families before anything is built; errors name parameter, value and remedy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from masksynth.errors import InvalidInstance
from masksynth.tasks.instance_files import MAX_NODES

MAX_KEYS = 20_000_000
"""Maximal number of keys in the literal rows of one catalogue instance."""
MAX_PARAMETER = 2**31 - 1
"""Maximal integer parameter, that of a position id."""


def format_value(value: Any) -> str:
    """Return a value as text for messages; a huge integer or a long tuple by its size.

    Examples
    --------
    >>> format_value(7), format_value(10**5000), format_value((1, 2))
    ('7', 'an integer of 16610 bits', '(1, 2)')
    """
    if type(value) is int and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, tuple) and len(value) > 12:
        return f"a tuple of {len(value)} items"
    return repr(value)


def check_at_least(least: int, **parameters: int) -> None:
    """Check that each parameter is an integer from ``least`` to ``MAX_PARAMETER``; booleans are not accepted.

    Examples
    --------
    >>> check_at_least(2, n=1)
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: $.n: n=1 is less than 2; give n >= 2
    """
    for name, value in parameters.items():
        if type(value) is not int:
            raise InvalidInstance(
                f"{name}={format_value(value)} is not an integer", f"$.{name}", f"give {name} >= {least}"
            )
        if value < least:
            raise InvalidInstance(
                f"{name}={format_value(value)} is less than {least}", f"$.{name}", f"give {name} >= {least}"
            )
        if value > MAX_PARAMETER:
            raise InvalidInstance(
                f"{name}={format_value(value)} is more than {MAX_PARAMETER}", f"$.{name}", f"give a smaller {name}"
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
        raise InvalidInstance(f"{name}={format_value(value)} {fact}", f"$.{name}", remedy)


def check_integers(name: str, values: Iterable[int], least: int = 0) -> tuple[int, ...]:
    """Return a tuple of integers; raise InvalidInstance if one is less than ``least``.

    Examples
    --------
    >>> check_integers("lengths", (3, 0), 1)
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: $.lengths[1]: lengths[1]=0 is less than 1; give lengths[1] >= 1
    """
    for index, value in enumerate(check_tuple(name, values)):
        check_at_least(least, **{f"{name}[{index}]": value})
    return tuple(values)


def check_integer_rows(name: str, rows: Iterable[Iterable[int]], least: int = 0) -> tuple[tuple[int, ...], ...]:
    """Return a tuple of tuples of integers; raise InvalidInstance if one is less than ``least``."""
    return tuple(check_integers(f"{name}[{index}]", row, least) for index, row in enumerate(check_tuple(name, rows)))


def check_strings(name: str, values: Iterable[str]) -> tuple[str, ...]:
    """Return a tuple of strings; raise InvalidInstance for other items.

    Examples
    --------
    >>> check_strings("train", ("a", 1))
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: $.train[1]: train[1]=1 is not a string; give strings
    """
    for index, value in enumerate(check_tuple(name, values)):
        require(type(value) is str, f"{name}[{index}]", value, "is not a string", "give strings")
    return tuple(values)


def check_tuple(name: str, values: Iterable[Any]) -> tuple[Any, ...]:
    """Return a tuple or list as a tuple; raise InvalidInstance for a string, a number or anything else."""
    require(isinstance(values, (tuple, list)), name, values, "is not a tuple", f"give {name} as a tuple")
    return tuple(values)


def check_size(nodes: int, keys: int = 0, **parameters: Any) -> None:
    """Raise InvalidInstance if a family would be too large.

    Parameters
    ----------
    nodes, keys : int
        Number of task nodes, and of keys in literal rows, computed from the parameters.
    **parameters
        The parameters that determine the size, for the message.

    Examples
    --------
    >>> check_size(10**9 * (10**9 - 1) // 2, n=10**9)
    Traceback (most recent call last):
    masksynth.errors.InvalidInstance: $.n: n=1000000000 makes 499999999500000000 task nodes, more than 4000000; give a
    smaller n
    """
    names = ", ".join(parameters)
    given = ", ".join(f"{name}={format_value(value)}" for name, value in parameters.items())
    path = f"$.{next(iter(parameters), '')}".rstrip(".")
    if nodes > MAX_NODES:
        raise InvalidInstance(
            f"{given} makes {format_value(nodes)} task nodes, more than {MAX_NODES}", path, f"give a smaller {names}"
        )
    if keys > MAX_KEYS:
        raise InvalidInstance(
            f"{given} makes about {format_value(keys)} keys in rows, more than {MAX_KEYS}",
            path,
            f"give a smaller {names}",
        )
