"""What a model is fed of conversations: weights are those of targets, and a conversation is one document whatever marks it holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chat_helpers import chatml_mask, talk, write_talks
from data_helpers import small_parts, spec_of

from linnet.core.errors import DataError
from linnet.data.batch import Batch
from linnet.data.loader import PackedBatches, evaluation_batches
from linnet.data.prepare import prepare
from linnet.data.prepared import Prepared
from linnet.data.shards import Split, Stream
from linnet.data.walk import Walk, beginnings, tokens_a_pass
from linnet.tokenizer.chat import ChatML, Turn
from linnet.tokenizer.simple import byte_tokenizer

BYTES = byte_tokenizer(ChatML().special_names())
TALKS = [talk(number) for number in range(60)]


@pytest.fixture(params=["chatml", "plain"])
def mixed(request: pytest.FixtureRequest, tmp_path: Path) -> Prepared:
    """Conversations and text, in many small shards."""
    (tmp_path / "text.txt").write_text(
        "\n<|endoftext|>\n".join(f"A story of {number} birds." * (number % 4 + 1) for number in range(60))
    )
    talks = {"kind": "conversations", "path": str(write_talks(tmp_path / "chats.jsonl", TALKS)), "template": request.param}
    with small_parts():
        spec = spec_of(talks, {"kind": "files", "path": str(tmp_path / "text.txt"), "weight": 0.5})
        return prepare(spec, BYTES, tmp_path / "out")


def everything(stream: Stream) -> tuple[list[int], list[int], list[int]]:
    """(ids, which are learned, the number of the document) of a whole stream, plainly: a document at a time."""
    ids, learned, documents = [], [], []
    for number in range(stream.documents):
        start, stop = int(stream.starts[number]), int(stream.starts[number + 1])
        ids += stream.read(start, stop).tolist()
        learned += stream.learned(start, stop).astype(int).tolist()
        documents += [number] * (stop - start)
    return ids, learned, documents


def check(batch: Batch, split: Split) -> int:
    """Each row against the stream that it is of; how many are of conversations."""
    found = 0
    for row in range(batch.tokens.shape[0]):
        tokens, targets = batch.tokens[row].tolist(), batch.targets[row].tolist()
        places = [
            (stream, at)
            for stream in split.streams
            for ids in [everything(stream)[0]]
            for at in range(len(ids) - len(tokens))
            if ids[at : at + len(tokens)] == tokens and ids[at + len(tokens)] == targets[-1]
        ]
        fits = False
        for stream, at in places:
            ids, learned, documents = everything(stream)
            here = documents[at : at + len(tokens)]
            numbers = [0] * len(tokens) if batch.documents is None else batch.documents[row].tolist()
            fits |= (
                targets == ids[at + 1 : at + 1 + len(tokens)]
                and batch.weights[row].int().tolist() == learned[at + 1 : at + 1 + len(tokens)]
                and numbers == [number - here[0] for number in here]
            )
            found += bool(stream.masks) and fits
        assert fits
    return found


@pytest.mark.parametrize("rows", ["windows", "documents"])
def test_weights_are_those_of_targets_and_documents_those_of_conversations(mixed: Prepared, rows: str) -> None:
    batches = PackedBatches(mixed.train, context_length=40, batch_size=4, seed=1, rows=rows)  # type: ignore[arg-type]
    found = sum(check(batches.next_batch(), mixed.train) for _ in range(6))
    assert found > 6


def test_every_row_teaches_something(mixed: Prepared) -> None:
    batches = PackedBatches(mixed.train, context_length=9, batch_size=8, seed=0)
    drawn = [batches.next_batch().weights.sum(1) for _ in range(60)]
    assert all((weights > 0).all() for weights in drawn)
    stream = mixed.train.streams[0]
    silent = [at for at in range(0, stream.tokens - 10, 9) if not stream.learned(at + 1, at + 10).any()]
    assert silent  # there are such windows, and they were passed over


def test_the_place_is_found_again_where_windows_are_passed_over(mixed: Prepared) -> None:
    def batches() -> PackedBatches:
        return PackedBatches(mixed.train, context_length=9, batch_size=5, seed=2)

    one = batches()
    for _ in range(13):
        one.next_batch()
    place, right = one.state_dict(), [one.next_batch() for _ in range(9)]
    other = batches()
    other.load_state_dict(place)
    for expected in right:
        got = other.next_batch()
        assert (got.tokens == expected.tokens).all()
        assert (got.weights == expected.weights).all()
    two = [PackedBatches(mixed.train, context_length=9, batch_size=5, seed=2, rank=rank, world_size=2) for rank in (0, 1)]
    whole = PackedBatches(mixed.train, context_length=9, batch_size=10, seed=2)
    for _ in range(5):
        halves, both = [each.next_batch() for each in two], whole.next_batch()
        assert (np.concatenate([half.weights for half in halves]) == both.weights.numpy()).all()


@pytest.mark.parametrize("rows", ["windows", "documents"])
@pytest.mark.parametrize("context", [7, 64])
def test_evaluation_scores_every_learned_token_once(mixed: Prepared, rows: str, context: int) -> None:
    split = mixed.validation
    batches = list(evaluation_batches(split, context, 5, rows=rows))  # type: ignore[arg-type]
    scored = [int(token) for batch in batches for token in batch.targets[batch.weights > 0]]
    right = [token for stream in split.streams for token, mark in zip(*everything(stream)[:2]) if mark]
    assert scored == right
    assert sum(float(batch.weights.sum()) for batch in batches) == split.n_learned == len(right)
    assert all((batch.weights.sum(1) > 0).all() for batch in batches)


def test_marks_of_plain_do_not_divide_a_conversation(tmp_path: Path) -> None:
    """There the assistant's turn ends with the end token, after which the conversation may go on."""
    said = [Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c"), Turn("assistant", "d")]
    talks = [[Turn(turn.role, f"{turn.content}{number}") for turn in said] for number in range(20)]
    spec = spec_of(
        {"kind": "conversations", "path": str(write_talks(tmp_path / "a.jsonl", talks)), "template": "plain"}, split="tail"
    )
    prepared = prepare(spec, BYTES, tmp_path / "out")
    ids = [prepared.train.streams[0].read(0, int(prepared.train.streams[0].starts[1])).tolist()][0]
    assert ids.count(BYTES.end_id) == 2
    assert ids[-1] == BYTES.end_id  # and there is no third one behind it
    batch = next(evaluation_batches(prepared.train, len(ids) + 10, 1))
    assert batch.documents is not None
    assert batch.documents[0].tolist() == [0] * len(ids) + [1] * 10


def test_the_mask_of_a_source_beside_another_is_what_reading_the_ids_gives(mixed: Prepared) -> None:
    """For ChatML, whose marks can be read."""
    if mixed.spec.template != ChatML():
        pytest.skip("read for ChatML alone")
    (talks, _) = mixed.train.streams
    whole = talks.read(0, talks.tokens).tolist()
    assert talks.learned(0, talks.tokens).tolist() == chatml_mask(BYTES, whole)


def long_questions(path: Path, count: int = 40) -> Prepared:
    """Conversations of which a hundredth is learned."""
    talks = [[Turn("user", f"{number} long " + "question " * 40), Turn("assistant", "x")] for number in range(count)]
    return prepare(spec_of({"kind": "conversations", "path": str(write_talks(path / "a.jsonl", talks))}), BYTES, path / "out")


def test_rows_that_are_too_short_to_teach_anything_are_refused(tmp_path: Path) -> None:
    """Before anything is drawn; where the question is cut there are rows that teach."""
    prepared = long_questions(tmp_path)
    with pytest.raises(DataError, match=r"no row of 20 tokens of source 'a' holds anything that is learned.*context_length"):
        beginnings(prepared.train.streams[0], 20, "documents")
    with pytest.raises(DataError, match="no row of 20 tokens"):
        PackedBatches(prepared.train, context_length=20, batch_size=2, seed=0, rows="documents")
    assert PackedBatches(prepared.train, context_length=20, batch_size=2, seed=0).next_batch().weights.sum() > 0


def test_stretches_say_what_the_bits_say(mixed: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linnet.data.shards.MANY", 100)
    for stream in mixed.train.streams:
        places = np.arange(stream.tokens - 9)
        right = [stream.learned(at, at + 9).any() for at in places.tolist()]
        assert stream.any_learned(places, 9).tolist() == right


@pytest.mark.parametrize("rows", ["windows", "documents"])
def test_windows_are_passed_over_one_by_one(mixed: Prepared, rows: str) -> None:
    """However many are looked at together, and however many are asked for at once."""
    stream, context = mixed.train.streams[0], 50
    many, one, plain = (Walk(stream, context, 3, rows) for _ in range(3))  # type: ignore[arg-type]
    found: list[int] = []
    while len(found) < 200:
        if plain.position == plain.windows:
            plain._enter(plain.epoch + 1, 0)
        number = int(plain.order(np.array([plain.position], np.uint64))[0])
        at = int(stream.starts[number + 1]) - 1 if rows == "documents" else plain.offset + number * context
        plain.position += 1
        found += [at] * bool(stream.learned(at + 1, at + context + 1).any())
    assert np.concatenate([many.take(40) for _ in range(5)]).tolist() == found
    assert [int(one.take(1)[0]) for _ in range(200)] == found
    assert {(walk.epoch, walk.position) for walk in (many, one)} == {(plain.epoch, plain.position)}


@pytest.mark.parametrize("rows", ["windows", "documents"])
def test_what_is_passed_over_counts_as_gone_through(tmp_path: Path, rows: str) -> None:
    prepared, context = long_questions(tmp_path), 40 if rows == "windows" else 600
    once = tokens_a_pass(prepared.train, context, rows)  # type: ignore[arg-type]
    batch = once // context
    batches = PackedBatches(prepared.train, context_length=context, batch_size=batch, seed=0, rows=rows)  # type: ignore[arg-type]
    for _ in range(5):
        batches.next_batch()
    assert batches.epoch == pytest.approx(5, rel=0.1)
    if rows == "windows":
        assert once < prepared.train.tokens / 5
