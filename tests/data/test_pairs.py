"""Pairs: read strictly from two files or from records, and dealt in batches of about one length, each pair once an epoch."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from linnet.core.errors import CheckpointError, ConfigError, DataError
from linnet.core.spec import load
from linnet.data.corpus import Corpus, prepare_corpus
from linnet.data.loader import evaluation_batches
from linnet.data.pair_batches import PairBatches, cut, trimmed
from linnet.data.pairs import Pairs
from linnet.data.prepared import Prepared
from linnet.data.spec import DataSpec
from linnet.train.loop import micro_batches

N = 60
SOURCES = [f"quelle {number} " + "x" * (number * 7 % 23) for number in range(N)]
TARGETS = [f"target {number} " + "y" * (number * 5 % 19) for number in range(N)]


def write(folder: Path, sources: list[str], targets: list[str]) -> tuple[str, str]:
    folder.mkdir(exist_ok=True)
    (folder / "a.de").write_text("\n".join(sources) + "\n", "utf-8")
    (folder / "a.en").write_text("\n".join(targets) + "\n", "utf-8")
    return str(folder / "a.de"), str(folder / "a.en")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("pairs")
    source, target = write(folder, SOURCES, TARGETS)
    table = {"sources": [{"kind": "pairs", "source": source, "target": target}], "validation": 0.2}
    return prepare_corpus(load(Corpus, {"data": table, "tokenizer": "byte"}), folder / "data", lambda done, what: None)


def texts_of(prepared: Prepared, batch: Any) -> list[tuple[str, str]]:
    """What stands in a batch, read without anything that made it."""
    tokenizer, end = prepared.tokenizer, prepared.tokenizer.end_id
    found = []
    for row in range(len(batch.tokens)):
        source = batch.source.tokens[row]
        if batch.source.documents is not None:
            source = source[batch.source.documents[row] == 0]
        target = batch.targets[row][batch.weights[row] > 0]
        assert source[-1] == end
        assert target[-1] == end
        assert torch.equal(batch.tokens[row][: len(target)], torch.cat([target.new_tensor([end]), target[:-1]]))
        found.append((tokenizer.decode(source[:-1].tolist()), tokenizer.decode(target[:-1].tolist())))
    return found


def all_pairs() -> Counter[tuple[str, str]]:
    return Counter((source.strip(), target.strip()) for source, target in zip(SOURCES, TARGETS))


def test_every_pair_is_dealt_once_an_epoch_and_fits(prepared: Prepared) -> None:
    batches = PairBatches(prepared.train, context_length=48, batch_size=4, seed=3)
    orders = []
    for _ in range(2):
        dealt: list[tuple[str, str]] = []
        for _ in range(len(batches.batches)):
            batch = batches.next_batch()
            assert len(batch.tokens) * max(batch.tokens.shape[1], batch.source.tokens.shape[1]) <= 4 * 48  # type: ignore[union-attr]
            dealt += texts_of(prepared, batch)
        evaluated = [
            pair for batch in evaluation_batches(prepared.validation, 48, 4, rows="pairs") for pair in texts_of(prepared, batch)
        ]
        assert Counter(dealt) + Counter(evaluated) == all_pairs()
        orders.append(dealt)
    assert orders[0] != orders[1]
    assert batches.epoch == 2
    assert sum(batches.drawn().values()) == 2 * prepared.train.documents


def test_padding_is_little(prepared: Prepared) -> None:
    batches = PairBatches(prepared.train, context_length=48, batch_size=4, seed=0)
    drawn = [batches.next_batch() for _ in range(len(batches.batches))]
    assert sum(float(batch.weights.sum()) for batch in drawn) / sum(batch.weights.numel() for batch in drawn) > 0.8


def test_going_on_is_as_if_never_stopped(prepared: Prepared) -> None:
    def fresh() -> PairBatches:
        return PairBatches(prepared.train, context_length=48, batch_size=4, seed=3)

    whole, first = fresh(), fresh()
    expected = [whole.next_batch() for _ in range(40)]
    for stop in (0, 1, len(whole.batches), 17):
        first = fresh()
        for _ in range(stop):
            first.next_batch()
        second = fresh()
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert second.drawn() == first.drawn()
        for batch in expected[stop:]:
            assert torch.equal(second.next_batch().tokens, batch.tokens)


def test_ranks_deal_the_batches_out(prepared: Prepared) -> None:
    one = PairBatches(prepared.train, context_length=48, batch_size=4, seed=3)
    two = [PairBatches(prepared.train, context_length=48, batch_size=4, seed=3, rank=rank, world_size=2) for rank in (0, 1)]
    for _ in range(20):
        for rank in two:
            assert torch.equal(rank.next_batch().tokens, one.next_batch().tokens)


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"tokens_a_batch": 7}, {"data": "x"}, {"position": -1}, {"drawn": {}}, {"position": 999}]
)
def test_a_position_of_something_else_is_refused(prepared: Prepared, change: dict[str, Any]) -> None:
    batches = PairBatches(prepared.train, context_length=48, batch_size=4, seed=3)
    with pytest.raises(CheckpointError):
        batches.load_state_dict(batches.state_dict() | change)


def test_a_pair_that_is_too_long_is_named(prepared: Prepared) -> None:
    with pytest.raises(DataError, match=r"pairs with a side of more than 20 tokens, the longest \d+"):
        PairBatches(prepared.train, context_length=20, batch_size=4, seed=0)


def test_micro_batches_are_the_batch(prepared: Prepared) -> None:
    batch = PairBatches(prepared.train, context_length=48, batch_size=8, seed=1).next_batch()
    parts = list(micro_batches(batch, 2, 8))
    assert len(parts) == 4
    assert [pair for part in parts for pair in texts_of(prepared, part)] == texts_of(prepared, batch)


def test_trimming_loses_padding_alone(prepared: Prepared) -> None:
    batch = next(iter(evaluation_batches(prepared.validation, 48, 8, rows="pairs")))
    for row in range(len(batch.tokens)):
        assert texts_of(prepared, trimmed(batch.rows(row, row + 1))) == texts_of(prepared, batch)[row : row + 1]


@pytest.mark.parametrize(
    ("lengths", "budget", "cuts"),
    [([], 9, []), ([3, 3, 3], 9, [(0, 3)]), ([2, 3, 4, 4], 9, [(0, 2), (2, 4)]), ([99], 9, [(0, 1)])],
)
def test_cut(lengths: list[int], budget: int, cuts: list[tuple[int, int]]) -> None:
    assert cut(np.array(lengths), budget) == cuts


# ---- reading ---------------------------------------------------------------------------------------------------------


def documents(**fields: Any) -> list[str]:
    return [document.text for document in Pairs(**fields).documents()]


def test_files_packed_or_not_and_records_say_the_same(tmp_path: Path) -> None:
    source, target = write(tmp_path, SOURCES, TARGETS)
    expected = documents(source=source, target=target)
    assert len(expected) == N
    packed = []
    for side in (source, target):
        packed.append(f"{side}.gz")
        Path(packed[-1]).write_bytes(gzip.compress(Path(side).read_bytes()))
    assert documents(source=packed[0], target=packed[1]) == expected
    records = [{"de": de, "en": en, "id": number} for number, (de, en) in enumerate(zip(SOURCES, TARGETS))]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    (tmp_path / "p.csv").write_text("en,de\n" + "".join(f"{record['en']},{record['de']}\n" for record in records), "utf-8")
    for name in ("p.jsonl", "p.csv"):
        assert documents(path=str(tmp_path / name), source="de", target="en") == expected


def test_what_is_wrong_is_named_with_its_place(tmp_path: Path) -> None:
    source, target = write(tmp_path, ["eins", "zwei", "drei"], ["one", "two"])
    with pytest.raises(DataError, match=r"a\.en ends after line 2 and .*a\.de goes on"):
        documents(source=source, target=target)
    source, target = write(tmp_path, ["eins", "zwei"], ["one", "two", "three"])
    with pytest.raises(DataError, match=r"a\.de ends after line 2 and .*a\.en goes on"):
        documents(source=source, target=target)
    source, target = write(tmp_path, ["eins", "zwei", "drei"], ["one", " ", "three"])
    with pytest.raises(DataError, match=r"a\.en, line 2 is empty"):
        documents(source=source, target=target)
    with pytest.raises(DataError, match=r"a\.dee does not exist.*a\.de"):
        documents(source=source + "e", target=target)
    (tmp_path / "p.jsonl").write_text('{"de": "eins", "en": "one"}\n{"de": "zwei", "eng": "two"}\n', "utf-8")
    with pytest.raises(DataError, match=r"p\.jsonl.*2.*no field 'en'.*eng"):
        documents(path=str(tmp_path / "p.jsonl"), source="de", target="en")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"sources": [{"kind": "pairs", "source": "a", "target": "a"}]}, "both a"),
        ({"sources": [{"kind": "pairs", "source": "a", "target": "b"}, {"kind": "stories"}]}, "pairs beside stories"),
        ({"sources": [{"kind": "pairs", "source": "a", "target": "b", "weight": 2.0}]}, "a weight on a source of pairs"),
        ({"sources": [{"kind": "pairs", "source": "a", "target": "b"}], "rows": "documents"}, "rows: documents for pairs"),
        ({"sources": [{"kind": "stories"}], "rows": "pairs"}, "without a source of pairs"),
    ],
)
def test_specs_that_mean_nothing(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(DataSpec, table)


def test_rows_of_pairs_need_not_be_said() -> None:
    assert load(DataSpec, {"sources": [{"kind": "pairs", "source": "a", "target": "b"}]}).rows == "pairs"
