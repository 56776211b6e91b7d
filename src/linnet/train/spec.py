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
from linnet.data.corpus import Corpus
from linnet.data.spec import DataSpec
from linnet.objective import NextToken, ObjectiveSpec
from linnet.tokenizer.spec import BPE, TokenizerSpec
from linnet.train.optimizers import Muon, Optimizer
from linnet.train.schedule import WSD, Schedule
from linnet.zoo import Family, Linnet


class TrainSpec(Spec):
    """How long, in what portions, in what precision.

    steps              end after so many; default: 2,000, where minutes are not given either
    minutes            end after so many, the whole command counted; in place of steps
    batch_size         rows a step
    micro_batch_size   rows at a time, which changes memory and not the result (but for dropout, which draws anew for
                       each); default: all
    context_length     tokens a row; default: what the model was made for
    clip               largest gradient norm; null: none
    precision          auto: bfloat16 on a GPU that has it, float32 on a CPU
    compile            auto: try torch.compile at the start on a GPU and keep it if it pays; a CPU run never compiles by itself
    recompute          trade time for memory: activations inside blocks are computed again in the backward pass
    device             auto: a GPU where there is one; else a name of torch's, such as cpu or cuda:1
    threads            CPU threads; default: all cores
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
    """How often the model is tried on text that it is not trained on.

    every      steps between validations; default: about twenty a run
    batches    batches of the validation part that are read each time; default: all of it
    patience   stop after so many validations without a better one; default: never
    """

    every: int | None = Field(default=None, ge=1)
    batches: int | None = Field(default=None, ge=1)
    patience: int | None = Field(default=None, ge=1)


class CheckpointSpec(Spec):
    """What a run that was stopped goes on from.

    every       steps between checkpoints; default: at each validation
    keep_last   how many of the last ones are kept
    keep_best   keep that of the best validation besides; the model at the end is that one
    """

    every: int | None = Field(default=None, ge=1)
    keep_last: int = Field(default=2, ge=1)
    keep_best: bool = True


class SampleSpec(Spec):
    """What the model writes at each validation.

    prompt        what it goes on from, or a text with masked places for a model that sees both ways; empty: a new document
    tokens        how many it writes; 0: nothing
    temperature   0 takes the likeliest token; 1 draws from the model as it is
    """

    prompt: str = ""
    tokens: int = Field(default=120, ge=0)
    temperature: float = Field(default=0.8, ge=0)


class RunSpec(Spec):
    """A whole run.

    data         where text comes from, and how it is cleaned and split
    name         the folder is runs/NAME; default: by the file or the text
    seed         every use of chance follows from it
    tokenizer    how text becomes ids
    model        a family with a size, or a sentence of the grammar
    weights      a folder of a finished run or model to begin from; model and tokenizer are its own, where they are not said
    objective    what is learned
    optimizer    how gradients become steps
    schedule     how the learning rate moves
    train        how long, in what portions, in what precision
    validation   how often the model is tried on text that it is not trained on
    checkpoint   what a run that was stopped goes on from
    sample       what the model writes at each validation
    """

    data: DataSpec
    name: str | None = None
    seed: int = 0
    tokenizer: TokenizerSpec = BPE()
    model: Family = Linnet()
    weights: str | None = None
    objective: ObjectiveSpec = NextToken()
    optimizer: Optimizer = Muon()
    schedule: Schedule = WSD()
    train: TrainSpec = TrainSpec()
    validation: ValidationSpec = ValidationSpec()
    checkpoint: CheckpointSpec = CheckpointSpec()
    sample: SampleSpec = SampleSpec()

    @property
    def corpus(self) -> Corpus:
        """What decides its tokens; a tokenizer that is trained has the special tokens that the objective needs."""
        return Corpus(data=self.data, tokenizer=self.objective.with_special(self.tokenizer), seed=self.seed)
