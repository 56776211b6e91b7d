"""The numbers of the data card, from what was read, what was decided and what was written."""

from __future__ import annotations

from typing import Any

from linnet.core.errors import DataError, explain
from linnet.core.spec import dump
from linnet.data.card import DataCard, SourceCard, percentages
from linnet.data.chats import Conversations
from linnet.data.mixture import as_weight, mixture_of
from linnet.data.shards import SPLITS, files_of
from linnet.data.sides import COPY, NEAR_COPY, OVERLAPPING, SourcePlan
from linnet.data.spec import DataSpec
from linnet.data.spool import Spool


def _mixed(weights: dict[str, Any], names: list[str]) -> tuple[dict[str, float], dict[str, tuple[float, ...]]]:
    """By name, in what proportion rows are drawn over a whole run, and, where a weight is a ramp, the shares on the way, in per cent.

    names: of the sources with training text. Raises DataError where all their weights are 0 at some moment.
    """
    mixture = mixture_of({name: as_weight(weights[name]) for name in names})
    if not mixture.moves:  # numbers as they are written, or a ramp alone
        return ({name: weights[name] for name in names} if len(names) > 1 else dict.fromkeys(names, 1.0)), {}
    courses = [tuple(round(100 * share, 2) for share in course) for course in mixture.courses()]
    return dict(zip(names, mixture.fixed_shares())), dict(zip(names, courses))


def card_of(spec: DataSpec, spools: list[Spool], plans: list[SourcePlan], index: dict[str, Any], *, exact: bool) -> DataCard:
    """The card of a corpus whose shards are written; index: what its index.json says; exact: whether the tokenizer loses nothing.

    Raises DataError where a side has no tokens, which only a tokenizer that loses something can do.
    """
    found = {split: {entry["source"]: entry for entry in index["splits"][split]} for split in SPLITS}

    def count(what: str, name: str) -> dict[str, int]:
        return {split: found[split].get(name, {}).get(what, 0) for split in SPLITS}

    def total(what: str) -> dict[str, int]:
        return {split: sum(entry[what] for entry in found[split].values()) for split in SPLITS}

    names = [spool.name for spool in spools]
    weights, courses = _mixed(index["weights"], [name for name in names if name in found["train"]])
    train = [count("tokens", name)["train"] for name in names]
    asked, actual = percentages([weights.get(name, 0.0) for name in names]), percentages(train)
    cards = []
    for i, (spool, plan, source) in enumerate(zip(spools, plans, spec.described())):
        tokens, size, records = count("tokens", spool.name), count("bytes", spool.name), len(plan.fates)
        entries = [found[split][spool.name] for split in SPLITS if spool.name in found[split]]
        cards.append(
            SourceCard(
                name=spool.name,
                kind=dump(source)["kind"],
                licence=source.licence,
                split=plan.plan.kind,
                documents_read=spool.read,
                documents_dropped=spool.read - records,
                duplicates_dropped=plan.count(COPY),
                near_dropped=plan.count(NEAR_COPY),
                overlaps_dropped=plan.count(OVERLAPPING),
                overlapping=dict(zip([against.path for against in spec.against], plan.overlapping)),
                cleaned=dict(sorted(spool.cleaned.items())),
                documents=count("documents", spool.name),
                bytes=size,
                tokens=tokens,
                unknown=count("unknown", spool.name),
                bytes_per_token=sum(size.values()) / max(sum(tokens.values()), 1),
                asked_percent=asked[i],
                actual_percent=actual[i],
                passes=weights[spool.name] / sum(weights.values()) * sum(train) / train[i] if train[i] else 0.0,
                sha256={
                    file["file"]: file["sha256"] for entry in entries for shard in entry["shards"] for file in files_of(shard)
                },
                asked_course=courses.get(spool.name, ()),
                learned=count("n_learned", spool.name) if any("n_learned" in entry for entry in entries) else {},
                template=dump(source.template) if isinstance(source, Conversations) else None,
                learn=source.learn if isinstance(source, Conversations) else (),
            )
        )
    tokens, size = total("tokens"), total("bytes")
    learned = {split: sum(entry.get("n_learned", entry["tokens"]) for entry in found[split].values()) for split in SPLITS}
    bare = [split for split in SPLITS if not tokens[split]]
    if bare:
        raise DataError(
            explain(f"the {bare[0]} part has no tokens", need="text that the tokenizer can say", hint="another tokenizer")
        )
    silent = [split for split in SPLITS if not learned[split]]
    if silent:
        got = f"nothing is learned of the {silent[0]} part"
        raise DataError(explain(got, need="words of the roles in `learn`", hint="another `learn`, or more conversations"))
    return DataCard(
        fingerprint=index["fingerprint"],
        tokenizer=index["tokenizer"],
        vocab_size=index["vocab_size"],
        validation_asked=spec.validation,
        split_asked=spec.split,
        deduplicate=spec.deduplicate,
        exact=exact,
        near=dump(spec.near) if spec.near is not None else None,
        against=tuple(dump(against) for against in spec.against),
        documents=total("documents"),
        bytes=size,
        tokens=tokens,
        bytes_per_token={split: size[split] / tokens[split] for split in SPLITS},
        sources=tuple(cards),
        learned=learned if learned != tokens else {},
    )
