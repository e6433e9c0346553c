"""Every interleaving of sending, arriving, losing, asking again, changing the block size and resetting, for
small windows: the real sender and receiver, and the real ends of the sample stream, between two queues.

Lines keep order, so a state is what both ends hold and what is under way. From every state that can be
reached, the goal must be reachable with nothing more going wrong: that is no deadlock and no livelock; and in
no state may a byte be wrong that counts as arrived, or a tensor or sample come twice or out of order.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

import pytest

from harness.emulator.receiver import Receiver
from harness.emulator.run_progress import RunProgress
from harness.wire import messages as m
from harness.wire.framing import encoded_size
from harness.wire.run_view import RunView
from harness.wire.sender import Sender

_S = TypeVar("_S")


def explore(
    start: _S,
    moves: Callable[[_S], Iterable[tuple[bool, _S]]],
    key: Callable[[_S], Hashable],
    is_goal: Callable[[_S], bool],
) -> tuple[int, list[Hashable]]:
    """Visit every state. `moves` yields (whether it is a mishap, next state).

    Returns the number of states, and those from which moves that are no mishap never lead to a goal.
    """
    ids: dict[Hashable, int] = {key(start): 0}
    queue = deque([(0, start)])
    before: list[list[int]] = [[]]
    goals: list[int] = []
    while queue:
        here, state = queue.popleft()
        if is_goal(state):
            goals.append(here)
        for mishap, after in moves(state):
            name = key(after)
            there = ids.get(name)
            if there is None:
                there = ids[name] = len(ids)
                before.append([])
                queue.append((there, after))
            if not mishap:
                before[there].append(here)
    reaching = set(goals)
    stack = list(goals)
    while stack:
        for earlier in before[stack.pop()]:
            if earlier not in reaching:
                reaching.add(earlier)
                stack.append(earlier)
    return len(ids), [name for name, number in ids.items() if number not in reaching]


# ---- tensors

BLOCK = 2
TENSORS = (b"abcdef", b"uvwx")
"""Three blocks, and two for the same input; the second one must be what stays."""


class Transfer:
    """A sender, a receiver with one input of 6 bytes, and the two queues between them."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.memory = bytearray(6)
        self.there: deque[tuple[int, m.Message]] = deque()
        self.back: deque[tuple[int, m.Ack]] = deque()
        self.finished: list[int] = []
        self.resets = self.restarts = 0
        self.boot()
        self.queue_up()

    def boot(self) -> None:
        self.receiver = Receiver(BLOCK, lambda index: 6, self.write, self.read)

    def queue_up(self) -> None:
        self.sender = Sender(self.window)
        for number, data in enumerate(TENSORS):
            if number not in self.finished:
                self.sender.add(number, 0, 0, data, BLOCK)

    def write(self, index: int, offset: int, data: bytes) -> None:
        self.memory[offset : offset + len(data)] = data

    def read(self, index: int, offset: int, length: int) -> bytes:
        return bytes(self.memory[offset : offset + length])

    def copied(self) -> Transfer:
        twin = copy.copy(self)
        twin.memory = bytearray(self.memory)
        twin.there, twin.back = self.there.copy(), self.back.copy()
        twin.finished = list(self.finished)
        twin.receiver = copy.copy(self.receiver)
        twin.receiver._write, twin.receiver._read = twin.write, twin.read
        twin.sender = copy.copy(self.sender)
        transfers = {}
        for entry in (*self.sender._queue, *(e.transfer for e in self.sender._in_flight if e.transfer)):
            if id(entry) not in transfers:
                transfers[id(entry)] = twin_entry = copy.copy(entry)
                twin_entry.resend = list(entry.resend)
        twin.sender._queue = deque(transfers[id(t)] for t in self.sender._queue)
        twin.sender._in_flight = deque(
            type(e)(e.number, transfers[id(e.transfer)] if e.transfer else None, e.block, e.cost)
            for e in self.sender._in_flight
        )
        twin.sender.finished, twin.sender.outcomes = [], []
        return twin

    def key(self) -> Hashable:
        """What tells states apart. Numbers matter by their order alone."""
        sender, receiver = self.sender, self.receiver
        flying = [e for e in sender._in_flight if e.transfer]
        numbers = {sender._acked, sender._number, receiver.highest}
        numbers |= {e.number for e in flying}
        numbers |= {number for number, _ in (*self.there, *self.back)}
        rank = {number: place for place, number in enumerate(sorted(numbers))}
        ids = {t.id for t in sender._queue} | {e.transfer.id for e in flying if e.transfer}
        ids |= {getattr(message, "transfer", 0) for _, message in (*self.there, *self.back)}
        if receiver._open:
            ids.add(receiver._open.transfer)
        place = {number: at for at, number in enumerate(sorted(ids))}

        def shown(message: m.Message) -> Hashable:
            fields = dict(vars(message))
            if "transfer" in fields:
                fields["transfer"] = place[fields["transfer"]]
            return (message.TYPE, *fields.values())

        return (
            bytes(self.memory),
            tuple((rank[number], shown(message)) for number, message in self.there),
            tuple((rank[number], shown(message)) for number, message in self.back),
            tuple(self.finished),
            self.resets,
            self.restarts,
            rank[sender._acked],
            tuple(
                (place[t.id], t.key, t.start, t.block, t.base, t.mask, t.cursor, *t.resend, t.opened)
                for t in sender._queue
            ),
            tuple(t.harmed for t in sender._queue),
            tuple((rank[e.number], place[e.transfer.id], e.block) for e in flying if e.transfer),
            rank[receiver.highest],
            receiver.status,
            shown(receiver._open) if receiver._open else None,
            receiver._base,
            receiver._mask,
        )  # fmt: skip

    def deliver(self) -> None:
        number, message = self.there.popleft()
        if isinstance(message, m.Open):
            self.receiver.on_open(number, message, False)
        elif isinstance(message, m.Data):
            self.receiver.on_data(number, message)
        else:
            self.receiver.on_probe(number)
        self.back.append(self.receiver.ack())

    def acknowledge(self) -> None:
        number, ack = self.back.popleft()
        self.sender.on_ack(number, ack)
        for tensor in self.sender.finished:
            assert tensor == len(self.finished), "a tensor came twice or out of order"
            self.finished.append(tensor)
        self.sender.finished.clear()

    def check(self) -> None:
        if self.resets == 0 and self.finished == [0, 1]:
            assert self.memory == b"uvwxef"
        opening = self.receiver._open
        if opening is not None and self.receiver.status == m.TransferStatus.COMPLETE:
            whole = bytes(self.memory[opening.start : opening.start + opening.length])
            assert any(whole and whole in tensor for tensor in TENSORS)
        assert self.receiver.status != m.TransferStatus.DIGEST


