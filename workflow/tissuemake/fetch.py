"""Ground floor: fetch the URLs of a sheet's cell once: resumed, checked, unpacked, with a receipt."""

import errno
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from tissuemake import sources
from tissuemake.errors import InputError
from tissuemake.files import read_json, sha256, write_json
from tissuemake.unpack import unpack

ATTEMPTS = 6  # connections per file, each going on where the last one broke
TIMEOUT_S = (15, 90)  # to connect, to wait for the next bytes
BLOCK = 1 << 20
PROGRESS_S = 5
RECORD = ".fetched.json"
DROPPED = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.HTTPError,
)


@dataclass(frozen=True)
class Download:
    """One URL of a cell and where it goes."""

    url: str
    pin: str
    target: Path

    @property
    def part(self) -> Path:
        """The bytes so far."""
        return self.target.with_name(f".{self.target.name}.part")

    @property
    def version(self) -> Path:
        """What the server called this version of the file (ETag or date) when the first byte came."""
        return self.target.with_name(f".{self.target.name}.version")

    @property
    def is_archive(self) -> bool:
        """Whether the file is to be unpacked."""
        return self.target.name.endswith(sources.ARCHIVES)


def fetch_source(cell: str, receipt: Path) -> None:
    """Fetch every URL of `cell` into ``receipt.with_suffix("")`` and write `receipt`.

    Nothing is raised but a receipt that cannot be written; what went wrong stands in it.
    A file that is there with the right hash is not fetched again. Archives are unpacked into the folder and
    removed. The receipt holds ``status`` (``ok`` or ``failed``), ``files`` (url, path, sha256, bytes), and,
    when failed, ``code``, ``message`` and ``remedy``. An unpinned URL gets ``pin``: the text to put in the
    sheet so that the same bytes come next time.
    """
    receipt = Path(receipt)
    folder = receipt.with_suffix("")
    files: list[dict] = []
    try:
        downloads = _plan(cell, folder)
        known = _known(folder)
        for download in downloads:
            entry = _there_already(download, known.get(download.url)) or _fetch(download)
            files.append(entry)
            write_json({"files": [*_others(known, files), *files]}, folder / RECORD)
        report = {"status": "ok", "files": files, "message": _pin_advice(files), "remedy": ""}
    except Exception as error:  # the receipt is the report; whoever reads it decides what stops
        if not isinstance(error, InputError):
            traceback.print_exc(file=sys.stderr)
        failure = _as_input_error(error, cell, folder)
        remedy = f"{failure.remedy} Then delete {receipt} and run again."
        report = {"status": "failed", "files": files, "code": failure.code}
        report |= {"message": failure.message, "remedy": remedy}
    write_json({"cell": cell, **report}, receipt)


def _plan(cell: str, folder: Path) -> list[Download]:
    downloads = []
    for part in cell.split():
        url, pin = sources.split_url(part)
        downloads.append(Download(url, pin.lower(), folder / sources.file_name(url)))
    names = [download.target.name for download in downloads]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                "same_file_name",
                f"Two URLs of '{cell}' end in the same file name '{name}'.",
                "Give each URL a file name of its own, or fetch them by hand into one folder.",
            )
    folder.mkdir(parents=True, exist_ok=True)
    return downloads


def _known(folder: Path) -> dict[str, dict]:
    """What earlier runs fetched, by URL; kept in the folder because a new run deletes the receipt."""
    record = folder / RECORD
    return {entry["url"]: entry for entry in read_json(record)["files"]} if record.is_file() else {}


def _others(known: dict[str, dict], files: list[dict]) -> list[dict]:
    done = {entry["url"] for entry in files}
    return [entry for url, entry in known.items() if url not in done]


def _there_already(download: Download, entry: dict | None) -> dict | None:
    """The record of an earlier fetch, when its files still are what it says."""
    if entry is None:
        if not download.is_archive and download.pin and download.target.is_file():
            return _entry(download, download.pin) if sha256(download.target) == download.pin else None
        return None
    if download.pin and entry["sha256"] != download.pin:
        return None
    if download.is_archive:
        folder = download.target.parent
        whole = all(_has_size(folder / name, size) for name, size in entry["unpacked"].items())
    else:
        whole = download.target.is_file() and sha256(download.target) == entry["sha256"]
    return entry if whole else None


