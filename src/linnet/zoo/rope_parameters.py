"""Rotary positions as Hugging Face writes them, in and out: `rope_parameters`, or `rope_theta` and `rope_scaling` in older configs.

Types default, linear, yarn and llama3. Deliberately not `dynamic` and `longrope`, whose frequencies depend on the length of the
text at hand (see model/rope_scaling.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from linnet.core.errors import ConfigError, explain
from linnet.core.names import nearest
from linnet.core.spec import load
from linnet.model.position import Rope
from linnet.model.rope_scaling import LinearScaling, Llama3Scaling, YarnScaling
from linnet.model.spec import RopeScaling

# their name → ours, by type
NAMES: dict[str, dict[str, str]] = {
    "default": {},
    "linear": {"factor": "factor"},
    "yarn": {
        "factor": "factor", "original_max_position_embeddings": "original_length", "beta_fast": "beta_fast", "beta_slow": "beta_slow",
        "attention_factor": "attention_factor", "truncate": "truncate",
    },
    "llama3": {
        "factor": "factor", "original_max_position_embeddings": "original_length", "low_freq_factor": "low_freq_factor",
        "high_freq_factor": "high_freq_factor",
    },
}  # fmt: skip
WORDS: dict[str, type[RopeScaling]] = {"linear": LinearScaling, "yarn": YarnScaling, "llama3": Llama3Scaling}
REQUIRED = {"linear": ("factor",), "yarn": ("factor",), "llama3": ("factor", "low_freq_factor", "high_freq_factor")}
EVERY = ("rope_type", "type", "rope_theta", "partial_rotary_factor")  # what may stand in any of them


def read_rope(config: Mapping[str, Any], family: str, base: float = 10_000.0) -> Rope:
    """The rotary positions of a Hugging Face config, `base` where it says none. Raises ConfigError for a type, a field or a value that linnet does not have."""
    new, old = config.get("rope_parameters") or {}, config.get("rope_scaling") or {}
    clash = [key for key in new if key in old and new[key] != old[key]]
    if clash:
        raise ConfigError(
            explain(f"a {family} config whose rope_parameters and rope_scaling differ in {', '.join(clash)}", need="one of them")
        )
    given = {**old, **new}
    kind = given.get("rope_type", given.get("type", "default"))
    if kind not in NAMES:
        raise ConfigError(
            explain(f"a {family} config with rope_type = {kind!r}", need=f"rope_type {', '.join(map(repr, NAMES))}"),
        )
    known = (*EVERY, *NAMES[kind], *(("mscale", "mscale_all_dim") if kind == "yarn" else ()))
    problems = [f"{key} = {value!r} is not known; {nearest(key, known)}" for key, value in given.items() if key not in known]
    problems += [f"{key} is missing" for key in REQUIRED.get(kind, ()) if key not in given]
    if given.get("partial_rotary_factor") not in (None, 1, 1.0):
        problems.append(f"partial_rotary_factor = {given['partial_rotary_factor']!r}; needed: 1.0")
    said = next((table["rope_theta"] for table in (given, config) if table.get("rope_theta") is not None), base)
    if not said > 1:
        problems.append(f"rope_theta = {said!r}; needed: a number above 1")
    if problems:
        raise ConfigError(
            explain(
                f"a {family} config with rope of type {kind!r} that linnet does not cover: " + "; ".join(problems),
                need="a plain one",
            )
        )
    return Rope(base=float(said), scaling=_scaling(kind, given, config))


def _scaling(kind: str, given: Mapping[str, Any], config: Mapping[str, Any]) -> RopeScaling | None:
    if kind == "default":
        return None
    fields = {ours: given[theirs] for theirs, ours in NAMES[kind].items() if given.get(theirs) is not None}
    if "original_max_position_embeddings" in NAMES[kind]:
        fields.setdefault("original_length", config.get("original_max_position_embeddings") or config["max_position_embeddings"])
    if kind == "yarn":
        fields.setdefault("factor", config["max_position_embeddings"] / fields["original_length"])  # where it says null
        mscale, over = given.get("mscale"), given.get("mscale_all_dim")
        if mscale and over:
            more = math.log(fields["factor"]) / 10
            fields.setdefault("attention_factor", (mscale * more + 1) / (over * more + 1))
    return load(WORDS[kind], fields, path="rope_parameters", name="the config")


def write_rope(rope: Rope) -> dict[str, Any]:
    """The fields of a config.json that say these rotary positions: for the library of today, and for older readers beside it."""
    base = {"rope_theta": rope.base}
    if rope.scaling is None:
        return {**base, "rope_parameters": {"rope_type": "default", **base}}
    kind = next((kind for kind, word in WORDS.items() if type(rope.scaling) is word), None)
    if kind is None:
        raise ConfigError(
            explain(
                "rope with ntk scaling cannot be said in a Hugging Face config",
                need=f"one of {', '.join(WORDS)}",
                hint="rope with the base that ntk makes of it: base · factor^(R / (R - 2)) for R turned numbers a head",
            )
        )
    fields = {theirs: getattr(rope.scaling, ours) for theirs, ours in NAMES[kind].items()}
    fields = {"rope_type": kind} | {key: value for key, value in fields.items() if value is not None}
    return {**base, "rope_parameters": {**fields, **base}, "rope_scaling": fields}
