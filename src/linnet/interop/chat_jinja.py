"""Chat templates as Hugging Face keeps them, in Jinja: written from linnet's, and known again.

    {#- linnet: {"kind": "chatml"} -#}  frames in the order of turns  →  the text that linnet's template gives to a tokenizer

A template is a program, and programs of a folder are not run. One that linnet wrote is known by its text. Of another, `matching`
renders a few conversations with jinja2's sandbox and takes linnet's template that gives the same text, but only where the program is
made of so few kinds of parts that it cannot run on, nor make a text that grows: no loops but one over messages, no calls, no arithmetic.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from linnet.core.errors import ConfigError
from linnet.core.extras import has, need
from linnet.core.spec import dump, load
from linnet.tokenizer.base import END_OF_TEXT
from linnet.tokenizer.chat import ChatML, ChatTemplate, Llama3, Plain, Turn

SAID = re.compile(r"\A\{#- linnet: (.*?) -#\}")
LONGEST = 8_000  # characters of a template that is looked at
CONVERSATIONS: tuple[tuple[Turn, ...], ...] = (
    (Turn("user", "Who sings at night?"),),
    (Turn("system", "Be brief. Say {{ nothing }} more."), Turn("user", "2 + 2 = ?"), Turn("assistant", "4"), Turn("user", "Sure?\nReally?")),
    (Turn("user", "Grüß Gott, 你好"), Turn("assistant", "Hello, <b>you</b> 'there'"), Turn("user", "a \\ b \"c\"")),
)  # fmt: skip


def text_of(template: ChatTemplate, turns: Sequence[Turn], *, end: str, reply: bool) -> str:
    """A conversation as one text, with the names of special tokens in it; `end` is what ends a document."""
    parts = [template.begin]
    for turn in turns:
        frame = template.frame(turn.role)
        parts += [named(frame.before, end), turn.content, named(frame.mark + frame.after, end)]
    return "".join([*parts, named(template.frame("assistant").before, end) if reply else ""])


def named(frame: str, end: str) -> str:
    return frame.replace(END_OF_TEXT, end)


def jinja_of(template: ChatTemplate, *, end: str) -> str:
    """The Jinja text that renders as `text_of` does."""
    lines = [f"{{#- linnet: {said(template)} -#}}"]
    if template.begin:
        lines.append(f"{{{{- {literal(template.begin)} -}}}}")
    lines.append("{%- for message in messages -%}")
    for number, role in enumerate(("system", "user", "assistant")):
        frame = template.frame(role)  # type: ignore[arg-type]
        before, after = literal(named(frame.before, end)), literal(named(frame.mark + frame.after, end))
        lines.append(f"{{%- {'if' if number == 0 else 'elif'} message['role'] == '{role}' -%}}")
        lines.append(f"{{{{- {before} + message['content'] + {after} -}}}}")
    lines.append("{%- else -%}")
    lines.append("{{- raise_exception('roles are system, user and assistant') -}}")
    lines.append("{%- endif -%}")
    lines.append("{%- endfor -%}")
    reply = literal(named(template.frame("assistant").before, end))
    lines.append(f"{{%- if add_generation_prompt -%}}{{{{- {reply} -}}}}{{%- endif -%}}")
    return "\n".join(lines)


def said(template: ChatTemplate) -> str:
    """The template as JSON that a Jinja comment can hold."""
    return json.dumps(dump(template)).replace("#", "\\u0023")


def literal(text: str) -> str:
    """A text as Jinja writes one."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    return f"'{escaped}'"


def written_by_linnet(source: str, *, end: str) -> ChatTemplate | None:
    """linnet's template that this Jinja text was written from; None where it was not, or was changed."""
    found = SAID.match(source)
    if found is None:
        return None
    try:
        template: ChatTemplate = load(ChatTemplate, json.loads(found[1]))  # type: ignore[type-abstract]
    except (ValueError, ConfigError):
        return None
    return template if jinja_of(template, end=end) == source else None


def matching(source: str, *, names: Mapping[str, str], end: str) -> ChatTemplate | None:
    """linnet's template that writes every one of a few conversations as this one does; None where none does, or where it is not one
    that may be rendered, or without jinja2.

    names   what the folder calls its special tokens: bos_token, eos_token …
    """
    known = written_by_linnet(source, end=end)
    if known is not None or not has("jinja2") or not harmless(source):
        return known
    for template in (ChatML(), Llama3(), Plain()):
        try:
            if all(
                render(source, turns, names=names, reply=reply) == text_of(template, turns, end=end, reply=reply)
                for turns in CONVERSATIONS
                for reply in (True, False)
                if reply or turns[-1].role == "assistant"
            ):
                return template
        except Exception:  # whatever a template may raise: then it is none of ours
            continue
    return None


def harmless(source: str) -> bool:
    """Whether a Jinja text is made of parts alone that take time and room in proportion to its length."""
    jinja2 = need("jinja2", extra="transformers", to="read a chat template")
    nodes = jinja2.nodes
    plain = (
        nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Name, nodes.Getitem, nodes.Getattr, nodes.If, nodes.CondExpr,
        nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Add, nodes.Concat, nodes.Test, nodes.For, nodes.Assign, nodes.Slice,
    )  # fmt: skip
    if len(source) > LONGEST:
        return False
    try:
        tree = jinja2.Environment().parse(source)
    except jinja2.TemplateError:
        return False

    def fine(node: Any, looping: bool) -> bool:
        if isinstance(node, nodes.Call):
            return isinstance(node.node, nodes.Name) and node.node.name == "raise_exception"
        if isinstance(node, nodes.Filter):
            return node.name == "trim" and fine(node.node, looping)
        if not isinstance(node, plain):
            return False
        if isinstance(node, nodes.For):
            if looping or not isinstance(node.iter, (nodes.Name, nodes.Getitem)) or node.recursive:
                return False
            looping = True
        joins = (nodes.Add, nodes.Concat)
        if isinstance(node, nodes.Assign) and (isinstance(node.node, joins) or any(node.node.find_all(joins))):
            return False  # x ~ x, often enough, fills the memory
        return all(fine(child, looping) for child in node.iter_child_nodes())

    return fine(tree, False)


def render(source: str, turns: Sequence[Turn], *, names: Mapping[str, str], reply: bool) -> str:
    """What a Jinja text makes of a conversation, in jinja2's sandbox, with the settings that Hugging Face has."""
    need("jinja2", extra="transformers", to="render a chat template")
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.globals["raise_exception"] = raise_exception
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    return environment.from_string(source).render(messages=messages, add_generation_prompt=reply, **names)
