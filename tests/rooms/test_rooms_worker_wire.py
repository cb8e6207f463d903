from hypothesis import given
from hypothesis import strategies as st

from cs3collab.rooms.worker_wire import PIECE_BYTES, Op, Request, pieces, whole

SIZES = st.sampled_from([0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])


@given(SIZES, st.lists(SIZES, max_size=3))
def test_a_request_in_pieces_is_the_same_in_the_end(size: int, others: list[int]) -> None:
    request = Request(7, 1, "file", Op.DIFFERENCES, b"d" * size, [bytes([n]) * other for n, other in enumerate(others)])
    *first, last = pieces(request)
    assert {(piece.id, piece.op) for piece in first} <= {(7, Op.PIECE)}
    assert all(0 < piece.size <= PIECE_BYTES for piece in first)
    assert whole(last, [piece.data for piece in first]) == request
    assert whole(request, []) == request