def transfer_moves(
    state: Transfer, *, under_way: int, resets: int, restarts: int, duplicates: bool
) -> Iterator[tuple[bool, Transfer]]:
    """Yield every next state."""

    def then(act: Callable[[Transfer], object]) -> Transfer:
        after = state.copied()
        act(after)
        after.check()
        return after

    def send(after: Transfer) -> None:
        out = after.sender.next()
        assert out is not None
        after.there.append(out)

    if len(state.there) < under_way:
        if state.copied().sender.next() is not None:
            yield False, then(send)
        probing = any(isinstance(message, m.Probe) for _, message in state.there)
        if not state.sender.idle and not probing:
            yield False, then(lambda after: after.there.append(after.sender.probe()))
    if state.there:
        if len(state.back) < under_way:
            yield False, then(Transfer.deliver)
            if duplicates:

                def twice(after: Transfer) -> None:
                    after.there.appendleft(after.there[0])
                    after.deliver()

                if len(state.there) < under_way:
                    yield True, then(twice)
        yield True, then(lambda after: after.there.popleft())
    if state.back:
        yield False, then(Transfer.acknowledge)
        yield True, then(lambda after: after.back.popleft())
    if state.restarts < restarts and not state.sender.idle and state.sender.block > 1:

        def restart(after: Transfer) -> None:
            after.restarts += 1
            after.sender.restart(1)

        yield True, then(restart)
    if state.resets < resets:

        def reset(after: Transfer) -> None:
            after.resets += 1
            after.there.clear()
            after.back.clear()
            after.memory[:] = bytes(6)
            after.boot()
            after.queue_up()

        yield True, then(reset)


FRAME = encoded_size(m.HEADER.size + m.Open.FIXED.size)


