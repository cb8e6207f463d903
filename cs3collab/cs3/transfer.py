"""Moving bytes to and from a gateway's data endpoint. What came of it is said exactly; `writing` and `files` judge it."""

from __future__ import annotations

import enum
import hashlib
import io
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from cs3.storage.provider.v1beta1 import provider_api_pb2 as api

from cs3collab.cs3 import convert
from cs3collab.cs3.gateway import TOKEN_KEY
from cs3collab.cs3.session import Session
from cs3collab.cs3.status import Unexplained
from cs3collab.errors import (
    CollabError,
    Corrupt,
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    Overloaded,
    StorageUnavailable,
    Unsupported,
)
from cs3collab.types import Etag, Ref

log = logging.getLogger(__name__)

_TRANSFER_KEY: Final = "X-Reva-Transfer"
_SLOWEST_BYTES_PER_S: Final = 2**20
"""Transfers slower than this and the call's own time-out are given up."""
_CHUNK_BYTES: Final = 256 * 1024
_EMPTY_SHA1: Final = hashlib.sha1(usedforsecurity=False).hexdigest()
_UNCHECKED_S: Final = 3600.0
"""How long it is remembered that a storage refused an upload for its checksum: it may be one of several behind its gateway."""


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes to upload, a piece at a time: they need not be in memory.

    ``pieces`` begins anew with each call; together they are ``size`` bytes, of which ``sha1`` is the hexadecimal SHA-1.
    """

    size: int
    sha1: str
    pieces: Callable[[], AsyncIterator[bytes]]

    @classmethod
    def of(cls, content: bytes) -> Source:
        """Takes a millisecond for each megabyte or two."""
        sha1 = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        return cls(len(content), sha1, lambda: _split(content))

    async def checked(self) -> AsyncIterator[bytes]:
        """The pieces. Raises `Corrupt` rather than giving more or less than ``size``."""
        left = self.size
        async for piece in self.pieces():
            left -= len(piece)
            if left < 0:
                break
            yield piece
        if left:
            raise Corrupt("what is uploaded has another length than was said", hint="upload it again from the start")


@dataclass(frozen=True, slots=True)
class Upload:
    """What is wanted of one upload."""

    content: Source
    if_match: Etag | None = None
    if_absent: bool = False
    lock_id: str = ""
    lock_holder: str = ""
    keep_version: bool = True

    @property
    def conditional(self) -> bool:
        return self.if_absent or self.if_match is not None


@dataclass(frozen=True, slots=True)
class Ticket:
    """Where to send or fetch the bytes. Holds a secret. ``checked``: the storage knows the checksum of what is to come."""

    url: str
    token: str
    checked: bool = True


class Sent(enum.Enum):
    """What the data endpoint made of an upload."""

    DONE = "done"
    REFUSED = "refused"
    """A condition or a lock: the file is as it was."""
    UNSURE = "unsure"
    """The bytes may or may not have arrived."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``etag`` is None where the endpoint does not say (Reva v3)."""

    sent: Sent
    etag: Etag | None = None
    detail: str = ""


_DONE: Final = frozenset({200, 201, 204})
_REFUSED: Final = frozenset({409, 412, 423})
_OTHER_BYTES: Final = 419
_NO_SPACE: Final = frozenset({413, 507})


def judge(status: int, etag: str) -> Answer:
    """What an HTTP status of the PUT means. Raises for what concerns neither condition nor lock.

    Reva v2 answers 500 when somebody locked the file since the upload began, so a 5xx is not yet a failure; 419 is its answer
    to another checksum than was announced.
    """
    if status in _DONE:
        return Answer(Sent.DONE, Etag(etag) if etag else None)
    if status in _REFUSED:
        return Answer(Sent.REFUSED, detail=f"upload: HTTP {status}")
    if status == _OTHER_BYTES:
        raise StorageUnavailable(
            "upload: the storage received other bytes than were sent",
            hint="try again; if it stays, look at what stands between here and the gateway's data endpoint",
        )
    if status in _NO_SPACE:
        raise StorageUnavailable(f"upload: HTTP {status}, no space", hint="free some space: the quota is used up")
    if status == 404:
        raise NotFound("upload: the file or its folder is gone", hint="save under another name")
    if status >= 500:
        return Answer(Sent.UNSURE, detail=f"upload: HTTP {status}")
    raise StorageUnavailable(f"upload: HTTP {status}", hint="try again; if it stays, look into the gateway's log")


