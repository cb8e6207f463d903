import asyncio
import hashlib

import pytest

from cs3collab.errors import Conflict, InvalidInput, Overloaded
from cs3collab.jupyter.uploads import PIECE_BYTES, Upload, Uploads


async def whole(uploads, path, last):
    """What came, by its source, whose size and checksum must be those of it."""
    upload = await uploads.add(path, -1, last)
    assert isinstance(upload, Upload)
    source = upload.source()
    content = b"".join([piece async for piece in source.checked()])
    assert source.sha1 == hashlib.sha1(content, usedforsecurity=False).hexdigest()
    upload.close()
    return content


async def test_chunks_are_joined_in_order():
    uploads = Uploads(max_bytes=100)
    assert await uploads.add("x", 1, b"ab") == 2
    assert await uploads.add("y", 1, b"other") == 5
    assert await uploads.add("x", 2, b"cd") == 4
    assert await whole(uploads, "x", b"e") == b"abcde"
    with pytest.raises(Conflict):
        await uploads.add("x", -1, b"again")


@pytest.mark.parametrize("chunk", [0, -2, None, "1", 1.0, True])
async def test_numbers_that_are_none(chunk):
    with pytest.raises(InvalidInput):
        await Uploads(max_bytes=100).add("x", chunk, b"")


async def test_a_chunk_out_of_turn_is_refused_and_the_upload_goes_on():
    uploads = Uploads(max_bytes=100)
    await uploads.add("x", 1, b"a")
    with pytest.raises(Conflict, match="out of turn"):
        await uploads.add("x", 3, b"c")
    assert await whole(uploads, "x", b"b") == b"ab"


async def test_a_first_chunk_starts_over():
    uploads = Uploads(max_bytes=100)
    await uploads.add("x", 1, b"lost")
    await uploads.add("x", 1, b"a")
    assert await whole(uploads, "x", b"b") == b"ab"


async def test_past_its_bound_an_upload_ends():
    uploads = Uploads(max_bytes=3)
    await uploads.add("x", 1, b"ab")
    with pytest.raises(Overloaded, match="larger"):
        await uploads.add("x", 2, b"cd")
    with pytest.raises(Conflict):
        await uploads.add("x", -1, b"")


async def test_the_number_of_uploads_is_bounded_and_idle_ones_make_room():
    uploads = Uploads(max_bytes=100, count=2, idle_s=1000)
    await uploads.add("x", 1, b"a")
    await uploads.add("y", 1, b"a")
    with pytest.raises(Overloaded, match="2 uploads"):
        await uploads.add("z", 1, b"a")
    eager = Uploads(max_bytes=100, count=2, idle_s=0)
    for path in "xyz":
        await eager.add(path, 1, b"a")
    with pytest.raises(Conflict):
        await eager.add("x", -1, b"b")
    assert await whole(eager, "z", b"b") == b"ab"


async def test_a_chunk_sent_twice_at_once_counts_once():
    uploads = Uploads(max_bytes=10**9)
    await uploads.add("x", 1, b"1")
    sends = [uploads.add("x", 2, b"2"), uploads.add("x", 3, b"3"), uploads.add("x", 3, b"3"), uploads.add("x", 3, b"3")]
    done = await asyncio.gather(*sends, return_exceptions=True)
    assert [type(result) for result in done] == [int, int, Conflict, Conflict]
    assert await whole(uploads, "x", b"") == b"123"


async def test_uploads_of_many_megabytes_are_whole():
    uploads = Uploads(max_bytes=10**8)
    await uploads.add("x", 1, b"a" * 10**7)
    assert await whole(uploads, "x", b"b" * 10**7) == b"a" * 10**7 + b"b" * 10**7


async def test_an_upload_is_read_back_in_pieces_and_again_from_the_start():
    uploads = Uploads(max_bytes=10**8)
    content = bytes(range(256)) * 4 * 1024 * 3 + b"rest"
    await uploads.add("x", 1, content[:1000])
    upload = await uploads.add("x", -1, content[1000:])
    for _ in range(2):
        pieces = [piece async for piece in upload.source().pieces()]
        assert max(map(len, pieces)) == PIECE_BYTES
        assert b"".join(pieces) == content
    upload.close()


async def test_ended_uploads_leave_no_file_open():
    uploads = Uploads(max_bytes=3, count=1, idle_s=0)
    begun = []
    for path, chunk, content in (("a", 1, b"1"), ("a", 1, b"1"), ("b", 1, b"1"), ("b", 2, b"too long")):
        try:
            await uploads.add(path, chunk, content)
        except Overloaded:
            assert path == "b"
        begun += [upload for upload in uploads._running.values() if upload not in begun]
    assert len(begun) == 3
    assert all(upload.file.closed for upload in begun)
