"""The published JSON Schema of instance files.

Write it with ``python -m masksynth.tasks.schema > masksynth/tasks/schema/instance.schema.json``.
"""

from __future__ import annotations

import json

from masksynth.tasks.instance_files import schema

FILE = "instance.schema.json"


def text() -> str:
    """Return the content of ``instance.schema.json``.

    Examples
    --------
    >>> json.loads(text())["title"]
    'masksynth instance'
    """
    return json.dumps(schema(), indent=1) + "\n"