async def initiate_upload(session: Session, ref: Ref, upload: Upload) -> Ticket:
    """Asks for an upload. Reva v2 is done with an empty file by then; v3 waits for it to be sent.

    The checksum is what makes v2 refuse a body that was cut on its way; it believes any length. v3 does not read it. A storage
    that wants none is told none for `_UNCHECKED_S`.
    """
    gateway = session.gateway
    if time.monotonic() < gateway.unchecked_until:
        return await _ticket(session, ref, upload, checked=False)
    try:
        return await _ticket(session, ref, upload, checked=True)
    except (InvalidInput, Unsupported, Unexplained) as refused:
        lies = not upload.content.size and upload.content.sha1 != _EMPTY_SHA1
        if lies or (isinstance(refused, Unexplained) and "checksum" not in refused.message.lower()):
            raise
        try:
            ticket = await _ticket(session, ref, upload, checked=False)
        except CollabError:
            raise refused from None
        gateway.unchecked_until = time.monotonic() + _UNCHECKED_S
        log.warning("%s takes no checksum with an upload, so each is read back: %s", gateway.address, refused.message)
        return ticket


async def _ticket(session: Session, ref: Ref, upload: Upload, *, checked: bool) -> Ticket:
    said = {"Upload-Length": str(upload.content.size)}
    if checked:
        said["Upload-Checksum"] = f"sha1 {upload.content.sha1}"
    request = api.InitiateFileUploadRequest(ref=convert.to_ref(ref), lock_id=upload.lock_id, opaque=convert.opaque(said))
    if upload.if_match is not None:
        request.if_match = upload.if_match
    elif upload.if_absent:
        request.if_not_exist = True
    response = await session.call("InitiateFileUpload", request)
    for offer in response.protocols:
        if offer.protocol == "simple":
            return Ticket(offer.upload_endpoint, offer.token, checked)
    raise Unsupported(
        "the gateway offers no simple upload", hint="enable the simple data transfer protocol of its data provider"
    )


async def _headers(session: Session, ticket: Ticket) -> dict[str, str]:
    """Some data providers want to know who it is beside what was granted. Redirects are not followed, for these are secrets."""
    return {_TRANSFER_KEY: ticket.token, TOKEN_KEY: await session.tokens.token()}


class _Broken(aiohttp.ClientError):
    """The connection ended before an answer came."""


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Hides a broken connection from aiohttp, which would send again: the second PUT is refused for what the first changed."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Broken(str(error)) from error


async def put(session: Session, ticket: Ticket, upload: Upload) -> Answer:
    """Sends the content. A connection that ends without an answer is `Sent.UNSURE`.

    Raises `Corrupt` when the content has another length than it says: then the connection is broken, before all was sent.
    """
    size = upload.content.size
    headers = await _headers(session, ticket) | {"Upload-Length": str(size), "Content-Type": "application/octet-stream"}
    headers["Content-Length"] = str(size)  # else aiohttp sends what it gets in pieces without saying how much comes
    if upload.lock_id:
        headers["X-Lock-Id"] = upload.lock_id
        headers["X-Lock-Holder"] = upload.lock_holder
    if not upload.keep_version:
        headers["X-Disable-Versioning"] = "true"
    http = await session.gateway.http()
    try:
        async with http.put(
            ticket.url,
            data=upload.content.checked(),
            headers=headers,
            timeout=_timeout(session, size),
            allow_redirects=False,
            middlewares=(_once,),
        ) as answer:
            return judge(answer.status, answer.headers.get("ETag", ""))
    except aiohttp.ClientConnectorError as error:
        raise _unreachable(ticket, error) from error
    except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
        if isinstance(error.__cause__, Corrupt):
            raise error.__cause__ from None
        return Answer(Sent.UNSURE, detail=f"upload: no answer ({type(error).__name__})")


_BUSY: Final = frozenset({425, 500})


class Busy(StorageUnavailable):
    """What Reva v2 says to a reader for the moment in which an upload is put in its place."""


