"""How rotary positions are slowed, so that a model reads texts longer than those of its training.

    linear   θ / s                        every turn slower alike                          (2306.15595)
    ntk      base · s^(R/(R-2))           fast turns stay, slow ones slow down by s        (2309.00071, section 3.1)
    yarn     a ramp from θ to θ / s       by wavelength; scores times (0.1 ln s + 1)²      (2309.00071)
    llama3   a ramp from θ to θ / s       by wavelength, another ramp                      (Llama 3.1, 2407.21783)

Each makes its frequencies once for all lengths. Deliberately none that looks at the length of the text at hand (`dynamic`):
keys in a state would have been turned by other frequencies than those that come after them.
"""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from linnet.model.spec import RopeScaling
from linnet.ops.rope import linear_frequencies, llama3_frequencies, ntk_frequencies, yarn_frequencies


class LinearScaling(RopeScaling):
    """Position interpolation (2306.15595): positions divided by a factor; wants some training after it.

    factor   how many times longer texts become
    """

    kind: Literal["linear"] = "linear"
    factor: float = Field(default=4.0, ge=1)

    @classmethod
    def examples(cls) -> tuple[LinearScaling, ...]:
        return cls(), cls(factor=2.0)

    def frequencies(self, d_rotary: int, base: float) -> Tensor:
        return linear_frequencies(d_rotary, base, self.factor)


class NTKScaling(RopeScaling):
    """A larger base (2309.00071, section 3.1): near places are told apart as before; works without training.

    factor   how many times slower the slowest turn becomes
    """

    kind: Literal["ntk"] = "ntk"
    factor: float = Field(default=4.0, ge=1)

    @classmethod
    def examples(cls) -> tuple[NTKScaling, ...]:
        return cls(), cls(factor=2.0)

    def frequencies(self, d_rotary: int, base: float) -> Tensor:
        return ntk_frequencies(d_rotary, base, self.factor)


class YarnScaling(RopeScaling):
    """YaRN (2309.00071): fast turns stay, slow ones slow down, with a ramp between; scores sharpened for the longer text.

    factor             how many times longer texts become
    original_length    how long texts were in training
    beta_fast          pairs that turn more often than this in a text of training stay as they are
    beta_slow          pairs that turn less often than this are slowed by the whole factor
    attention_factor   multiplies queries and keys; default: 0.1 ln factor + 1
    truncate           the ramp begins and ends at whole pairs
    """

    kind: Literal["yarn"] = "yarn"
    factor: float = Field(default=4.0, ge=1)
    original_length: int = Field(default=4096, ge=1)
    beta_fast: float = Field(default=32.0, gt=0)
    beta_slow: float = Field(default=1.0, gt=0)
    attention_factor: float | None = Field(default=None, gt=0)
    truncate: bool = True

    @classmethod
    def examples(cls) -> tuple[YarnScaling, ...]:
        return (
            cls(original_length=24, beta_fast=3.0),
            cls(factor=2.0, original_length=8, beta_slow=0.2, attention_factor=1.5, truncate=False),
        )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.beta_fast <= self.beta_slow:
            raise ValueError(f"beta_fast = {self.beta_fast} with beta_slow = {self.beta_slow}; needed: beta_fast above beta_slow")
        return self

    def frequencies(self, d_rotary: int, base: float) -> Tensor:
        fast, slow = self.beta_fast, self.beta_slow
        return yarn_frequencies(d_rotary, base, self.factor, self.original_length, fast, slow, whole=self.truncate)

    def multiplier(self) -> float:
        return 0.1 * math.log(self.factor) + 1 if self.attention_factor is None else self.attention_factor


class Llama3Scaling(RopeScaling):
    """Llama 3.1's (2407.21783): fast turns stay, slow ones slow down, with a ramp between.

    factor             how many times slower slow turns become
    original_length    how long texts were in training
    low_freq_factor    pairs that turn less often than this in a text of training are slowed by the whole factor
    high_freq_factor   pairs that turn more often than this stay as they are
    """

    kind: Literal["llama3"] = "llama3"
    factor: float = Field(default=8.0, ge=1)
    original_length: int = Field(default=8192, ge=1)
    low_freq_factor: float = Field(default=1.0, gt=0)
    high_freq_factor: float = Field(default=4.0, gt=0)

    @classmethod
    def examples(cls) -> tuple[Llama3Scaling, ...]:
        return cls(original_length=24), cls(factor=2.0, original_length=8, low_freq_factor=0.5, high_freq_factor=2.0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.low_freq_factor, self.high_freq_factor
        if high <= low:
            raise ValueError(f"high_freq_factor = {high} with low_freq_factor = {low}; needed: high_freq_factor above it")
        return self

    def frequencies(self, d_rotary: int, base: float) -> Tensor:
        low, high = self.low_freq_factor, self.high_freq_factor
        return llama3_frequencies(d_rotary, base, self.factor, self.original_length, low, high)
