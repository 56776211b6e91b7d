"""Files to blocks of text: unpacking, decoding, and saying exactly where a file is broken.

    path -> chunks of bytes (gz and zst unpacked) -> Blocks of whole lines, decoded

Everything streams: a reader holds one block (about 2 MiB) at a time, whatever the size of the file. A file that is
cut short, is not text, or is not in its encoding raises a DataError with the file, the byte offset (after
unpacking) and the line. Deliberately no guessing of encodings: text is UTF-8 unless the spec says otherwise.
"""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from linnet.core.errors import DataError, explain
from linnet.core.extras import need

Encoding = Literal["utf-8", "latin-1", "cp1252"]  # all three keep "\n" one byte, so that blocks can be cut at it

CHUNK = 2**21  # bytes read at a time
LONGEST_LINE = 2**24  # bytes; plain text without a line end for so long is cut at a character
BINARY_PROBE = 8000  # a NUL byte among so many first ones marks a binary file, as in git's buffer_is_binary
COMPRESSED = (".gz", ".zst")


Lines = list[bytes | memoryview]  # some whole lines in pieces, which begin and end anywhere


@dataclass(frozen=True)
class Block:
    """Some whole lines of a file (the last block may lack its line end). `line` is the number of the first, from 1."""

    text: str
    line: int


def chunks(path: Path, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """The unpacked bytes of a file, piece by piece; of one that is not compressed also a part, bytes start … stop - 1.

    Raises DataError for a missing, unreadable, damaged or cut file.
    """
    try:
        with open(path, "rb") as handle:
            if path.suffix == ".gz":
                yield from _gzip_chunks(handle, path)
            elif path.suffix == ".zst":
                yield from _zstd_chunks(handle, path)
            else:
                handle.seek(start)
                while chunk := handle.read(CHUNK if stop is None else min(CHUNK, stop - handle.tell())):
                    yield chunk
    except OSError as error:
        raise DataError(explain(f"{path} cannot be read ({error.strerror or error})", need="a readable file")) from error


def _gzip_chunks(handle: BinaryIO, path: Path) -> Iterator[bytes]:
    done = 0
    try:
        with gzip.GzipFile(fileobj=handle) as unpacked:
            while chunk := unpacked.read(CHUNK):
                done += len(chunk)
                yield chunk
    except EOFError as error:
        raise DataError(_cut(path, "gzip", done)) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            explain(f"{path} is damaged or not gzip ({error}), after {done:,} bytes", need="an undamaged copy")
        ) from error


