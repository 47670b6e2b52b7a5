"""Fetching, against a server on loopback that resumes, breaks off, lies and refuses."""

import hashlib
import io
import tarfile
import threading
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tissuemake import fetch, sources
from tissuemake.files import read_json
from tissuemake.unpack import unpack

BODY = bytes(range(256)) * 4000


@dataclass
class Site:
    """What the server offers and what it was asked for."""

    files: dict = field(default_factory=dict)
    breaks: Counter = field(default_factory=Counter)  # how often a path still breaks off half-way
    ignores_range: bool = False
    requests: list = field(default_factory=list)
    address: str = ""


def _handler(site: Site):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range", "")
            site.requests.append((self.path, asked))
            if self.path not in site.files:
                self.send_error(404)
                return
            body = site.files[self.path]
            etag = f'"{hashlib.md5(body).hexdigest()}"'
            same = self.headers.get("If-Range", etag) == etag
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and same else 0
            start = 0 if site.ignores_range else start
            self.send_response(206 if start else 200)
            kind = "text/html" if self.path.startswith("/login") else "application/octet-stream"
            self.send_header("Content-Type", kind)
            self.send_header("ETag", etag)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            if site.breaks[self.path]:
                site.breaks[self.path] -= 1
                self.wfile.write(body[start : start + len(body) // 2])
                self.close_connection = True
                return
            self.wfile.write(body[start:])

        def log_message(self, *_):
            pass

    return Handler


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    site.address = f"http://127.0.0.1:{server.server_port}"
    yield site
    server.shutdown()
    server.server_close()


def run(cell, tmp_path):
    receipt = tmp_path / sources.receipt(cell, "downloads_of_test")
    fetch.fetch_source(cell, receipt)
    return read_json(receipt), receipt.with_suffix("")


def digest(body):
    return hashlib.sha256(body).hexdigest()


def test_pinned_file_lies_where_the_sheet_expects_it(site, tmp_path):
    site.files["/a/x.h5"] = BODY
    cell = f"{site.address}/a/x.h5#sha256={digest(BODY)}"
    receipt, _ = run(cell, tmp_path)
    assert receipt["status"] == "ok"
    assert (tmp_path / sources.local_path(cell, "downloads_of_test")).read_bytes() == BODY
    assert "pin" not in receipt["files"][0]


def test_unpinned_file_says_what_to_pin(site, tmp_path):
    site.files["/x.h5"] = BODY
    receipt, _ = run(f"{site.address}/x.h5", tmp_path)
    assert f"{site.address}/x.h5#sha256={digest(BODY)}" in receipt["message"]
    assert receipt["files"][0]["bytes"] == len(BODY)


def test_a_dropped_connection_is_resumed_not_restarted(site, tmp_path):
    site.files["/x.h5"] = BODY
    site.breaks["/x.h5"] = 1
    receipt, folder = run(f"{site.address}/x.h5", tmp_path)
    assert receipt["status"] == "ok"
    assert (folder / "x.h5").read_bytes() == BODY
    assert site.requests[1] == ("/x.h5", f"bytes={len(BODY) // 2}-")


def test_server_without_ranges_starts_over(site, tmp_path):
    site.files["/x.h5"] = BODY
    site.breaks["/x.h5"] = 1
    site.ignores_range = True
    receipt, folder = run(f"{site.address}/x.h5#sha256={digest(BODY)}", tmp_path)
    assert receipt["status"] == "ok"
    assert (folder / "x.h5").read_bytes() == BODY


def test_two_versions_are_never_glued_together(site, tmp_path, monkeypatch):
    site.files["/x.h5"] = BODY
    site.breaks["/x.h5"] = 1
    monkeypatch.setattr(fetch, "ATTEMPTS", 1)
    cell = f"{site.address}/x.h5"
    assert run(cell, tmp_path)[0]["status"] == "failed"
    site.files["/x.h5"] = newer = BODY[::-1]
    receipt, folder = run(cell, tmp_path)
    assert receipt["status"] == "ok"
    assert (folder / "x.h5").read_bytes() == newer


def test_what_is_there_is_not_fetched_again(site, tmp_path):
    site.files["/x.h5"] = BODY
    site.files["/t.tar.gz"] = tar({"spatial/a.csv": b"1"})
    cell = f"{site.address}/x.h5 {site.address}/t.tar.gz"
    run(cell, tmp_path)
    receipt, folder = run(cell, tmp_path)
    assert receipt["status"] == "ok"
    assert len(site.requests) == 2
    (folder / "x.h5").write_bytes(b"damaged")
    run(cell, tmp_path)
    assert [path for path, _ in site.requests[2:]] == ["/x.h5"]


def test_wrong_hash_is_removed_and_fails(site, tmp_path):
    site.files["/x.h5"] = BODY
    receipt, folder = run(f"{site.address}/x.h5#sha256={'0' * 64}", tmp_path)
    assert (receipt["status"], receipt["code"]) == ("failed", "wrong_sha256")
    assert digest(BODY) in receipt["message"] and receipt["remedy"]
    assert not list(folder.iterdir())


def test_absent_file_fails_with_the_servers_answer(site, tmp_path):
    receipt, _ = run(f"{site.address}/none.h5", tmp_path)
    assert (receipt["status"], receipt["code"]) == ("failed", "http_error")
    assert "404" in receipt["message"] and "/none.h5" in receipt["message"]


def test_nobody_listening_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "ATTEMPTS", 1)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetch, "Retry", lambda **_: 0)
    receipt, _ = run("http://127.0.0.1:9/x.h5", tmp_path)
    assert (receipt["status"], receipt["code"]) == ("failed", "no_connection")


