"""`linnet compare`: what it refuses, what it trains, what it makes of what was trained, and that it goes on after a kill."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import tiny_run
from linnet.compare import race as racing
from linnet.compare import trial as one
from linnet.compare.ledger import LAWS, ledger_page, papers, where_tested, words_in, write_ledger
from linnet.compare.pages import charts_of, conditions, ranked, troubles
from linnet.compare.question import Budget, Trial, budget_of, differences, entrants_of, trials_of
from linnet.compare.summary import mean_curve, read_summary, unwrapped
from linnet.compare.verb import Wish, carry_out
from linnet.core.errors import ConfigError, LinnetError
from linnet.core.spec import load
from linnet.evaluate.seeds import difference_interval, mean_interval
from linnet.model import KNN
from linnet.model.count import count
from linnet.train.record import read_run
from linnet.train.spec import RunSpec
from linnet.zoo import GPT2, Linnet, Llama, Memorizing

ROOT = Path(__file__).resolve().parents[2]
STEP = 3 * 24  # tokens
SIZE = {"n_layers": 1, "n_heads": 2, "d_model": 16, "context_length": 24}


def files(folder: Path, *kinds: str, **changes: Any) -> list[str]:
    """A run file for each family, small."""
    made = []
    for kind in kinds:
        table = tiny_run.tiny(model={"kind": kind, **SIZE}, **changes)
        made.append(str(tiny_run.write_yaml(folder / f"{kind}.yaml", table)))
    return made


def in_this_process(trials: Sequence[Trial], at_once: int, tell: Any) -> None:
    """`race`, without processes: half a minute less a test."""
    for trial in trials:
        if not racing.is_done(trial):
            trial.outcome.unlink(missing_ok=True)
            order = {
                "folder": trial.folder,
                "table": trial.table,
                "seconds": trial.seconds,
                "threads": 1,
                "outcome": trial.outcome,
            }
            with tiny_run.no_probes():
                assert one.carry_out(order)
        tell([], {each: racing.done_share(each) for each in trials})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr("linnet.compare.verb.race", in_this_process)
    return monkeypatch


def compare(what: Sequence[str], out: Path | None, *, ledger: Path | None = None, **wish: Any) -> dict[str, Any]:
    summary, _ = carry_out(Wish(what=tuple(what), **wish), out, ledger=ledger, console=Console(quiet=True))
    return summary


# ---- what is refused ---------------------------------------------------------------------------------------------------


def test_no_budget_two_and_none_at_all_are_refused() -> None:
    for budget, words in (
        ((None, None, None), "no budget"),
        ((1.0, None, 5.0), "--minutes and --tokens"),
        ((0.0, None, None), "--minutes 0"),
        ((None, -1.0, None), "--flops -1"),
        ((None, None, math.nan), "--tokens nan"),
    ):
        with pytest.raises(ConfigError, match=words):
            budget_of(*budget)


def test_nothing_two_of_one_name_and_unknown_families_are_refused(tmp_path: Path) -> None:
    (gpt2,) = files(tmp_path, "gpt2")
    (tmp_path / "other").mkdir()
    (again,) = files(tmp_path / "other", "gpt2")
    for what, models, words in (
        ([], [], "nothing to compare"),
        ([gpt2, again], [], "two entrants are called gpt2"),
        ([gpt2], ["llama", "llama"], "two entrants are called llama"),
        ([gpt2, again], ["llama"], "--models beside 2 run files"),
        ([gpt2], ["lama"], "did you mean 'llama'"),
    ):
        with pytest.raises(ConfigError, match=words):
            entrants_of(what, models)


def test_other_text_other_tokens_and_other_rows_are_refused_all_at_once(tmp_path: Path) -> None:
    (first,) = files(tmp_path, "gpt2")
    model = {"kind": "llama", **SIZE, "context_length": 48}
    table = tiny_run.tiny(model=model, data__validation=0.2, tokenizer={"kind": "char"}, seed=3)
    other = str(tiny_run.write_yaml(tmp_path / "llama.yaml", table))
    with pytest.raises(ConfigError) as error:
        entrants_of([first, other])
    for words in (
        "data.validation: 0.15 in gpt2, 0.2 in llama",
        "tokenizer: ",
        "seed: 0 in gpt2, 3 in llama",
        "24 in gpt2, 48 in llama",
    ):
        assert words in str(error.value)
    assert [entrant.name for entrant in entrants_of([first, *files(tmp_path, "qwen3")])] == ["gpt2", "qwen3"]


def test_what_cannot_be_trained_is_refused_before_anything_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    what = files(tmp_path, "gpt2", "translate")
    with pytest.raises(ConfigError, match="with an encoder for text that has no source"):
        compare(what, tmp_path / "out", tokens=1.0)
    with pytest.raises(ConfigError, match="with model translate: a model with an encoder"):
        entrants_of(what[:1], ["gpt2", "translate"])
    assert not (tmp_path / "out").exists()


def test_an_entrant_that_cannot_read_prepared_tokens_is_refused_too(tmp_path: Path) -> None:
    first, second = files(tmp_path, "gpt2", "translate", data={"prepared": str(tiny_run.trained_copy(tmp_path / "run"))})
    with pytest.raises(ConfigError, match="translate: a model with an encoder"):
        compare([first, second], tmp_path / "out", tokens=1.0)


def test_what_differs_is_found_wherever_it_stands() -> None:
    here, there = {"a": {"b": [1, 2]}, "c": 1}, {"a": {"b": [1, 3]}, "d": 1}
    assert differences(here, there, "x") == [("x.a.b", [1, 2], [1, 3]), ("x.c", 1, None), ("x.d", None, 1)]


@pytest.mark.parametrize("option", ["seeds", "at_once", "threads"])
def test_counts_of_zero_are_refused(option: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"--{option.replace('_', '-')} 0"):
        compare(files(tmp_path, "gpt2"), tmp_path / "out", tokens=1.0, **{option: 0})
    assert not (tmp_path / "out").exists()


def test_the_command_line_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        ([], "nothing to compare"),
        (["--minutes", "1"], "nothing to compare"),
        (files(tmp_path, "gpt2"), "no budget"),
        ([*files(tmp_path, "gpt2"), "--minutes", "0"], "more than 0"),
        ([*files(tmp_path, "gpt2"), "--minutes", "1", "--baseline", "gtp2"], "did you mean 'gpt2'"),
    ):
        code, _, error = tiny_run.linnet(capsys, "compare", *words, "--out", tmp_path / "out")
        assert (code, said in error) == (2, True), error


# ---- budgets -----------------------------------------------------------------------------------------------------------


def trials(tmp_path: Path, budget: Budget, *, seeds: int = 1, kinds: Sequence[str] = ("gpt2",)) -> list[Trial]:
    return trials_of(entrants_of(files(tmp_path, *kinds)), budget, seeds, tmp_path / "out", tmp_path / "tokens", 257, 1)


def test_budgets_become_steps_or_time(tmp_path: Path) -> None:
    (by_tokens,) = trials(tmp_path, Budget("tokens", 10 * STEP + 1))
    assert (by_tokens.table["train"]["steps"], by_tokens.table["train"]["minutes"], by_tokens.seconds) == (11, None, None)
    flops = count(load(RunSpec, by_tokens.table).model.sentence(257), 24).train_flops
    (by_flops,) = trials(tmp_path, Budget("flops", 5 * STEP * flops))
    assert by_flops.table["train"]["steps"] == 5
    (by_time,) = trials(tmp_path, Budget("minutes", 0.5))
    assert (by_time.table["train"]["steps"], by_time.table["train"]["minutes"], by_time.seconds) == (None, 0.5, 30.0)


def test_every_entrant_runs_with_every_seed_on_the_same_tokens(tmp_path: Path) -> None:
    found = trials(tmp_path, Budget("tokens", STEP), seeds=2, kinds=("gpt2", "llama"))
    assert [(trial.name, trial.seed) for trial in found] == [("gpt2", 0), ("llama", 0), ("gpt2", 1), ("llama", 1)]
    assert len({trial.table["data"]["prepared"] for trial in found}) == 1
    for trial in found:
        spec = load(RunSpec, trial.table)
        assert (spec.seed, spec.validation.patience, spec.checkpoint.keep_best, spec.sample.tokens) == (
            trial.seed,
            None,
            False,
            0,
        )


def test_families_take_the_place_of_a_model_and_keep_its_size(tmp_path: Path) -> None:
    (base,) = files(tmp_path, "linnet")
    found = entrants_of([base], ["gpt2", "llama", "mamba"], ["train.batch_size=5"])
    assert [entrant.name for entrant in found] == ["gpt2", "llama", "mamba"]
    for entrant in found:
        model = entrant.spec.model
        assert (model.kind, model.shape.n_layers, model.shape.d_model, model.reads) == (entrant.name, 1, 16, 24)
        assert entrant.spec.train.batch_size == 5


def test_a_time_budget_can_be_of_the_loop_alone(tmp_path: Path) -> None:
    table = tiny_run.tiny(train={"minutes": 60.0, "batch_size": 3, "threads": 1})
    began = time.perf_counter()
    result = tiny_run.go(tmp_path / "run", table, seconds=1.0)
    assert result.why == "finished"
    assert time.perf_counter() - began < 60
    spent = [json.loads(line)["seconds"] for line in (tmp_path / "run" / "timings.jsonl").read_text().splitlines()]
    assert all(seconds < 1.0 for seconds in spent[:-1])
    assert spent[-1] >= 1.0


# ---- what is made of runs ----------------------------------------------------------------------------------------------


def test_a_comparison_from_run_files_to_its_pages(tmp_path: Path, quick: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    summary = compare(
        files(tmp_path, "gpt2", "llama"), out, tokens=12 * STEP, seeds=3, baseline="llama", ledger=tmp_path / "ledger.md"
    )
    gpt2, llama = summary["entrants"]
    measured = {name: [json.loads((out / "runs" / f"{name}-seed-{n}" / "evaluation.json").read_text())["model"]["nats_per_token"]["value"] for n in range(3)]
                for name in ("gpt2", "llama")}  # fmt: skip
    for row in (gpt2, llama):
        expected = mean_interval(measured[row["name"]])
        assert row["loss"] == {name: pytest.approx(value, abs=1e-5) for name, value in expected.to_dict().items()}
        assert (row["step"], row["tokens"]) == (12, 12 * STEP)
        assert row["decode_tokens_per_second"] > 0
        assert row["memory_bytes"] > 2**20
        assert row["context"] * row["state_bytes_per_token"] == row["state_bytes"] > 0  # attention: every token costs the same
        assert all(len(row["curves"][axis]["x"]) > 1 for axis in ("seconds", "flops", "tokens"))
    effect = difference_interval(measured["gpt2"], measured["llama"])
    assert gpt2["difference"] == {name: pytest.approx(value, abs=1e-5) for name, value in effect.to_dict().items()}
    assert llama["difference"] is None
    assert [row["loss"]["value"] for row in ranked(summary)] == sorted(row["loss"]["value"] for row in summary["entrants"])
    for name in (
        "compare.json",
        "compare.md",
        "compare.html",
        "loss-seconds.svg",
        "loss-flops.svg",
        "loss-tokens.svg",
        "compare.yaml",
    ):
        assert (out / name).stat().st_size > 100, name
    page = (
        (out / "compare.html")
        .read_text()
        .replace('xmlns="http://www.w3.org/2000/svg"', "")
        .replace('xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    )
    assert page.count("<svg ") == 3
    assert not any(foreign in page for foreign in ("<script", "http://", "https://", "src="))
    assert "optimizer: muon" in (out / "compare.md").read_text()
    assert read_summary(out / "compare.json") == json.loads(json.dumps(summary))
    assert "| GPT-2: the plain transformer | Radford et al. 2019 |" in (tmp_path / "ledger.md").read_text()


def test_what_is_finished_is_not_trained_again_and_more_can_be_asked_for(tmp_path: Path, quick: pytest.MonkeyPatch) -> None:
    both, out = files(tmp_path, "gpt2", "llama"), tmp_path / "out"
    first = compare(both[:1], out, tokens=3 * STEP, seeds=1)
    begun: list[str] = []
    quick.setattr(one, "carry_out", lambda order, before=one.carry_out: begun.append(Path(order["folder"]).name) or before(order))
    more = compare(both, out, tokens=3 * STEP, seeds=2)
    assert begun == ["llama-seed-0", "gpt2-seed-1", "llama-seed-1"]
    assert more["entrants"][0]["seeds"][0] == first["entrants"][0]["seeds"][0]
    assert compare([str(out)], None)["entrants"] == [
        {**row, "decode_tokens_per_second": pytest.approx(row["decode_tokens_per_second"], rel=100)} for row in more["entrants"]
    ]
    assert len(begun) == 3
    for wish, words in (
        ({"tokens": 4 * STEP}, "holds a comparison at"),
        ({"tokens": 3 * STEP, "set": ("optimizer.learning_rate=0.1",)}, "holds another run"),
    ):
        with pytest.raises(ConfigError, match=words):
            compare(both, out, **wish)
    with pytest.raises(ConfigError, match="it goes on as it was begun"):
        compare([str(out)], out, minutes=1.0)
    with pytest.raises(ConfigError, match="with --out"):
        compare([str(out)], tmp_path / "elsewhere")
    assert compare([str(out)], out, seeds=3)["seeds"] == 3
    assert begun[3:] == ["gpt2-seed-2", "llama-seed-2"]
    kept = {name: (out / name).read_text() for name in ("compare.json", "compare.yaml")}
    for what, seeds, words in (
        (both[:1], 3, "holds llama-seed-0, llama-seed-1, llama-seed-2, which are not asked for"),
        ([str(out)], 2, "holds gpt2-seed-2, llama-seed-2, which are not asked for"),
    ):
        with pytest.raises(ConfigError, match=words):
            compare(what, out, seeds=seeds, **({} if what == [str(out)] else {"tokens": 3 * STEP}))
    assert kept == {name: (out / name).read_text() for name in kept}


def test_a_field_that_was_said_and_is_null_now_asks_for_another_run(tmp_path: Path, quick: pytest.MonkeyPatch) -> None:
    out, what = tmp_path / "out", tmp_path / "gpt2.yaml"
    model = {"kind": "gpt2", **SIZE}
    tiny_run.write_yaml(what, tiny_run.tiny(model=model | {"d_ff": 16}))
    compare([str(what)], out, tokens=STEP, seeds=1)
    tiny_run.write_yaml(what, tiny_run.tiny(model=model))
    with pytest.raises(ConfigError, match=r"model\.d_ff = None; the run has 16"):
        compare([str(what)], out, tokens=STEP, seeds=1)


def test_a_comparison_that_was_moved_goes_on(tmp_path: Path, quick: pytest.MonkeyPatch) -> None:
    what, out, moved = files(tmp_path, "gpt2", "llama"), tmp_path / "out", tmp_path / "moved"
    before = compare(what, out, tokens=6 * STEP, seeds=1)
    run = out / "runs" / "llama-seed-0"
    run.with_name("llama-seed-0.json").unlink()  # as if stopped: run.yaml is there, what came of it is not
    for made in ("model.safetensors", "evaluation.json"):
        (run / made).unlink()
    out.rename(moved)
    after = compare([str(moved)], moved)
    assert [row["loss"] for row in after["entrants"]] == [row["loss"] for row in before["entrants"]]
    for each in ("gpt2-seed-0", "llama-seed-0"):
        spec = read_run(moved / "runs" / each)
        assert Path(spec.data.prepared or "").is_dir()
    with pytest.raises(ConfigError, match=r"data\.prepared = "):  # other tokens are another run
        compare(files(tmp_path, "gpt2", data__sources=[{"kind": "stories", "count": 25}]), moved, tokens=6 * STEP, seeds=1)


def test_a_name_that_is_a_path_and_the_folder_of_a_run_are_refused(tmp_path: Path) -> None:
    what = tiny_run.write_yaml(tmp_path / "gpt2.yaml", tiny_run.tiny(name="../../esc"))
    with pytest.raises(ConfigError, match=r"name = '../../esc'; needed: a name, not a path"):
        compare([str(what)], tmp_path / "out", tokens=STEP)
    run = tiny_run.trained_copy(tmp_path / "run")
    before = sorted(run.iterdir())
    with pytest.raises(ConfigError, match=r"where there is a run\.yaml"):
        compare(files(tmp_path, "llama"), run, tokens=STEP)
    (run / "run.yaml").unlink()
    with pytest.raises(ConfigError, match=r"where there is a manifest\.json"):
        compare(files(tmp_path, "llama"), run, tokens=STEP)
    assert sorted(run.iterdir()) == [path for path in before if path.name != "run.yaml"]


def test_a_run_that_begins_from_weights_is_compared_with_one_that_does_not(tmp_path: Path, quick: pytest.MonkeyPatch) -> None:
    start = str(tiny_run.trained_copy(tmp_path / "start"))
    table = tiny_run.tiny(weights=start)
    del table["model"], table["tokenizer"]
    tuned = str(tiny_run.write_yaml(tmp_path / "tuned.yaml", table))
    (plain,) = files(tmp_path, "gpt2", tokenizer={"kind": "file", "path": start})
    (entrant,) = entrants_of([tuned])
    assert (entrant.spec.train.context_length, entrant.spec.model.kind) == (24, "sentence")
    first, second = compare([tuned, plain], tmp_path / "out", tokens=STEP, seeds=1)["entrants"]
    assert (first["seeds"][0]["why"], second["seeds"][0]["why"]) == ("finished", "finished")
    assert first["loss"]["value"] < second["loss"]["value"]
    with pytest.raises(ConfigError, match="--models with weights"):
        entrants_of([tuned], ["llama"])


def test_weights_of_another_tokenizer_are_refused_before_anything_is_trained(tmp_path: Path, quick: pytest.MonkeyPatch) -> None:
    start = tiny_run.trained_copy(tmp_path / "start")
    tuned = tiny_run.write_yaml(tmp_path / "tuned.yaml", tiny_run.tiny(weights=str(start), tokenizer={"kind": "char"}))
    with pytest.raises(LinnetError, match="weights: "):
        compare([str(tuned)], tmp_path / "out", tokens=STEP, seeds=1)
    assert not (tmp_path / "out" / "runs").exists()


def test_a_comparison_that_was_stopped_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("linnet.compare.verb.race", stop)
    monkeypatch.chdir(tmp_path)
    for words, folder in (
        ([*files(tmp_path, "gpt2"), "--tokens", "9", "--out", "ccd"], "ccd"),
        (["ccd"], "ccd"),
        ([*files(tmp_path, "gpt2"), "--tokens", "9"], "runs/compare"),
    ):
        code, printed, _ = tiny_run.linnet(capsys, "compare", *words)
        assert (code, f"go on with: linnet compare {folder}\n" in printed) == (130, True), printed


def test_a_run_that_diverges_is_shown_and_one_that_failed_is_tried_again(tmp_path: Path, quick: pytest.MonkeyPatch) -> None:
    from linnet.objective.next_token import NextToken

    right, out = NextToken.__call__, tmp_path / "out"

    def ruined(self: NextToken, network: Any, batch: Any, draws: Any = None) -> Any:
        loss = right(self, network, batch, draws)
        return (
            type(loss)(loss.total * math.nan, {**loss.logs, "loss": (loss.logs["loss"][0] * math.nan, loss.logs["loss"][1])})
            if network.spec.position
            else loss
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NextToken, "__call__", ruined)  # for those with positions of their own: gpt2 alone
        summary = compare(files(tmp_path, "gpt2", "llama"), out, tokens=3 * STEP, seeds=2)
    gpt2, llama = summary["entrants"]
    assert [seed["why"] for seed in gpt2["seeds"]] == ["diverged", "diverged"]
    assert (gpt2["loss"], llama["difference"], ranked(summary)[-1]) == (None, None, gpt2)
    assert llama["loss"]["value"] > 0
    assert len(troubles(summary)) == 2
    assert "gpt2, seed 0: diverged: the loss is nan at step 1" in (out / "compare.md").read_text()
    assert "gpt2, seed 1: diverged" in (out / "compare.html").read_text()

    (out / "runs" / "llama-seed-0.json").write_text('{"why": "failed", "message": "out of memory"}')
    begun: list[str] = []
    quick.setattr(one, "carry_out", lambda order, before=one.carry_out: begun.append(Path(order["folder"]).name) or before(order))
    again = compare([str(out)], out)
    assert begun == ["llama-seed-0"]  # not gpt2's, which would diverge again
    assert again["entrants"][1]["loss"] == llama["loss"]


def test_what_differs_in_training_is_said(tmp_path: Path, quick: pytest.MonkeyPatch) -> None:
    (first,) = files(tmp_path, "gpt2")
    (second,) = files(tmp_path, "llama", optimizer={"kind": "adamw", "learning_rate": 0.01})
    lines = conditions(compare([first, second], tmp_path / "out", tokens=STEP, seeds=1))
    assert any(
        line.startswith("optimizer: what each run file says (gpt2: muon") and "llama: adamw (learning_rate 0.01" in line
        for line in lines
    )
    assert any(line.startswith("schedule: wsd") and line.endswith("for all") for line in lines)
    assert any(line.startswith("one seed: no intervals") for line in lines)


def test_runs_that_end_in_their_warm_up_are_said(tmp_path: Path, quick: pytest.MonkeyPatch) -> None:
    (first,) = files(tmp_path, "gpt2", schedule={"kind": "wsd", "warmup": 4})
    (second,) = files(tmp_path, "llama", schedule={"kind": "wsd", "warmup": 3})
    summary = compare([first, second], tmp_path / "out", tokens=3 * STEP, seeds=1)
    (line,) = [line for line in conditions(summary) if line.startswith("warm-up: ")]
    assert "after steps: gpt2 3 of 4. Rates" in line
    summary["entrants"][0]["seeds"][0]["step"] = 4
    assert not any(line.startswith("warm-up: ") for line in conditions(summary))
    summary |= {"same": {"schedule": {"kind": "constant"}}, "own": {}}
    assert not any(line.startswith("warm-up: ") for line in conditions(summary))


def test_seconds_of_several_sittings_are_added_up() -> None:
    assert unwrapped(np.array([1.0, 2.0, 0.5, 1.5, 0.25])).tolist() == [1.0, 2.0, 2.5, 3.5, 3.75]
    assert unwrapped(np.array([])).tolist() == []


def test_curves_are_means_where_all_runs_have_been() -> None:
    one_run = {"tokens": np.array([0.0, 10.0]), "loss": np.array([4.0, 2.0])}
    other = {"tokens": np.array([2.0, 8.0, 20.0]), "loss": np.array([5.0, 2.0, 0.0])}
    found = mean_curve([one_run, other, {}], "tokens")
    assert (found["x"][0], found["x"][-1]) == (2.0, 10.0)
    assert found["loss"][0] == pytest.approx((3.6 + 5.0) / 2)
    assert found["loss"][-1] == pytest.approx((2.0 + 2.0 - 2 / 6) / 2, abs=1e-5)
    assert found["low"][0] < found["loss"][0] < found["high"][0]
    assert mean_curve([], "tokens")["x"] == []


def test_charts_have_a_line_and_a_name_for_each(tmp_path: Path) -> None:
    curve = {"x": [1.0, 2.0, 3.0], "loss": [6.0, 3.0, 1.0], "low": [5.0, 2.0, 0.5], "high": [7.0, 4.0, 1.5]}
    summary = {
        "entrants": [{"name": f"model {n}", "curves": dict.fromkeys(("seconds", "flops", "tokens"), curve)} for n in range(14)]
    }
    charts = charts_of(summary)
    assert list(charts) == ["seconds", "flops", "tokens"]
    for svg in charts.values():
        assert all(f">model {n}<" in svg for n in range(14))
        assert "var(--ink" in svg


def test_a_file_that_is_no_comparison_is_refused(tmp_path: Path) -> None:
    (tmp_path / "compare.json").write_text('{"format": 7, "entrants": []}')
    with pytest.raises(LinnetError, match="format 7"):
        compare([str(tmp_path / "compare.json")], tmp_path / "out")


def test_a_run_that_failed_ends_the_command_with_1(
    tmp_path: Path, quick: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(trials: Sequence[Trial], at_once: int, tell: Any) -> None:
        for trial in trials:
            trial.folder.mkdir(parents=True, exist_ok=True)
            trial.outcome.write_text('{"why": "failed", "message": "no room"}')
        tell([], dict.fromkeys(trials, 0.0))

    quick.setattr("linnet.compare.verb.race", fail)
    code, printed, _ = tiny_run.linnet(
        capsys, "compare", *files(tmp_path, "gpt2"), "--tokens", "9", "--seeds", "1", "--out", tmp_path / "out"
    )
    assert code == 1
    assert "gpt2, seed 0: failed, no room" in printed
    assert "gpt2, seed 0: failed: no room; the mean is of the others" in " ".join(printed.split())


# ---- the ledger --------------------------------------------------------------------------------------------------------


def test_the_ledger_is_what_its_comparisons_make_of_it() -> None:
    """Where a docstring or a test has moved: linnet compare docs/ledger/NAME.json --ledger docs/ledger.md"""
    page = ROOT / "docs" / "ledger.md"
    kept = sorted((ROOT / "docs" / "ledger").glob("*.json"))
    assert kept
    assert page.read_text("utf-8") == ledger_page(page)
    assert sum(path.stat().st_size for path in kept) < 400_000


def test_the_ledger_reads_facts_from_the_code() -> None:
    assert papers(Llama) == "[2307.09288](https://arxiv.org/abs/2307.09288), [2407.21783](https://arxiv.org/abs/2407.21783)"
    assert papers(GPT2) == "Radford et al. 2019"
    new = [word for word in words_in(Memorizing().sentence(300)) if word not in words_in(GPT2().sentence(300))]
    assert KNN in new
    assert where_tested(Llama, []) == ["tests/parity/test_huggingface.py", LAWS]
    assert where_tested(Memorizing, [KNN])[0] == "tests/model/test_knn.py"
    for family in (GPT2, Linnet, Memorizing):
        assert all((ROOT / test).is_file() for test in where_tested(family, []))


def test_the_ledger_says_what_did_not_help(tmp_path: Path) -> None:
    def row(name: str, kind: str, difference: dict[str, float | None] | None, why: str = "finished") -> dict[str, Any]:
        seeds = [{"seed": 0, "why": "finished"}, {"seed": 1, "why": why}]
        counted = {"parameters": 1000, "state_bytes": 64, "context": 24}
        return {
            "name": name,
            "model": {"kind": kind},
            "loss": {"value": 1.0, "low": 0.9, "high": 1.1},
            "difference": difference,
            "seeds": seeds,
            **counted,
        }

    rows = [
        row("gpt2", "gpt2", None),
        row("llama", "llama", {"value": -0.2, "low": -0.3, "high": -0.1}),
        row("mamba", "mamba", {"value": 0.2, "low": 0.1, "high": 0.3}),
        row("qwen3", "qwen3", {"value": 0.0, "low": -0.1, "high": 0.1}, why="diverged"),
        row("mistral", "mistral", {"value": -1.0, "low": None, "high": None}),
    ]
    data = {"sources": ["stories"], "train_tokens": 9, "validation_tokens": 9, "vocab_size": 300}
    summary = {
        "format": 1,
        "budget": {"kind": "minutes", "value": 1},
        "seeds": 2,
        "baseline": "gpt2",
        "data": data,
        "same": {},
        "own": {},
        "how": {},
        "entrants": rows,
    }
    write_ledger(summary, tmp_path / "page.md", "known")
    lines = (tmp_path / "page.md").read_text().splitlines()
    ends = {line.split("|")[3].strip(): line.split("|")[-2].strip() for line in lines if line.startswith("| ")}
    assert ends["llama.py"] == "better"
    assert ends["mamba.py"] == "worse"
    assert ends["qwen3.py"] == "no difference shown, 1 of 2 lost"
    assert ends["mistral.py"] == "not known from one seed"
    assert (tmp_path / "page" / "known.json").is_file()
    write_ledger(summary, tmp_path / "page.md", "known")  # the same question
    for other in ({"budget": {"kind": "minutes", "value": 2}}, {"data": data | {"fingerprint": "another"}}):
        with pytest.raises(ConfigError, match=r"known\.json is another comparison, at 1 minute of training"):
            write_ledger(summary | other, tmp_path / "page.md", "known")
    assert read_summary(tmp_path / "page" / "known.json")["budget"] == summary["budget"]


def test_a_name_that_the_ledger_has_is_refused_before_anything_is_trained(tmp_path: Path, quick: pytest.MonkeyPatch) -> None:
    what, page = files(tmp_path, "gpt2"), tmp_path / "page.md"
    compare(what, tmp_path / "a" / "same", tokens=STEP, seeds=1, ledger=page)
    with pytest.raises(ConfigError, match=r"same\.json is another comparison, at 72 tokens"):
        compare(what, tmp_path / "b" / "same", tokens=2 * STEP, seeds=1, ledger=page)
    assert not (tmp_path / "b" / "same" / "runs").exists()


def test_every_configuration_to_compare_reads_the_same_text_and_is_of_one_size() -> None:
    found = entrants_of([str(path) for path in sorted((ROOT / "configs" / "compare").glob("*.yaml"))])
    assert len(found) >= 12
    sizes = {entrant.name: count(entrant.spec.model.sentence(2048), 256).parameters for entrant in found}
    assert all(0.9e6 < size < 2e6 for size in sizes.values()), sizes


# ---- kills -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "interrupt"])
def test_a_comparison_that_was_stopped_goes_on_with_what_is_missing(how: str, tmp_path: Path) -> None:
    steps = 1500  # so many that none is done before it is noticed that one has begun
    files(tmp_path, "gpt2", "llama", validation={"every": 500, "batches": 1}, checkpoint={"every": 20})
    words = [sys.executable, "-m", "linnet.cli.main", "compare", "gpt2.yaml", "llama.yaml", "--tokens", str(steps * STEP), "--seeds", "1", "--threads", "1", "--out", "out"]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    runs = tmp_path / "out" / "runs"
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # also where the tests were started in the background
    with subprocess.Popen(
        words, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=heard
    ) as process:
        wait_until(lambda: racing.last_line(runs / "llama-seed-0" / "timings.jsonl").get("step", 0) > 30, process)
        process.send_signal(signal.SIGKILL if how == "kill" else signal.SIGINT)
        process.wait(timeout=120)
        assert process.returncode == (-signal.SIGKILL if how == "kill" else 130)
    first = json.loads((runs / "gpt2-seed-0.json").read_text())
    assert (first["why"], first["step"]) == ("finished", steps)
    one.wait_for(runs / "llama-seed-0")  # its process notices that nobody is there, saves and leaves
    assert not (runs / "llama-seed-0.json").exists()
    assert any((runs / "llama-seed-0" / "checkpoints").iterdir())
    before = (runs / "gpt2-seed-0" / "model.safetensors").stat().st_mtime_ns

    done = subprocess.run(
        [*words[:4], "out"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (runs / "gpt2-seed-0" / "model.safetensors").stat().st_mtime_ns == before
    assert "going on" not in done.stdout
    steps_of = [json.loads(line)["step"] for line in (runs / "llama-seed-0" / "timings.jsonl").read_text().splitlines()]
    assert steps_of == list(range(1, steps + 1))
    assert not (runs / "llama-seed-0" / "checkpoints").exists()  # done, so let go
    assert read_run(runs / "llama-seed-0").train.steps == steps


def wait_until(there: Any, process: subprocess.Popen[bytes], seconds: float = 240) -> None:
    """Wait for something, as long as the process lives."""
    end = time.perf_counter() + seconds
    while not there():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.perf_counter() < end
        time.sleep(0.05)
