"""A Hub with one data set, `some/rows`, on this machine: as much of its interface as reading asks for."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
import urllib.parse
from pathlib import Path

COMMIT = "a" * 40
BRANCHES = ("main", COMMIT)


def serve(folder: Path) -> tuple[str, list[str]]:
    """Its address, and a list to which every path is added that somebody asks for."""
    asked: list[str] = []
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    folders = {Path(name).parent.as_posix() for name in files} - {"."}
    entries = [
        {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()} for name, data in files.items()
    ]
    entries += [{"type": "directory", "path": name, "oid": "0" * 40} for name in folders]

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urllib.parse.unquote(urllib.parse.urlparse(self.path).path).strip("/")
            asked.append(path)
            if path == "api/datasets/some/rows":
                self.information("main")
            elif path.startswith("api/datasets/some/rows/revision/"):
                self.information(path.split("/")[-1])
            elif path.startswith("api/datasets/some/rows/tree/"):
                under = "/".join(path.split("/")[6:])
                depth = under.count("/") + 1 if under else 0
                inside = [each for each in entries if str(each["path"]).startswith(f"{under}/" if under else "")]
                self.say(200, json.dumps([each for each in inside if str(each["path"]).count("/") == depth]).encode())
            elif path.startswith("datasets/some/rows/resolve/"):
                self.file(path.split("/")[4], "/".join(path.split("/")[5:]))
            else:
                self.say(404, b'{"error": "Repository not found"}', **{"X-Error-Code": "RepoNotFound"})

        do_GET = do_HEAD = do_POST = answer

        def information(self, revision: str) -> None:
            if revision not in BRANCHES:
                self.say(404, b'{"error": "Invalid rev id"}', **{"X-Error-Code": "RevisionNotFound"})
                return
            known = {
                "id": "some/rows",
                "_id": "1",
                "sha": COMMIT,
                "private": False,
                "gated": False,
                "disabled": False,
                "tags": [],
            }
            self.say(200, json.dumps(known | {"siblings": [{"rfilename": name} for name in files]}).encode())

        def file(self, revision: str, name: str) -> None:
            if revision not in BRANCHES:
                self.say(404, **{"X-Error-Code": "RevisionNotFound"})
            elif name not in files:
                self.say(404, **{"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            else:
                data, wanted = files[name], self.headers.get("Range", "")
                head = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
                if wanted:
                    first, _, last = wanted.removeprefix("bytes=").partition("-")
                    part = data[int(first) : int(last or len(data)) + 1]
                    head["Content-Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
                    self.say(206, part, **head)
                else:
                    self.say(200, data, **head)

        def say(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is said."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}", asked