def test_a_login_page_is_not_data(site, tmp_path):
    site.files["/login/x.h5"] = b"<html>"
    receipt, _ = run(f"{site.address}/login/x.h5", tmp_path)
    assert receipt["code"] == "web_page"


def tar(members, link=None):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as handle:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            handle.addfile(info, io.BytesIO(body))
        if link:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            handle.addfile(info)
    return buffer.getvalue()


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as handle:
        for name, body in members.items():
            handle.writestr(name, body)
    return buffer.getvalue()


@pytest.mark.parametrize(("name", "pack"), [("s.tar.gz", tar), ("s.zip", zipped)])
def test_archives_are_unpacked_beside_the_other_files(site, tmp_path, name, pack):
    site.files[f"/{name}"] = pack({"spatial/a.csv": b"1"})
    site.files["/m.h5"] = BODY
    receipt, folder = run(f"{site.address}/m.h5 {site.address}/{name}", tmp_path)
    assert receipt["status"] == "ok"
    seen = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.name[0] != "."}
    assert seen == {"m.h5", "spatial", "spatial/a.csv"}


def test_a_zip_may_name_its_own_folder(tmp_path):
    (tmp_path / "s.zip").write_bytes(zipped({"./": b"", "a.csv": b"1"}))
    assert unpack(tmp_path / "s.zip", tmp_path / "out") == [tmp_path / "out" / "a.csv"]


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("s.tar.gz", tar({"good": b"1", "../../evil": b"1"}), "unsafe_archive"),
        ("s.tar.gz", tar({"good": b"1"}, link="/etc/passwd"), "unsafe_archive"),
        ("s.zip", zipped({"good": b"1", "../../evil": b"1"}), "unsafe_archive"),
        ("s.zip", zipped({"/evil": b"1"}), "unsafe_archive"),
        ("s.tar.gz", tar({"good": BODY})[:600], "broken_archive"),
        ("s.zip", b"no zip", "broken_archive"),
    ],
)
def test_hostile_and_broken_archives_leave_nothing(site, tmp_path, name, body, code):
    site.files[f"/{name}"] = body
    receipt, folder = run(f"{site.address}/{name}", tmp_path)
    assert (receipt["status"], receipt["code"]) == ("failed", code)
    assert not list(folder.rglob("*"))
    assert not list(tmp_path.rglob("evil"))


def test_two_urls_of_one_name_are_refused(site, tmp_path):
    receipt, _ = run(f"{site.address}/a/x.h5 {site.address}/b/x.h5", tmp_path)
    assert receipt["code"] == "same_file_name"
