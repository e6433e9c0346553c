"""The greedy planner: what it must never do, and the cases whose answer can be seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.models.planner import Buffer, head_bytes, place

_buffers = st.lists(
    st.builds(
        lambda size, first, length: Buffer(16 * size, first, first + length),
        st.integers(1, 50),
        st.integers(0, 20),
        st.integers(0, 8),
    ),
    max_size=40,
)


@given(_buffers)
def test_buffers_alive_together_never_overlap(buffers: list[Buffer]) -> None:
    laid = list(zip(place(buffers), buffers, strict=True))
    for i, (a, one) in enumerate(laid):
        for b, other in laid[i + 1 :]:
            if one.first <= other.last and other.first <= one.last:
                assert a + one.bytes <= b or b + other.bytes <= a


@given(_buffers)
def test_the_head_is_at_least_what_lives_at_any_one_time_and_at_most_all_of_it(buffers: list[Buffer]) -> None:
    head = head_bytes(buffers)
    assert head <= sum(b.bytes for b in buffers)
    for step in range(30):
        assert head >= sum(b.bytes for b in buffers if b.first <= step <= b.last)


def test_of_equal_buffers_the_last_is_placed_first() -> None:
    assert place([Buffer(64, 0, 1), Buffer(64, 0, 1)]) == [64, 0]


def test_a_small_buffer_goes_into_a_gap() -> None:
    assert place([Buffer(96, 0, 0), Buffer(64, 0, 2), Buffer(32, 1, 2)]) == [0, 96, 0]


def test_offline_offsets_stay_and_others_go_around_them() -> None:
    assert place([Buffer(64, 0, 1, offset=32), Buffer(48, 0, 1), Buffer(32, 0, 1)]) == [32, 96, 0]


def test_nothing_to_plan_takes_nothing() -> None:
    assert head_bytes([]) == 0
