"""The run file: everything that decides a run, strict and complete.

data: {sources: [{kind: files, path: stories.txt}]}
tokenizer: {kind: bpe, vocab_size: 1024}
model: {kind: llama, size: micro}
train: {steps: 2000}
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from linnet.core.spec import Spec
from linnet.data.spec import DataSpec
from linnet.objective.next_token import NextToken, ObjectiveSpec
from linnet.tokenizer.spec import BPE, TokenizerSpec
from linnet.train.optimizers import Muon, Optimizer
from linnet.train.schedule import WSD, Schedule
from linnet.zoo import Family, Linnet


class TrainSpec(Spec):
    """How long, in what portions, in what precision.

    steps / minutes    one of them says when the run ends; minutes count the whole command
    batch_size         rows a step; micro_batch_size rows at a time (None: all), which changes memory, not the result
                       (but for dropout, which draws anew for each micro-batch)
    context_length     tokens a row; None: what the model was made for
    clip               largest gradient norm; None: none
    precision          auto: bfloat16 on a GPU that has it, float32 on a CPU
    compile            auto: try torch.compile at the start on a GPU and keep it if it pays; a CPU run never compiles by itself
    recompute          trade time for memory: activations inside blocks are computed again in the backward pass
    threads            CPU threads; None: all cores
    """

    steps: int | None = Field(default=None, ge=1)
    minutes: float | None = Field(default=None, gt=0)
    batch_size: int = Field(default=16, ge=1)
    micro_batch_size: int | None = Field(default=None, ge=1)
    context_length: int | None = Field(default=None, ge=1)
    clip: float | None = Field(default=1.0, gt=0)
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    compile: Literal["auto", "yes", "no"] = "auto"
    recompute: bool = False
    device: str = "auto"
    threads: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.steps is not None and self.minutes is not None:
            raise ValueError(f"steps = {self.steps} and minutes = {self.minutes}; needed: one of them; try: leaving steps out")
        return self


class ValidationSpec(Spec):
    """When the validation part is read, and when a run that learns no more is ended.

    every      steps between validations; None: about twenty a run
    batches    how many batches of it; None: the whole part
    patience   stop after so many validations without a better one; None: never
    """

    every: int | None = Field(default=None, ge=1)
    batches: int | None = Field(default=None, ge=1)
    patience: int | None = Field(default=None, ge=1)


class CheckpointSpec(Spec):
    """When a run is saved, and what is kept.

    every       steps between checkpoints; None: at each validation
    keep_last   so many, the newest ones
    keep_best   the best by validation, besides
    """

    every: int | None = Field(default=None, ge=1)
    keep_last: int = Field(default=2, ge=1)
    keep_best: bool = True

    @property
    def kept(self) -> int:
        """How many checkpoints there are at most."""
        return self.keep_last + int(self.keep_best)


class SampleSpec(Spec):
    """What the model writes at each validation.

    prompt        what it goes on from; empty: a new document
    tokens        how many it writes; 0: nothing
    temperature   0 takes the likeliest token; 1 draws from the model as it is
    """

    prompt: str = ""
    tokens: int = Field(default=120, ge=0)
    temperature: float = Field(default=0.8, ge=0)


class RunSpec(Spec):
    """A run file: everything that decides a run.

    data         the text: where it comes from, what is done with it
    name         the run folder's name under runs/; None: that of the text or the run file
    seed         the same seed and the same text give the same model
    tokenizer    how text becomes ids
    model        a family of models and its size, or a sentence of the grammar
    objective    what is learned
    optimizer    how gradients become steps
    schedule     how the learning rate changes over the run
    train        how long, in what portions, in what precision
    validation   when the validation part is read, and when a run that learns no more is ended
    checkpoint   when a run is saved, and what is kept
    sample       what the model writes at each validation
    """

    data: DataSpec
    name: str | None = None
    seed: int = 0
    tokenizer: TokenizerSpec = BPE()
    model: Family = Linnet()
    objective: ObjectiveSpec = NextToken()
    optimizer: Optimizer = Muon()
    schedule: Schedule = WSD()
    train: TrainSpec = TrainSpec()
    validation: ValidationSpec = ValidationSpec()
    checkpoint: CheckpointSpec = CheckpointSpec()
    sample: SampleSpec = SampleSpec()