def _has_size(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size == size


def _fetch(download: Download) -> dict:
    _download(download)
    found = sha256(download.part)
    if download.pin and found != download.pin:
        _forget(download)
        raise InputError(
            "wrong_sha256",
            f"{download.url} has sha256 {found}, not {download.pin} as pinned in the sheet.",
            "The file on the server changed or was damaged on the way: "
            "check the hash with its publisher and correct the sheet.",
        )
    download.part.replace(download.target)
    download.version.unlink(missing_ok=True)
    entry = _entry(download, found)
    if download.is_archive:
        folder = download.target.parent
        try:
            unpacked = unpack(download.target, folder)
        finally:
            download.target.unlink(missing_ok=True)
        entry["unpacked"] = {str(path.relative_to(folder)): path.stat().st_size for path in unpacked}
        entry["path"] = str(folder)
    return entry


def _entry(download: Download, digest: str) -> dict:
    entry = {"url": download.url, "path": str(download.target), "sha256": digest}
    entry["bytes"] = download.target.stat().st_size
    if not download.pin:
        entry["pin"] = f"{download.url}#sha256={digest}"
    return entry


def _pin_advice(files: list[dict]) -> str:
    pins = [entry["pin"] for entry in files if "pin" in entry]
    return f"Not pinned; to get the same bytes next time write: {' '.join(pins)}" if pins else ""


def _forget(download: Download) -> None:
    download.part.unlink(missing_ok=True)
    download.version.unlink(missing_ok=True)


def _download(download: Download) -> None:
    """Bring the whole file into ``download.part``, over as many connections as it takes."""
    with requests.Session() as session:
        # Retry answers to busy servers and failed connections; a body cut short is resumed by the loop below.
        retry = Retry(total=4, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504))
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _one_connection(session, download)
                return
            except DROPPED as error:
                if attempt == ATTEMPTS:
                    raise
                have = download.part.stat().st_size if download.part.exists() else 0
                wait = min(0.25 * 2**attempt, 30)
                _say(
                    f"{download.url}: {type(error).__name__} after {have / 1e6:.1f} MB; again in {wait:.1f} s"
                )
                time.sleep(wait)


def _one_connection(session: requests.Session, download: Download) -> None:
    have = _resumable_bytes(download)
    # identity: a server that compresses on the way would change the bytes whose hash is pinned.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if download.version.exists():
            headers["If-Range"] = download.version.read_text()
    with session.get(download.url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
        if answer.status_code == 416:  # nothing after what we have, or another file: begin anew
            _forget(download)
            raise urllib3.exceptions.ProtocolError("the server refused to go on")
        answer.raise_for_status()
        _refuse_web_page(answer, download)
        resumed = answer.status_code == 206
        if not resumed:
            _note_version(answer, download)
        start = have if resumed else 0
        total = start + int(answer.headers.get("Content-Length") or 0)
        with download.part.open("ab" if resumed else "wb") as handle:
            for block in _with_progress(answer, download.url, start, total):
                handle.write(block)


def _resumable_bytes(download: Download) -> int:
    """Bytes to go on from; none when nothing could tell that the file on the server is still the same."""
    if not download.part.exists() or not (download.pin or download.version.exists()):
        return 0
    return download.part.stat().st_size


def _note_version(answer: requests.Response, download: Download) -> None:
    etag = answer.headers.get("ETag", "")
    version = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", "")
    if version:
        download.version.write_text(version)
    else:
        download.version.unlink(missing_ok=True)


def _refuse_web_page(answer: requests.Response, download: Download) -> None:
    kind = answer.headers.get("Content-Type", "")
    if kind.startswith("text/html") and download.target.suffix.lower() not in (".html", ".htm"):
        raise InputError(
            "web_page",
            f"{download.url} answers with a web page ({kind}), not with a file.",
            "Use the direct link to the file; a page that asks for a login or a click cannot be fetched.",
        )


def _with_progress(answer: requests.Response, url: str, start: int, total: int) -> Iterator[bytes]:
    done, spoke = start, time.monotonic()
    _say(f"{url}: {'going on' if start else 'begin'} at {start / 1e6:.1f} of {total / 1e6:.1f} MB")
    for block in answer.raw.stream(BLOCK, decode_content=False):
        yield block
        done += len(block)
        if time.monotonic() - spoke > PROGRESS_S:
            spoke = time.monotonic()
            share = f" ({100 * done / total:.0f} %)" if total else ""
            _say(f"{url}: {done / 1e6:.1f} MB{share}")
    _say(f"{url}: {done / 1e6:.1f} MB, done")


def _say(line: str) -> None:
    print(f"fetch {line}", file=sys.stderr, flush=True)


def _as_input_error(error: Exception, cell: str, folder: Path) -> InputError:
    if isinstance(error, InputError):
        return error
    if isinstance(error, requests.exceptions.HTTPError):
        answer = error.response
        what = f"{answer.url} answered {answer.status_code} {answer.reason}."
        return InputError(
            "http_error", what, "Correct the URL in the sheet, or ask its publisher for access."
        )
    if isinstance(error, (*DROPPED, requests.exceptions.RequestException)):
        what = f"'{cell}' could not be fetched in {ATTEMPTS} attempts ({error})."
        remedy = (
            "Check the network, the proxy and the URL; what came so far is kept and the next run goes on."
        )
        return InputError("no_connection", what, remedy)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = f"No space left on the device while fetching '{cell}' into {folder}."
        return InputError("disk_full", what, f"Free space on the file system of {folder}.")
    what = f"'{cell}' could not be fetched: {type(error).__name__}: {error}."
    return InputError("unexpected", what, "Report this with the log, and fetch the file by hand meanwhile.")