class ShortBody(Exception):
    """A download ended before its announced length."""


async def initiate_download(session: Session, request: Any) -> Ticket:
    """Asks for a download. Reva answers OK even for a file that is not there; `fetch` then finds out."""
    response = await session.call("InitiateFileDownload", request)
    offers = {offer.protocol: offer for offer in response.protocols}
    offer = offers.get("spaces") or offers.get("simple")
    if offer is None:
        raise Unsupported(
            "the gateway offers no simple download", hint="enable the simple data transfer protocol of its data provider"
        )
    return Ticket(offer.download_endpoint, offer.token)


@asynccontextmanager
async def answered(session: Session, ticket: Ticket, *, max_bytes: int) -> AsyncIterator[aiohttp.ClientResponse]:
    """The data endpoint's answer, whose body is yet to be read.

    Raises `NotFound`, `Overloaded` past `max_bytes`, `ShortBody`, `StorageUnavailable` or `DeadlineExceeded`, also for what is
    read inside.
    """
    headers = await _headers(session, ticket) | {"Accept-Encoding": "identity"}
    http = await session.gateway.http()
    try:
        timeout = _timeout(session, max_bytes)
        async with http.get(ticket.url, headers=headers, timeout=timeout, allow_redirects=False) as answer:
            if answer.status == 404:
                raise NotFound("download: the file is gone", hint="look for it under another name")
            if answer.status in _BUSY:
                raise Busy(f"download: HTTP {answer.status}", hint="try again; if it stays, look into the gateway's log")
            if answer.status not in (200, 204):
                raise StorageUnavailable(
                    f"download: HTTP {answer.status}", hint="try again; if it stays, look into the gateway's log"
                )
            length = answer.content_length
            if length is not None and length > max_bytes:
                raise too_large(length, max_bytes)
            yield answer
    except aiohttp.ClientConnectorError as error:
        raise _unreachable(ticket, error) from error
    except aiohttp.ClientPayloadError as error:
        raise ShortBody from error
    except TimeoutError as error:
        raise DeadlineExceeded("download: the data endpoint took too long", hint="try again") from error
    except (aiohttp.ClientError, ConnectionError) as error:
        raise StorageUnavailable(f"download: the connection broke ({type(error).__name__})", hint="try again") from error


async def fetch(session: Session, ticket: Ticket, *, max_bytes: int) -> tuple[bytes, bool]:
    """The body, and whether its length was announced and so has been checked. Raises as `answered` does."""
    async with answered(session, ticket, max_bytes=max_bytes) as answer:
        return await _body(answer, max_bytes), answer.content_length is not None


async def pieces(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for piece in answer.content.iter_chunked(_CHUNK_BYTES):
        yield piece


async def _body(answer: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    body = io.BytesIO()  # grows without copying, and gives its content away without copying
    async for chunk in pieces(answer):
        body.write(chunk)
        if body.tell() > max_bytes:
            raise too_large(body.tell(), max_bytes)
    return body.getvalue()


async def _split(content: bytes) -> AsyncIterator[bytes]:
    """`content` a little at a time: aiohttp would copy it whole, or send it without letting others have a turn."""
    for start in range(0, len(content), _CHUNK_BYTES):
        yield content[start : start + _CHUNK_BYTES]


def too_large(size: int, max_bytes: int) -> Overloaded:
    return Overloaded(
        f"the file has {size} bytes or more, the limit is {max_bytes}", hint="open a smaller file or raise the limit"
    )


def _timeout(session: Session, size: int) -> aiohttp.ClientTimeout:
    allowed = session.timeout_s
    return aiohttp.ClientTimeout(total=allowed + size / _SLOWEST_BYTES_PER_S, sock_connect=allowed, sock_read=allowed)


def _unreachable(ticket: Ticket, error: aiohttp.ClientConnectorError) -> StorageUnavailable:
    if isinstance(error, aiohttp.ClientSSLError):
        return StorageUnavailable(
            f"the certificate of the data endpoint at {error.host}:{error.port} is not trusted",
            hint="name the PEM file of the authority that signed it",
        )
    return StorageUnavailable(
        f"the data endpoint at {error.host}:{error.port} cannot be reached",
        hint="the gateway named it: check its address there",
    )