def _zstd_chunks(handle: BinaryIO, path: Path) -> Iterator[bytes]:
    """Frame by frame, because the library's own stream reader takes a cut file for a finished one."""
    zstandard = need("zstandard", extra="data", to="read .zst files")
    packed = iter(lambda: handle.read(CHUNK // 8), b"")

    def begin() -> _Unpack:
        decompressor = zstandard.ZstdDecompressor().decompressobj()
        return _Unpack(decompressor, decompressor.decompress)

    yield from _unpacked(packed, begin, path, "zstd", zstandard.ZstdError)


def bz2_chunks(path: Path, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """The unpacked bytes of a .bz2 file, piece by piece, stream after stream; or of its streams in bytes start … stop - 1.

    Raises DataError for a missing, unreadable, damaged or cut file.
    """

    def begin() -> _Unpack:
        decompressor = bz2.BZ2Decompressor()
        return _Unpack(decompressor, lambda data: decompressor.decompress(data, CHUNK), lambda: not decompressor.needs_input)

    try:
        with open(path, "rb") as handle:
            handle.seek(start)
            packed = iter(lambda: handle.read(CHUNK // 8 if stop is None else min(CHUNK // 8, stop - handle.tell())), b"")
            yield from _unpacked(packed, begin, path, "bzip2", OSError)
    except OSError as error:
        raise DataError(explain(f"{path} cannot be read ({error.strerror or error})", need="a readable file")) from error


@dataclass(frozen=True)
class _Unpack:
    """One frame on its way: what knows where it ends (`eof`, `unused_data`), and how some more bytes are unpacked.

    more   whether it has still something to give without any
    """

    state: Any
    unpack: Callable[[bytes], bytes]
    more: Callable[[], bool] = lambda: False


def _unpacked(
    packed: Iterable[bytes], begin: Callable[[], _Unpack], path: Path, what: str, damaged: type[Exception]
) -> Iterator[bytes]:
    """The bytes of frames that stand one behind the other. damaged: what unpacking raises for bytes that are none."""
    done = 0
    frame: _Unpack | None = None
    for data in packed:
        while data or (frame is not None and frame.more()):
            frame = frame or begin()
            try:
                chunk = frame.unpack(data)
            except damaged as error:
                got = f"{path} is damaged or not {what} ({error}), after {done:,} bytes"
                raise DataError(explain(got, need="an undamaged copy")) from error
            data = b""
            if frame.state.eof:
                data, frame = frame.state.unused_data, None
            done += len(chunk)
            if chunk:
                yield chunk
    if frame is not None:
        raise DataError(_cut(path, what, done))


def _cut(path: Path, what: str, done: int) -> str:
    return explain(
        f"{path} is cut short: its {what} stream stops after {done:,} unpacked bytes",
        need="the whole file",
        hint="copying it again",
    )


def blocks(
    pieces: Iterable[bytes],
    name: str,
    *,
    encoding: Encoding = "utf-8",
    longest: int | None = None,
    line: int = 1,
    offset: int = 0,
) -> Iterator[Block]:
    """Decoded blocks of whole lines from a stream of bytes; a leading UTF-8 byte-order mark is dropped.

    name      what errors call the stream
    longest   cut a line of more bytes than this at a character; None: lines stay whole however long they are
    line, offset   of the stream's first byte, where it is a part of a file

    Raises DataError for a binary stream (a NUL among the first bytes) and for bytes that are not in `encoding`.
    """
    for lines in byte_blocks(pieces, name, encoding=encoding, longest=longest, begins=not offset):
        data = b"".join(lines)
        text = _decode(data, name, encoding, offset, line)
        yield Block(text if offset else text.removeprefix("\ufeff"), line)
        offset += len(data)
        line += data.count(b"\n")


def byte_blocks(
    pieces: Iterable[bytes], name: str, *, encoding: Encoding = "utf-8", longest: int | None = None, begins: bool = True
) -> Iterator[Lines]:
    """The same blocks as they stand, neither decoded nor joined. `begins`: whether it is the beginning of a file, which tells a binary one."""
    carry: Lines = []
    held = 0
    first = begins
    for piece in pieces:
        if first:
            _refuse_binary(piece[:BINARY_PROBE], name)
            first = False
        end = piece.rfind(b"\n") + 1
        if end:
            whole: Lines = [*carry, memoryview(piece)[:end]]
        elif longest is not None and held + len(piece) > longest:
            joined = b"".join([*carry, piece])
            end = len(joined) if encoding != "utf-8" else character_start(joined)
            whole, piece, end = [joined[:end]], joined[end:], 0
            if not whole[0]:  # not even one character yet
                carry, held = [piece], len(piece)
                continue
        else:
            carry.append(piece)
            held += len(piece)
            continue
        carry = [piece[end:]] if end < len(piece) else []
        held = sum(map(len, carry))
        yield whole
    if carry:
        yield carry


def character_start(data: bytes) -> int:
    """The largest cut of some UTF-8 bytes that does not fall inside a character (their whole length if they are not UTF-8)."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:  # the first byte of a character
            width = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) if back == width else len(data) - back
    return len(data)


def is_binary(start: bytes) -> bool:
    """Whether the first bytes of a file are those of no text in one byte a line end."""
    return start.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in start[:BINARY_PROBE]


def _refuse_binary(start: bytes, name: str) -> None:
    if not is_binary(start):
        return
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(explain(f"{name} is UTF-16 (its byte-order mark says so)", need="UTF-8", hint="iconv -f UTF-16 -t UTF-8"))
    raise DataError(explain(f"{name} is binary: byte {start.index(0):,} is NUL", need="a text file"))


def _decode(data: bytes, name: str, encoding: Encoding, offset: int, line: int) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        bad = line + data.count(b"\n", 0, error.start)
        raise DataError(
            explain(
                f"{name}, line {bad}: byte {offset + error.start:,} (0x{data[error.start]:02x}) is not {encoding}",
                need=f"text in {encoding}",
                hint="encoding: cp1252 or latin-1 in the source, if it is such a text; else mend the line",
            )
        ) from error
