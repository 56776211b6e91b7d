"""YAML in and out, by ruamel.yaml (YAML 1.2: `no` is a word, `1e-3` is a number, a key said twice is refused)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import SafeRepresenter

from linnet.core.errors import ConfigError, explain

INDICATORS = frozenset("?:-,[]{}#&*!|>'\"%@`")  # a word that begins with one may mean something else


class _Representer(SafeRepresenter):
    """ruamel's, which leaves `?a` and `>` bare in places where they are not read back."""

    def represent_str(self, data: str) -> Any:
        style = '"' if data[:1] in INDICATORS else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Representer.add_representer(str, _Representer.represent_str)


def parse_yaml(text: str, *, name: str) -> Any:
    """Plain data from YAML text; `name` is what the error calls it."""
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where is not None else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(
            explain(f"{name}{line}: {problem}", need="valid YAML", hint="compare it with a file of configs/")
        ) from error


def read_yaml(path: Path) -> Any:
    """Plain data from a YAML file."""
    try:
        text = Path(path).read_text("utf-8")
    except FileNotFoundError as error:
        raise ConfigError(explain(f"{path} does not exist", need="a run file", hint="one of configs/*.yaml")) from error
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise ConfigError(explain(f"{path} is not a text file ({error})", need="YAML in UTF-8")) from error
    return parse_yaml(text, name=str(path))


def to_yaml(content: Any) -> str:
    """YAML text that `parse_yaml` reads back to equal data; keys keep their order."""
    writer = YAML(typ="safe", pure=True)
    writer.Representer = _Representer
    writer.default_flow_style = None
    writer.width = 110
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    buffer = io.StringIO()
    writer.dump(content, buffer)
    return buffer.getvalue()


def override(table: dict[str, Any], assignment: str) -> None:
    """Apply one `a.b=c` to a parsed table, in place; `c` is read as YAML. Missing tables on the way are made.

    Raises ConfigError for a malformed assignment; a name that does not exist is refused by the strict loader after.
    """
    path, equals, value = assignment.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(explain(f"--set {assignment!r}", need="a.b=c", hint="--set train.steps=500"))
    node: Any = table
    for depth, key in enumerate(keys[:-1]):
        if isinstance(node, list):
            node = node[_index(node, key, assignment)]
            continue
        if not isinstance(node, dict):
            raise ConfigError(explain(f"--set {assignment!r}: {'.'.join(keys[:depth])} is {node!r}", need="a table there"))
        if node.get(key) is None:
            node[key] = {}
        elif isinstance(node[key], str) and depth < len(keys) - 1:
            node[key] = {"kind": node[key]}  # `norm: rms_norm` opened up, so that `norm.eps=…` can be set
        node = node[key]
    last: Any = _index(node, keys[-1], assignment) if isinstance(node, list) else keys[-1]
    if not isinstance(node, (dict, list)):
        raise ConfigError(explain(f"--set {assignment!r}: {'.'.join(keys[:-1])} is {node!r}", need="a table there"))
    node[last] = parse_yaml(value, name=f"--set {assignment}")


def _index(node: list[Any], key: str, assignment: str) -> int:
    if not key.isdigit() or int(key) >= len(node):
        raise ConfigError(explain(f"--set {assignment!r}: {key!r}", need=f"a number from 0 to {len(node) - 1} into a list"))
    return int(key)