@pytest.mark.parametrize(
    ("frames", "under_way", "resets", "restarts", "duplicates"),
    [(1, 1, 1, 1, False), (1, 2, 0, 0, True)],
)
def test_no_interleaving_of_a_tensor_stream_deadlocks_doubles_or_reorders(
    frames: int, under_way: int, resets: int, restarts: int, duplicates: bool
) -> None:
    states, stuck = explore_transfers(frames, under_way, resets, restarts, duplicates)
    assert not stuck, stuck[0]
    assert states > 200


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("frames", "under_way", "resets", "restarts", "duplicates"),
    [(2, 2, 0, 0, True), (2, 2, 1, 0, True), (2, 2, 0, 1, False), (3, 3, 0, 0, False)],
)
def test_no_interleaving_of_a_wider_tensor_stream_deadlocks_doubles_or_reorders(
    frames: int, under_way: int, resets: int, restarts: int, duplicates: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    states, stuck = explore_transfers(frames, under_way, resets, restarts, duplicates)
    with capsys.disabled():
        print(f"\n{states} states, window of {frames} frames, {resets} resets, {restarts} new block sizes")
    assert not stuck, stuck[0]


def explore_transfers(
    frames: int, under_way: int, resets: int, restarts: int, duplicates: bool
) -> tuple[int, list[Hashable]]:
    return explore(
        Transfer(frames * FRAME),
        lambda state: transfer_moves(
            state, under_way=under_way, resets=resets, restarts=restarts, duplicates=duplicates
        ),
        Transfer.key,
        lambda state: state.finished == [0, 1],
    )


# ---- samples

ROOM = 2
"""Samples that the device can keep."""


class Sampling:
    """A run on the device, the host's view of it, and the two queues between them.

    A queue that is full loses what comes, as a line without flow control does.
    """

    def __init__(self, n: int, under_way: int) -> None:
        self.n = n
        self.under_way = under_way
        self.resets = 0
        self.got: list[int] = []
        self.there: deque[m.SamplesAck] = deque()
        self.back: deque[m.Samples] = deque()
        self.start(1)

    def start(self, run: int) -> None:
        left = self.n - len(self.got)
        self.run: RunProgress | None = RunProgress(run, m.RunState.MEASURING, 0, left)
        self.view = RunView(run, left, self.take)

    def take(self, ticks: int) -> None:
        assert ticks == self.view.id * 100 + self.view.next - 1, "a sample came twice or out of order"
        self.got.append(ticks)

    def copied(self) -> Sampling:
        twin = copy.copy(self)
        twin.got = list(self.got)
        twin.there, twin.back = self.there.copy(), self.back.copy()
        twin.run = copy.copy(self.run)
        if twin.run and self.run:
            twin.run.ticks = list(self.run.ticks)
        twin.view = copy.copy(self.view)
        twin.view._on_ticks = twin.take
        return twin

    def key(self) -> Hashable:
        run = self.run
        return (
            run and (run.id, run.state, run.n, tuple(run.ticks), run.acked, run.sent),
            (self.view.id, self.view.n, self.view.state, self.view.next, self.view.gap),
            tuple(self.got),
            tuple(self.there),
            tuple(self.back),
            self.resets,
        )

    def invoke(self) -> None:
        assert self.run is not None
        self.run.ticks.append(self.run.id * 100 + self.run.done)
        if self.run.done == self.run.n:
            self.run.state = m.RunState.DONE
        self.say(self.run.frames())

    def say(self, frames: list[m.Samples]) -> None:
        self.back.extend(frames[: self.under_way - len(self.back)])

    def hear(self) -> None:
        before = self.view.next
        self.view.take(self.back.popleft())
        if self.view.next > before and len(self.there) < self.under_way:
            self.there.append(m.SamplesAck(self.view.id, 0, self.view.next))

    def ask(self) -> None:
        self.view.gap = False
        self.there.append(m.SamplesAck(self.view.id, m.RESEND, self.view.next))

    def answer(self) -> None:
        ack = self.there.popleft()
        if self.run is not None and self.run.acknowledge(ack):
            self.say(self.run.frames())


def sampling_moves(state: Sampling, resets: int) -> Iterator[tuple[bool, Sampling]]:
    def then(act: Callable[[Sampling], object]) -> Sampling:
        after = state.copied()
        act(after)
        assert len(after.got) <= after.n
        return after

    run = state.run
    if run and run.going and run.kept < ROOM:
        yield False, then(Sampling.invoke)
    if state.back:
        yield False, then(Sampling.hear)
        yield True, then(lambda after: after.back.popleft())
    asking = any(ack.flags for ack in state.there)
    if not state.view.over and run and len(state.there) < state.under_way and not asking:
        yield False, then(Sampling.ask)
    if state.there:
        yield False, then(Sampling.answer)
        yield True, then(lambda after: after.there.popleft())
    if run and state.resets < resets and not state.view.over:

        def reset(after: Sampling) -> None:
            after.resets += 1
            after.run = None  # what is on the line stays there

        yield True, then(reset)
    if run is None and len(state.got) < state.n:
        yield False, then(lambda after: after.start(after.view.id + 1))


@pytest.mark.parametrize(("n", "under_way", "resets"), [(3, 2, 1), (4, 3, 0), (4, 2, 1)])
def test_no_interleaving_of_a_sample_stream_deadlocks_doubles_or_reorders(
    n: int, under_way: int, resets: int
) -> None:
    states, stuck = explore(
        Sampling(n, under_way),
        lambda state: sampling_moves(state, resets),
        Sampling.key,
        lambda state: len(state.got) == n and (state.view.over or state.run is None),
    )
    assert not stuck, stuck[0]
    assert states > 200
