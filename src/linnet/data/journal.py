"""What is done of a long piece of work, a line at a time, so that whoever was killed goes on where it stopped.

    {"key": "read/0/3/1", "name": "wiki.00003.0001", …}

A line is written after the files that it speaks of have their names; a line that was cut by a kill, or damaged, ends the journal.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import psutil

Entry = dict[str, Any]
FORGET = "forget"


def boot() -> str:
    """A text that changes when the machine starts anew; then files that were not synced may be lost."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(round(psutil.boot_time(), -1))  # elsewhere: when it was started, to ten seconds


class Journal:
    """A file of lines that is read when it is opened, and only added to.

    rebooted   whether the machine was started anew since the last line
    """

    def __init__(self, path: Path) -> None:
        self.entries: dict[str, Entry] = {}
        lines = path.read_bytes().split(b"\n") if path.exists() else []
        whole = 0
        for line in lines[:-1]:
            try:
                entry = json.loads(line)
                self._note(entry.pop("key"), entry)
            except (ValueError, TypeError, AttributeError, KeyError):
                break  # what a power cut left; everything behind it is done again
            whole += len(line) + 1
        self.rebooted = bool(self.entries) and self.entries.get("boot") != {"id": boot()}
        self.handle = open(path, "ab")  # noqa: SIM115
        self.handle.truncate(whole)
        if self.entries.get("boot") != {"id": boot()}:
            self.add("boot", {"id": boot()})

    def _note(self, key: str, entry: Entry) -> None:
        if key == FORGET:
            self.entries = {key: kept for key, kept in self.entries.items() if not key.startswith(entry["prefix"])}
        else:
            self.entries[key] = entry

    def forget(self, prefix: str) -> None:
        """All whose keys begin so is not done any longer: its files are about to become others."""
        self.add(FORGET, {"prefix": prefix})

    def add(self, key: str, entry: Entry) -> None:
        """Something is done."""
        self._note(key, entry)
        self.handle.write(json.dumps({"key": key, **entry}).encode("utf-8") + b"\n")
        self.handle.flush()
        os.fsync(self.handle.fileno())

    def close(self) -> None:
        self.handle.close()
