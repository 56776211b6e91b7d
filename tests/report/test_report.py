"""The run report: everything shown, nothing loaded, nothing of a user's text alive, nothing needed."""

from __future__ import annotations

import json
import math
import re
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")
sys.path.insert(0, str(Path(__file__).parent))

from run_folder import make_run

from linnet.core.errors import LinnetError
from linnet.report import run_report
from linnet.report.contents import read_contents
from linnet.report.run_report import render, write_report


@pytest.fixture
def no_charts(monkeypatch):
    """For what is about text: drawing takes most of a report's second."""
    monkeypatch.setattr(run_report, "_charts", lambda run: {})


VOID = {"meta", "input", "br", "img", "link", "hr", "source", "col"}
FILES = ["run.yaml", "metrics.jsonl", "timings.jsonl", "scorecard.json", "evaluation.json", "data_card.json", "summary.json"]


class Page(HTMLParser):
    """Tags, attributes and visible text; fails where tags do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.style = ""
        self.feed(html)
        self.close()
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text += data


def page_of(folder: Path) -> Page:
    return Page(write_report(folder).read_text("utf-8"))


def loads_nothing_law(html: str) -> None:
    """No script, no frame, no image, no link; no attribute or style that names another place (namespaces are no loads)."""
    page = Page(html)
    for tag, attributes in page.tags:
        assert tag not in {
            "script",
            "iframe",
            "object",
            "embed",
            "img",
            "image",
            "link",
            "base",
            "a",
            "form",
            "audio",
            "video",
            "foreignobject",
        }, tag
        for name, value in attributes.items():
            assert not name.startswith("on"), f"{tag} {name}"
            if name in {"href", "xlink:href", "src", "srcset", "action", "data", "poster"}:
                assert (value or "").startswith("#"), f"{tag} {name}={value}"
            if not name.startswith("xmlns"):
                assert "//" not in (value or ""), f"{tag} {name}={value}"
                assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", value or ""))
    assert "url(" not in page.style
    assert "@import" not in page.style


def test_a_full_report_shows_every_part(tmp_path):
    page = page_of(make_run(tmp_path / "my-run"))
    for words in (
        "my-run", "llama · 3M", "3.21 M", "+2.9 %", "−35.0 %", "9 min 31 s", "Asked, estimated, measured", "by tokens",
        "learning rate", "gradient norm", "tokens per second", "2.148 … 2.246", "5-gram", "modified Kneser-Ney, interpolated",
        "2.5 % fewer bits than the best yardstick, 5-gram", "ROMEO:", "step 300", "kind: attention", "public domain",
        "no document stands in both", "torch", "16 GiB", "batch_tokens: 16384", "The validation text is short",
        "The last line of metrics.jsonl is incomplete",
    ):  # fmt: skip
        assert words in page.text, words
    assert page.text.count("this model") == 2  # the bar and the table
    assert sum(tag == "svg" for tag, _ in page.tags) == 8  # loss: two axes, two widths; three curves; bars


def test_the_page_loads_nothing(tmp_path):
    loads_nothing_law(write_report(make_run(tmp_path / "r")).read_text("utf-8"))


@pytest.mark.parametrize(
    "bad",
    [
        '<script src="https://x.org/a.js"></script>',
        '<img src="https://x.org/a.png">',
        '<p style="background:url(https://x.org/a)"></p>',
        '<p onclick="f()"></p>',
        '<link rel="x" href="a.css">',
    ],
)
def test_the_law_catches_pages_that_load(no_charts, tmp_path, bad):
    html = render(read_contents(make_run(tmp_path / "r", steps=3)))
    with pytest.raises(AssertionError):
        loads_nothing_law(html.replace("</main>", bad + "</main>"))


ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}&amp;$x^{$"


def hostile_run(folder: Path) -> Path:
    """Every text of every file is the attack."""
    make_run(folder, steps=30, text=ATTACK, source=ATTACK)
    for name in FILES[3:]:
        content = json.loads((folder / name).read_text("utf-8"))
        (folder / name).write_text(json.dumps(poison(content)), "utf-8")
    (folder / "run.yaml").write_text(ATTACK, "utf-8")
    return folder


def poison(content):
    if isinstance(content, dict):
        return {key: poison(value) for key, value in content.items()} | ({ATTACK: ATTACK} if "rows" not in content else {})
    if isinstance(content, list):
        return [poison(item) for item in content]
    return ATTACK if isinstance(content, str) else content


def inert_law(html: str) -> None:
    loads_nothing_law(html)
    page = Page(html)
    assert ATTACK in page.text
    assert "49" not in re.findall(r"\{\{.*?\}\}|\b49\b", page.text)


def test_text_of_a_user_comes_out_inert(tmp_path):
    inert_law(write_report(hostile_run(tmp_path / "r")).read_text("utf-8"))


def test_the_inert_law_catches_a_page_without_escaping(tmp_path, monkeypatch):
    import jinja2

    real = jinja2.Environment
    monkeypatch.setattr(jinja2, "Environment", lambda **options: real(**(options | {"autoescape": False})))
    with pytest.raises(AssertionError):
        inert_law(render(read_contents(hostile_run(tmp_path / "r"))))


@pytest.mark.parametrize("missing", FILES)
def test_any_file_may_be_missing(no_charts, tmp_path, missing):
    folder = make_run(tmp_path / "r", steps=20)
    (folder / missing).unlink()
    assert "Run report" in page_of(folder).text


@pytest.mark.parametrize("only", FILES)
def test_any_file_may_be_the_only_one(no_charts, tmp_path, only):
    folder = make_run(tmp_path / "r", steps=20)
    for name in FILES:
        if name != only:
            (folder / name).unlink()
    assert "nothing in this run folder" not in page_of(folder).text


def test_an_empty_folder_gives_a_page_that_says_so(tmp_path):
    assert "nothing in this run folder yet" in page_of(tmp_path).text


DAMAGE = [
    b"",
    b"\x00\xff{",
    b"[1, 2]",
    b"null",
    b'{"rows": 3, "model": [1], "yardsticks": {"a": 1}, "sources": "x", "versions": 4, "warnings": "w", "step": {}}',
    b'{"rows": [1], "model": {"a": 1}, "yardsticks": [{}, 2, {"name": "n"}], "event": "train", "step": 1, "loss": 1e999}',
    b"[" * 30_000,
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", DAMAGE)
def test_damaged_files_are_left_out(no_charts, tmp_path, name, content):
    folder = make_run(tmp_path / "r", steps=10)
    (folder / name).write_bytes(content)
    page_of(folder)


@pytest.mark.parametrize("content", DAMAGE[-3:-1])
def test_damaged_numbers_do_not_stop_the_charts(tmp_path, content):
    folder = make_run(tmp_path / "r", steps=10)
    for name in FILES:
        (folder / name).write_bytes(content)
    page_of(folder)


def test_no_folder_is_an_error(tmp_path):
    with pytest.raises(LinnetError, match="not a folder"):
        write_report(tmp_path / "absent")


def write_metrics(folder: Path, lines: list[dict], tail: str = "") -> None:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + tail, "utf-8")


def test_a_step_done_again_after_a_resume_counts_once(tmp_path):
    lines = [{"event": "train", "step": s, "tokens": s, "loss": float(s)} for s in (1, 2, 3, 4)]
    write_metrics(tmp_path, [*lines, {"event": "train", "step": 3, "tokens": 3, "loss": 30.0}])
    run = read_contents(tmp_path)
    assert run.train["step"].tolist() == [1, 2, 3, 4]
    assert run.train["loss"].tolist() == [1, 2, 30, 4]


def test_a_loss_that_is_not_a_number_is_said(tmp_path):
    write_metrics(tmp_path, [{"event": "train", "step": s, "tokens": s, "loss": math.nan if s > 3 else 1.0} for s in range(6)])
    assert "not a number at 2 of 6" in page_of(tmp_path).text
    write_metrics(tmp_path, [{"event": "train", "step": 1, "tokens": 1, "loss": math.inf}])
    page_of(tmp_path)


def test_broken_lines_are_counted(tmp_path):
    good = {"event": "train", "step": 1, "tokens": 1, "loss": 2.0}
    write_metrics(tmp_path, [good], tail='{"event"')
    assert "last line of metrics.jsonl is incomplete" in read_contents(tmp_path).warnings[0]
    write_metrics(tmp_path, [good], tail='oops\n{"event"')
    assert "2 lines of metrics.jsonl" in read_contents(tmp_path).warnings[0]
    assert len(read_contents(tmp_path).train["step"]) == 1


def test_a_lone_surrogate_in_a_sample_does_not_stop_the_page(no_charts, tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"event":"sample","step":1,"prompt":"","text":"a\\ud800b"}\n', "utf-8")
    assert "a?b" in page_of(tmp_path).text


def test_one_point_is_drawn(tmp_path):
    write_metrics(tmp_path, [{"event": "validation", "step": 5, "tokens": 50, "loss": 2.0, "bits_per_byte": 1.0}])
    assert sum(tag == "svg" for tag, _ in page_of(tmp_path).tags) == 4


def test_ids_are_unique_and_references_resolve(tmp_path):
    page = page_of(make_run(tmp_path / "r", steps=40))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    html = (tmp_path / "r" / "report.html").read_text("utf-8")
    assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html)) <= {(i, "") for i in ids} | {("", i) for i in ids}


def test_a_tie_with_a_yardstick_is_called_a_tie(no_charts, tmp_path):
    folder = make_run(tmp_path / "r", steps=10)
    content = json.loads((folder / "evaluation.json").read_text())
    content["yardsticks"][1]["bits_per_byte"] = 2.2
    (folder / "evaluation.json").write_text(json.dumps(content))
    assert "No clear difference to the best yardstick, 5-gram" in page_of(folder).text


def test_many_samples_are_thinned_with_the_first_and_the_last(no_charts, tmp_path):
    write_metrics(tmp_path, [{"event": "sample", "step": s, "prompt": "p", "text": "t"} for s in range(100)])
    page = page_of(tmp_path)
    assert "24 of 100 moments" in page.text
    assert "step 99" in page.text
    assert "step 0" in page.text


def test_a_long_run_makes_a_page_of_bounded_size(tmp_path):
    lines = [
        {"event": "train", "step": s, "tokens": s, "loss": 1 + (s * 7919 % 100) / 100, "learning_rate": 1e-3, "grad_norm": 1.0}
        for s in range(20_000)
    ]
    write_metrics(tmp_path, lines)
    assert write_report(tmp_path).stat().st_size < 400_000


def test_the_same_folder_gives_the_same_page(tmp_path):
    folder = make_run(tmp_path / "r", steps=20)
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


def test_charts_are_well_formed_xml(tmp_path):
    html = render(read_contents(make_run(tmp_path / "r", steps=20)))
    for svg in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL):
        ElementTree.fromstring(svg)
