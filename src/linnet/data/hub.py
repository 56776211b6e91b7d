"""Data sets of the Hugging Face Hub, streamed: rows are read as they are asked for, and nothing is downloaded as a whole.

    {kind: hub, dataset: HuggingFaceFW/fineweb, config: sample-10BT, split: train, limit: 100000}

The library `datasets` reads them; it runs no code of a data set (what needs a loading script is refused). A folder that holds
the files of a data set is one, too. A set on the Hub is known by its commit: the one that `revision` stands for is found out
once, and every part is read from that.

A set of several files is read in several portions. `IterableDataset.shard` divides the files in order, so that the portions one
after the other are the whole; a `limit` counts from the beginning, and leaves one portion.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from linnet.core.errors import DataError, explain
from linnet.core.extras import need
from linnet.core.names import nearest
from linnet.data.files import encoded, files_in
from linnet.data.formats import Rows, text_field
from linnet.data.look import Texts
from linnet.data.portions import MANY
from linnet.data.sources import Described, Document, Portion, as_label, digest_of_files

BATCH = 1024  # rows read at a time
COMMIT = re.compile(r"[0-9a-f]{40}")
PURPOSE = "read data sets of the Hugging Face Hub"


class Hub(Described):
    """A data set of the Hugging Face Hub, or a folder with the files of one: a row a document.

    dataset    its name there, such as HuggingFaceFW/fineweb, or a folder
    config     which of its subsets; default: the only one, or the one that it calls its default
    split      which of its splits
    text       the column that holds the text; default: the first known one
    revision   a branch, a tag or a commit; default: the newest
    limit      only so many rows, from the beginning; default: all
    """

    kind: Literal["hub"] = "hub"
    dataset: str = Field(min_length=1)
    config: str | None = None
    split: str = "train"
    text: str | None = None
    revision: str | None = None
    limit: int | None = Field(default=None, gt=0)

    @classmethod
    def examples(cls) -> tuple[Hub, ...]:
        return (
            cls(dataset="roneneldan/TinyStories"),
            cls(
                dataset="HuggingFaceFW/fineweb",
                config="sample-10BT",
                split="test",
                text="body",
                revision="v1.4.0",
                limit=100_000,
                name="web",
                weight=2.0,
                licence="ODC-By-1.0",
                part="train",
            ),
        )

    def label(self) -> str:
        return self.name or as_label(Path(self.dataset).name) or "hub"

    def documents(self, *, seed: int = 0) -> Iterator[Document]:
        for where, text in self.rows(self.portion(0, 1, self.commit())):
            yield Document(text, self.label(), f"{self.dataset}{where}")

    def portions(self) -> list[Portion]:
        commit = self.commit()
        rows = self.opened(commit)
        n = min(rows.num_shards, MANY) if self.limit is None else 1
        column = self.column(rows)
        files = self.folder_files()
        size = sum(file.stat().st_size for file in files) if files is not None else 0
        return [Portion(self.portion(number, n, commit, column), size // n) for number in range(n)]

    def portion(self, number: int, of: int, commit: str | None, column: str | None = None) -> dict[str, Any]:
        """What one portion is."""
        return {"number": number, "of": of, "commit": commit, "column": column}

    def texts(self, portion: Any = None, *, seed: int = 0) -> Iterator[Texts]:
        yield from encoded(self.rows(portion), self.dataset)

    def rows(self, portion: dict[str, Any]) -> Rows:
        """(where, text) of each row of a portion. Raises DataError."""
        dataset = self.opened(portion["commit"])
        column = portion["column"] or self.column(dataset)
        if portion["of"] > 1:
            dataset = dataset.shard(num_shards=portion["of"], index=portion["number"])
        part = f" of part {portion['number'] + 1} of {portion['of']}" if portion["of"] > 1 else ""
        for number, text in enumerate(itertools.islice(self.values(dataset, column, part), self.limit), 1):
            if not isinstance(text, str):
                got = f"{self.dataset}, row {number:,}{part}: its {column!r} is {'null' if text is None else type(text).__name__}"
                raise DataError(explain(got, need="a text there", hint="another `text:` in the source"))
            yield f", row {number:,}{part}", text

    def values(self, dataset: Any, column: str | None, part: str) -> Iterator[Any]:
        """What stands in a column, row by row."""
        number = 0
        if column is None:
            return
        try:
            for batch in dataset.select_columns([column]).iter(batch_size=min(BATCH, self.limit or BATCH)):
                yield from batch[column]
                number += len(batch[column])
        except Exception as error:  # of a file system, of a network, of any reader of files that `datasets` has
            got = f"{self.dataset}, behind row {number:,}{part}: {_first_line(error)}"
            raise DataError(explain(got, need="rows that can be read", hint="the same again, if it was the network")) from error

    def column(self, dataset: Any) -> str | None:
        """The column that holds the text; None where there are no rows. Raises DataError."""
        if dataset.features is not None:
            types = {name: str(getattr(feature, "dtype", "")) for name, feature in dataset.features.items()}
        else:  # a format that does not say before it is read
            try:
                first = next(iter(dataset), None)
            except Exception as error:
                raise DataError(explain(f"{self.dataset}: {_first_line(error)}", need="rows that can be read")) from error
            if first is None:
                return None
            types = {name: "string" if isinstance(value, str) else type(value).__name__ for name, value in first.items()}
        textual = [name for name, kind in types.items() if kind in ("string", "large_string", "string_view")]
        column = text_field(textual if self.text is None else list(types), self.dataset, self.text, all_names=list(types))
        if column not in textual:
            got = f"{self.dataset}: column {column!r} holds {types[column] or 'no text'}"
            raise DataError(explain(got, need=f"text (columns of text: {', '.join(textual) or 'none'})"))
        return column

    def folder(self) -> Path | None:
        """The folder, where it is one."""
        place = Path(self.dataset).expanduser()
        return place if place.is_dir() else None

    def folder_files(self) -> list[Path] | None:
        """The files of the folder, where it is one."""
        folder = self.folder()
        return None if folder is None else sorted(files_in(folder))

    def commit(self) -> str | None:
        """The commit that `revision` stands for; None for a folder, and where the Hub cannot be asked."""
        if self.folder() is not None or COMMIT.fullmatch(self.revision or ""):
            return self.revision
        hub = need("huggingface_hub", extra="hub", to=PURPOSE)
        try:
            found: str | None = hub.HfApi().dataset_info(self.dataset, revision=self.revision).sha
        except Exception:  # what is wrong is said when it is opened
            return None
        return found

    def digest(self, *, seed: int = 0) -> str | None:
        need("datasets", extra="hub", to=PURPOSE)
        files = self.folder_files()
        return self.commit() if files is None else digest_of_files(files)

    def opened(self, commit: str | None) -> Any:
        """An IterableDataset. Raises DataError."""
        datasets = need("datasets", extra="hub", to=PURPOSE)
        place = str(self.folder() or self.dataset)
        revision = None if self.folder() is not None else commit or self.revision
        try:
            return datasets.load_dataset(place, self.config, split=self.split, revision=revision, streaming=True)
        except Exception as error:
            raise DataError(self.refusal(error, place, revision)) from error

    def refusal(self, error: Exception, place: str, revision: str | None) -> str:
        """What `datasets` says, in other words."""
        datasets = need("datasets", extra="hub", to=PURPOSE)
        name, said = self.dataset, _first_line(error)
        known: list[str] = []
        if isinstance(error, datasets.exceptions.DatasetNotFoundError):
            if "gated" in str(error) or "private" in str(error):
                return explain(f"{name} is only for those who were given access", need="a login", hint="hf auth login")
            at = f" at {revision}" if revision else ""
            return explain(
                f"there is no data set {name}{at} on the Hub", need="owner/name, or a folder", hint="looking it up there"
            )
        if isinstance(error, ConnectionError):
            return explain(
                f"the Hub cannot be reached, to open {name} ({said})", need="a network", hint="a folder with a copy of it"
            )
        if isinstance(error, FileNotFoundError):
            return explain(
                f"{name} holds no data that can be read ({said})", need="a data set, or a folder with the files of one"
            )
        if isinstance(error, ValueError) and ("BuilderConfig" in said or "Config name" in said):
            with suppress(Exception):
                known = datasets.get_dataset_config_names(place, revision=revision)
            got = f"{name} has no config {self.config!r}" if self.config else f"{name} has several configs, and none was named"
            hint = nearest(self.config, known) if self.config and known else ""
            return explain(got, need=f"one of: {', '.join(known)}" if known else said, hint=hint)
        if isinstance(error, ValueError) and "split" in said:
            with suppress(Exception):
                known = datasets.get_dataset_split_names(place, self.config, revision=revision)
            hint = nearest(self.split, known) if known else ""
            return explain(
                f"{name} has no split {self.split!r}", need=f"one of: {', '.join(known)}" if known else said, hint=hint
            )
        return explain(
            f"{name} cannot be opened ({type(error).__name__}: {said})", need="a data set, or a folder with the files of one"
        )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
