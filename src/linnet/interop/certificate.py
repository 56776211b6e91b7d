"""The certificate of an exported folder: its lines, written beside it or a reason to refuse it. certify.py finds what they say.

A line that nobody could check is said to be so; a line that failed refuses the export.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from linnet.core.errors import LinnetError, listing
from linnet.core.files import sha256_file, write_json, write_text

Verdict = Literal["equal", "differs", "not checked", "does not apply"]


class CertificateError(LinnetError):
    """An export that is not the model that it was made from, or that nobody could compare; says which line."""


@dataclass(frozen=True)
class Line:
    """One claim: what, who read the folder back, how it came out, and what was found."""

    what: str
    reader: str
    verdict: Verdict
    found: str


@dataclass
class Certificate:
    """All lines, and what they were made with."""

    lines: list[Line] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, what: str, reader: str, problem: str | None, found: str) -> None:
        """A line that was checked; `problem` says what differs, None where nothing does."""
        self.lines.append(Line(what, reader, "equal" if problem is None else "differs", found if problem is None else problem))

    def left(self, what: str, reader: str, why: str, verdict: Verdict = "not checked") -> None:
        """A line that was not checked."""
        self.lines.append(Line(what, reader, verdict, why))

    def demand(self, *, unchecked: bool) -> None:
        """Raise CertificateError where a line failed, or was not checked unless that is allowed."""
        failed = [line for line in self.lines if line.verdict == "differs"]
        if failed:
            said = [f"{line.what}, read by {line.reader}: {line.found}" for line in failed]
            raise CertificateError(
                listing(said, "the export is not the model, and nothing was left of it") + "\n\n" + self.plain()
            )
        open_ = [line for line in self.lines if line.verdict == "not checked"]
        if open_ and not unchecked:
            said = [f"{line.what}: {line.found}" for line in open_]
            hint = 'pip install "linnet[transformers]", or --unchecked, which says so in the certificate'
            raise CertificateError(listing([*said, f"try: {hint}"], "lines of the certificate could not be checked"))

    def plain(self) -> str:
        """The lines as text, for messages."""
        return "\n".join(f"  {line.verdict:14s} {line.what:9s} {line.reader:12s} {line.found}" for line in self.lines)

    def write(self, folder: Path, *, name: str) -> None:
        """certificate.json, certificate.md: what was found, and the SHA-256 of the files that it was found of."""
        files = {path.name: sha256_file(path) for path in sorted(folder.iterdir()) if path.is_file()}
        write_json(folder / "certificate.json", self.facts | {"lines": [asdict(line) for line in self.lines], "files": files})
        rows = [f"| {line.what} | {line.reader} | {line.verdict} | {escaped(line.found)} |" for line in self.lines]
        open_ = [line.what for line in self.lines if line.verdict == "not checked"]
        warning = [f"**Not checked: {', '.join(open_)}.** The export was asked for without.", ""] if open_ else []
        facts = [f"- {word}: {text}" for word, text in self.facts.items()]
        hashes = [f"- `{file}` {digest}" for file, digest in files.items()]
        lines = [
            f"# Certificate of {name}", "", "The folder was read back and compared with the run that it was made from.", "", *warning,
            "| what | read by | | found |", "|---|---|---|---|", *rows, "", *facts, "", "SHA-256:", "", *hashes, "",
        ]  # fmt: skip
        write_text(folder / "certificate.md", "\n".join(lines))


def escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
