from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.containers.protocol import Frames, ProtocolError, frame


@given(st.lists(st.tuples(st.integers(1, 30), st.binary(max_size=200))), st.data())
def test_frames_come_whole_however_the_stream_is_cut(frames: list[tuple[int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(frame(kind, payload) for kind, payload in frames)
    reader = Frames()
    got = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        got += reader.feed(stream[:cut])
        stream = stream[cut:]
    assert got == frames


def test_a_length_beyond_reason_is_refused() -> None:
    with pytest.raises(ProtocolError):
        Frames().feed(b"GET / HTTP/1.1")
