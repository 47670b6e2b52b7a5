"""Serve one delivery to a viewer in the browser of this machine: named files only, parts of them, to one site."""

import re
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tissuemake.reporting.verify import MANIFEST, read_manifest, stays_inside

BLOCK = 1 << 20
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class DeliveryHandler(BaseHTTPRequestHandler):
    """Answer GET and HEAD for the files that the manifest names, whole or in part (RFC 9110, section 14).

    Only pages of `site` may read the answers (CORS): while this runs, other pages in the same browser cannot.
    """

    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments, folder: Path, names: frozenset[str], site: str) -> None:
        self.folder, self.names, self.site = folder, names, site
        super().__init__(*arguments)

    def do_OPTIONS(self) -> None:
        """Say what may be asked, as browsers want to know before they ask for a part."""
        self.send_response(HTTPStatus.NO_CONTENT)
        self.send_header("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
        self.send_header("Access-Control-Allow-Headers", "Range")
        # A page of the web asks a server of this machine.
        self.send_header("Access-Control-Allow-Private-Network", "true")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        """Answer without the bytes."""
        self._answer(body=False)

    def do_GET(self) -> None:
        """Answer with a file or the part of it that was asked for."""
        self._answer(body=True)

    def end_headers(self) -> None:
        """Every answer says who may read it."""
        self.send_header("Access-Control-Allow-Origin", self.site)
        self.send_header("Access-Control-Expose-Headers", "Accept-Ranges, Content-Length, Content-Range")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent: a view asks thousands of times."""

    def _answer(self, *, body: bool) -> None:
        name = unquote(urlsplit(self.path).path).removeprefix("/")
        if (
            name not in self.names
            or not stays_inside(self.folder, name)
            or not (self.folder / name).is_file()
        ):
            return self._refuse(HTTPStatus.NOT_FOUND)
        size = (self.folder / name).stat().st_size
        part = byte_range(self.headers.get("Range"), size)
        if part is None:
            return self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"bytes */{size}")
        first, last = part
        whole = "Range" not in self.headers
        self.send_response(HTTPStatus.OK if whole else HTTPStatus.PARTIAL_CONTENT)
        self.send_header(
            "Content-Type", "application/json" if name.endswith(".json") else "application/octet-stream"
        )
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        if not whole:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        return self._send(self.folder / name, first, last) if body else None

    def _refuse(self, status: HTTPStatus, content_range: str = "") -> None:
        self.send_response(status)
        if content_range:
            self.send_header("Content-Range", content_range)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, path: Path, first: int, last: int) -> None:
        left = last - first + 1
        with path.open("rb") as source:
            source.seek(first)
            while left > 0 and (block := source.read(min(BLOCK, left))):
                self.wfile.write(block)
                left -= len(block)


def byte_range(asked: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte of what a ``Range`` header asks of a file; None where it has no such part."""
    if asked is None:
        return 0, size - 1
    found = RANGE.fullmatch(asked.strip())
    if not found or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:  # the last so many bytes, where the directory of a zip lies
        return (max(0, size - int(last)), size - 1) if int(last) and size else None
    start, end = int(first), min(int(last) if last else size - 1, size - 1)
    return (start, end) if start <= end else None


def delivery_server(folder: Path, port: int, site: str) -> ThreadingHTTPServer:
    """Return a server of a delivery on this machine alone (127.0.0.1); ``serve_forever`` runs it.

    Raises
    ------
    OSError, ValueError
        When the folder has no manifest of use, or the port is taken.
    """
    names = frozenset({MANIFEST, *(entry["path"] for entry in read_manifest(folder)["outputs"])})
    handler = partial(DeliveryHandler, folder=folder, names=names, site=site)
    return ThreadingHTTPServer(("127.0.0.1", port), handler)
