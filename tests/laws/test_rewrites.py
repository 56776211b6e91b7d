"""Laws 3 to 5 of every family with its matrices made ternary. In float64, where what is rounded is rounded alike in every pass
(see `rounds` in sentences.py): so sharp that one number of 8 bits that fell on the other side would show a thousand million times over."""

from __future__ import annotations

import pytest
from sentences import build, is_causal, tokens

import laws
from equivalence import Hold
from linnet.core.spec import words
from linnet.model import Ternary
from linnet.zoo import Family
from linnet.zoo.family import Sized

pytestmark = pytest.mark.usefixtures("_small_buffers")
ROUNDING = 1e-13  # float64; measured below 1e-15
CAUSAL = {
    name: model
    for name, word in words(Family).items()  # type: ignore[type-abstract]
    if issubclass(word, Sized)
    if is_causal(model := word.examples()[0].replace(linear=Ternary(), dropout=0.0).sentence(97))
}


@pytest.mark.parametrize("name", CAUSAL)
def test_a_family_that_is_made_ternary(name: str, hold: Hold) -> None:
    network, text = build(CAUSAL[name]), tokens(laws.ROWS, laws.LENGTH)
    hold("3 ternary families: cut anywhere", laws.cut_anywhere(network, text), ROUNDING)
    hold("3 ternary families: all gradients", laws.cut_anywhere_gradients(network, text), ROUNDING)
    hold("4 ternary families: packed = separate", laws.packed_is_separate(network, text), ROUNDING)
    hold("5 ternary families: select", laws.select_is_running_those_rows(network, tokens(3, 12)), ROUNDING)


def test_most_families_are_there() -> None:
    assert {"llama", "gpt2", "mixtral", "mamba", "deepseek", "titans", "bitnet", "translate"} <= set(CAUSAL)
