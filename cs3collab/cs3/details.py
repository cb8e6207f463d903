"""What a Stat says beyond what collaboration needs: the owner as a person, and the checksum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cs3.storage.provider.v1beta1 import provider_api_pb2 as api
from cs3.storage.provider.v1beta1 import resources_pb2 as storage

from cs3collab.cs3 import convert
from cs3collab.cs3.session import Session
from cs3collab.types import FileInfo, Ref, User

_ALGORITHMS: Final = {
    storage.RESOURCE_CHECKSUM_TYPE_ADLER32: "adler32",
    storage.RESOURCE_CHECKSUM_TYPE_MD5: "md5",
    storage.RESOURCE_CHECKSUM_TYPE_SHA1: "sha1",
}


@dataclass(frozen=True, slots=True)
class Details:
    """``checksum`` is hexadecimal, of ``algorithm`` sha1, md5 or adler32; both are empty where the storage keeps none."""

    info: FileInfo
    owner: User
    algorithm: str = ""
    checksum: str = ""


async def details(session: Session, ref: Ref) -> Details:
    """Raises `NotFound`."""
    info = (await session.call("Stat", api.StatRequest(ref=convert.to_ref(ref)))).info
    algorithm = _ALGORITHMS.get(info.checksum.type, "") if info.checksum.sum else ""
    checksum = info.checksum.sum if algorithm else ""
    return Details(convert.from_info(info), convert.from_user_id(info.owner), algorithm, checksum)
