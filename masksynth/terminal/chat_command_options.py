"""Options of the commands that tokenize chats, passed as one record."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from masksynth.errors import InvalidInstance

if TYPE_CHECKING:
    from masksynth.chats.chat_options import ChatOptions

TOKENIZER = "A folder, or a name in the local cache of Hugging Face; nothing is downloaded."
NAMES = (
    *("train", "per", "max_tokens", "truncate", "diverging", "any_order", "drop_nulls"),
    *("chat_template", "template_args"),
)
"""Options that need a tokenizer."""


@dataclass(frozen=True)
class ChatChoice:
    """The tokenizer and the options that a command line names; both may be missing.

    Parameters
    ----------
    tokenizer : str, optional
    given : dict
        The options that are given, by name.
    """

    tokenizer: str | None = None
    given: dict[str, Any] = field(default_factory=dict)

    def options(self, skip_long: bool, max_length: int) -> ChatOptions | None:
        """Return the options, None without a tokenizer.

        Parameters
        ----------
        skip_long : bool
            Whether long samples are left out.
        max_length : int
            Maximum number of tokens of a sample, if there is no other limit.
        """
        if self.tokenizer is None:
            if self.given:
                option = next(iter(self.given)).replace("_", "-")
                raise click.UsageError(f"--{option} is an option of chats, which need --tokenizer")
            return None
        from masksynth.chats.chat_options import options_of

        given = dict(self.given)
        truncate = given.pop("truncate", None)
        if truncate and skip_long:
            raise click.UsageError("--skip-long leaves long samples out, --truncate cuts them; give one of them")
        if "chat_template" in given:
            given["chat_template"] = given["chat_template"].read_text(encoding="utf-8")
        long = truncate or ("skip" if skip_long else "refuse")
        return options_of({"max_tokens": max_length, **given, "long": long})


def _json_object(_: click.Context, __: click.Parameter, value: str | None) -> Any:
    if value is None:
        return None
    try:
        given = json.loads(value)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise InvalidInstance("expected a JSON object", "--template-args", """give '{"enable_thinking": false}'""")
    return given


FIRST = (
    click.option(
        "--train",
        type=click.Choice(["assistant", "last", "completion", "all"]),
        help="Tokens to train [default: assistant turns of messages, the completion after a prompt].",
    ),
    click.option(
        "--per",
        type=click.Choice(["call", "row"]),
        help="One sample for each call of the model, or for each row of messages [default: call].",
    ),
)
"""Options before ``--max-tokens``."""
LAST = (
    click.option(
        "--truncate", type=click.Choice(["keep-start", "keep-end"]), help="Cut longer samples instead of stopping."
    ),
    click.option(
        "--diverging",
        is_flag=True,
        default=None,
        help="Let an answer begin where its tokens and those of its prompt diverge, as TRL does.",
    ),
    click.option("--any-order", is_flag=True, default=None, help="Let roles follow one another in any order."),
    click.option(
        "--drop-nulls",
        is_flag=True,
        default=None,
        help="Remove keys that are null from JSON lines, as from Parquet.",
    ),
    click.option(
        "--chat-template",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Jinja file used instead of the tokenizer's template.",
    ),
    click.option("--template-args", metavar="JSON", callback=_json_object, help="Variables of the template."),
)
"""Options after it."""


def chat_options(required: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options of chats to a command, which gets them as one `ChatChoice`, ``chats``.

    Parameters
    ----------
    required : bool
        Whether the tokenizer must be named.
    """
    text = TOKENIZER if required else f"Read chats with this tokenizer: {TOKENIZER[0].lower()}{TOKENIZER[1:]}"
    limit = f"Maximum number of tokens of a sample [default: {'32768' if required else '--max-length'}]."
    options = (
        click.option("--tokenizer", required=required, metavar="DIR|NAME", help=text),
        *FIRST,
        click.option("--max-tokens", type=click.IntRange(1, 2**31 - 1), help=limit),
        *LAST,
    )

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def call(*, tokenizer: str | None, **others: Any) -> Any:
            values = {name: others.pop(name) for name in NAMES}
            given = {name: value for name, value in values.items() if value is not None}
            return command(chats=ChatChoice(tokenizer, given), **others)

        for option in reversed(options):
            call = option(call)
        return call

    return decorate
