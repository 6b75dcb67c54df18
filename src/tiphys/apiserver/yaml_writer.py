"""
YAML as Kubernetes writes it: keys sorted, block style, long lines folded, no aliases.

Text that another YAML reader would take for something else is in double quotes, text of several lines is a literal
block, all other text as plain as it can be: clients show these answers to people, who compare them.
"""

from __future__ import annotations

import functools
from typing import Any

import yaml

_STRING = "tag:yaml.org,2002:str"


def to_yaml(document: object) -> bytes:
    text: str = yaml.dump(document, Dumper=_dumper(), sort_keys=True, default_flow_style=False, allow_unicode=True)
    return text.encode()


@functools.cache
def _dumper() -> Any:
    """The C emitter where there is one, with our choice of quotes."""
    base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    dumper: Any = type("Dumper", (base,), {"ignore_aliases": lambda self, data: True})
    dumper.add_representer(str, _text)
    return dumper


def _text(dumper: Any, value: str) -> yaml.ScalarNode:
    style = None
    if "\n" in value:
        style = "|"
    elif dumper.resolve(yaml.ScalarNode, value, (True, False)) != _STRING:
        style = '"'
    node: yaml.ScalarNode = dumper.represent_scalar(_STRING, value, style)
    return node
