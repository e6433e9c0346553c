"""An engine in a process of its own: the line goes on being answered, and what does not end can be ended.

TFLite-Micro holds Python's lock for as long as an invoke takes, cannot be stopped, and a model may crash it.
So models run in a child of the board's process. It is forked from a template, which was itself forked from
the board's process before that had threads, and imports what engines need once a firmware boots. A board
reaches its engine over a socket pair, and that is the engine's life: as soon as the board's end of it closes,
be it by the death of the board, the template kills the engine, whatever it is doing.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import select
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from harness.emulator.engine import EngineError, Invoked, Loaded, ModelEntry, Runtime
from harness.emulator.model_flash import ModelFlash
from harness.wire.messages import ErrorCode

_PR_SET_PDEATHSIG = 1
_LONGEST_REASON = 200
_CODE = struct.Struct("<i")


@dataclass(frozen=True)
class _Ended:
    """In place of an outcome: the engine has ended by itself, if `code` is below 0 by a signal."""

    code: int


@dataclass(frozen=True)
class _Lifelines:
    """The board's ends of an engine: `line` for requests and outcomes, `obituary` for how it ended.

    An engine may end in the middle of an outcome, so what is told of its end has a way of its own.
    """

    line: socket.socket
    obituary: socket.socket


class EngineTemplate:
    """The process that engines are forked from. It has to be made while there is one thread."""

    def __init__(self, prepare: Callable[[], Callable[[], Runtime]]) -> None:
        """`prepare()` imports what an engine needs, and returns what makes its runtime."""
        board = os.getpid()
        self._control, inside = socket.socketpair()
        if os.fork() == 0:
            self._control.close()
            _never_return(lambda: _Template(inside, board).serve(prepare))
        inside.close()

    def prepare(self) -> None:
        """Have the template get ready, if it is not; return at once."""
        with contextlib.suppress(OSError):
            self._control.send(b"p")

    def start(self) -> _Lifelines:
        """Return the ends of the lines to a new engine; when the first is shut down, the engine ends."""
        mine, its = socket.socketpair()
        told, tells = socket.socketpair()
        with its, tells, contextlib.suppress(OSError):  # without a template the lines are as good as closed
            socket.send_fds(self._control, [b"e"], [its.fileno(), tells.fileno()])
        return _Lifelines(mine, told)


class ProcessEngine:
    """The engine of a virtual board for one boot of its firmware; implements `engine.Engine`."""

    alive = True

    def __init__(
        self,
        flash: ModelFlash,
        template: EngineTemplate,
        ticks: Callable[[], int],
        wake: Callable[[], None],
    ) -> None:
        """`ticks()` is the board's counter; `wake()` is called, from a thread, when `poll` has something."""
        self._flash = flash
        self._template = template
        self._ticks = ticks
        self._wake = wake
        self._process: _Process | None = None
        self._address = 0

    def models(self) -> Sequence[ModelEntry]:
        """See Engine.models."""
        return self._flash.models()

    def read(self, address: int, length: int) -> bytes:
        """See Engine.read."""
        return self._flash.read(address, length)

    def ticks(self) -> int:
        """See Engine.ticks."""
        return self._ticks()

    def begin_load(self, address: int) -> None:
        """See Engine.begin_load."""
        self._flash.end_of(address)
        self._address = address
        self._begin("load", address)

    def begin_invoke(self, inputs: Sequence[bytes], profile: bool) -> None:
        """See Engine.begin_invoke. A new engine, after one that was ended, loads the model first."""
        self._begin("invoke", self._address, inputs, profile)

    def _begin(self, *request: Any) -> None:
        if self._process is None:
            self._process = _Process(self._template.start(), self._wake)
        self._process.ask(request)

    def poll(self) -> Loaded | Invoked | None:
        """See Engine.poll."""
        outcome = self._process.outcome() if self._process else None
        if isinstance(outcome, _Ended):
            self._process = None
            raise EngineError(ErrorCode.INTERNAL, _how_it_ended(outcome.code))
        if isinstance(outcome, EngineError):
            raise outcome
        return outcome

    def cancel(self) -> None:
        """See Engine.cancel."""
        if self._process is not None:
            self._process.end()
            self._process = None


def _how_it_ended(code: int) -> str:
    return f"the model crashed TFLite-Micro (signal {-code})" if code < 0 else "the engine's process ended"


class _Process:
    """An engine as the board's process sees it; a thread waits for what it says."""

    def __init__(self, lines: _Lifelines, wake: Callable[[], None]) -> None:
        self._line = lines.line
        self._obituary = lines.obituary
        self._wake = wake
        self._requests: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Loaded | Invoked | EngineError | _Ended] = queue.SimpleQueue()
        self._ended = False
        threading.Thread(target=self._converse, daemon=True).start()

    def ask(self, request: tuple[Any, ...]) -> None:
        """Have a request carried out."""
        self._requests.put(request)

    def outcome(self) -> Loaded | Invoked | EngineError | _Ended | None:
        """Return the outcome of the request once it is there."""
        with contextlib.suppress(queue.Empty):
            return self._outcomes.get_nowait()
        return None

    def end(self) -> None:
        """End the engine; its outcome is of no interest any more."""
        self._ended = True
        self._requests.put(None)
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    def _converse(self) -> None:
        with self._obituary, self._line, self._line.makefile("rwb") as file:
            while (request := self._requests.get()) is not None:
                try:
                    pickle.dump(request, file)
                    file.flush()
                    outcome = pickle.load(file)
                except (OSError, EOFError, pickle.UnpicklingError):  # the last: cut off in the middle
                    outcome = self._how_it_ended()
                if self._ended:
                    return
                self._outcomes.put(outcome)
                self._wake()
                if isinstance(outcome, _Ended):
                    return

    def _how_it_ended(self) -> _Ended:
        """Return what the template says of the engine's end; nothing, if it has ended with it."""
        with contextlib.suppress(OSError):
            told = self._obituary.recv(_CODE.size, socket.MSG_WAITALL)
            if len(told) == _CODE.size:
                return _Ended(_CODE.unpack(told)[0])
        return _Ended(0)


# ---- in the template's process, and in the engines'


class _Template:
    """Runs one engine at a time."""

    def __init__(self, control: socket.socket, board: int) -> None:
        self._control = control
        _end_with(board)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the board's to act on
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1):
            os.dup2(null, standard)

    def serve(self, prepare: Callable[[], Callable[[], Runtime]]) -> None:
        """Get ready when told to, and run engines until the board is gone."""
        make: Callable[[], Runtime] | None = None
        while True:
            message, descriptors, _, _ = socket.recv_fds(self._control, 1, 2)
            if not message:
                return
            make = make or prepare()
            if descriptors:
                line, obituary = (socket.socket(fileno=descriptor) for descriptor in descriptors)
                with line, obituary:
                    self._run(make, line, obituary)

    def _run(self, make: Callable[[], Runtime], line: socket.socket, obituary: socket.socket) -> None:
        """Fork an engine for a line, and wait until either ends."""
        template = os.getpid()
        engine_ends, held = os.pipe()  # the engine alone holds the other end
        engine = os.fork()
        if engine == 0:
            self._control.close()
            obituary.close()
            os.close(engine_ends)
            _never_return(lambda: _serve_engine(make, line, template))
        os.close(held)
        poll = select.poll()
        poll.register(engine_ends, 0)
        poll.register(line, select.POLLRDHUP)
        ended = {descriptor for descriptor, _ in poll.poll()}
        os.kill(engine, signal.SIGKILL)
        _, status = os.waitpid(engine, 0)
        os.close(engine_ends)
        if engine_ends in ended:
            with contextlib.suppress(OSError):
                obituary.sendall(_CODE.pack(os.waitstatus_to_exitcode(status)))


def _serve_engine(make: Callable[[], Runtime], line: socket.socket, template: int) -> None:
    _end_with(template)
    runtime = make()
    loaded: int | None = None
    with line.makefile("rwb") as file:
        while True:
            try:
                kind, address, *rest = pickle.load(file)
            except EOFError:
                return
            outcome: Loaded | Invoked | EngineError
            try:
                if kind == "load" or address != loaded:
                    loaded = None
                    outcome = runtime.load(address)
                    loaded = address
                if kind == "invoke":
                    outcome = runtime.invoke(*rest)
            except EngineError as error:
                outcome = error
            except Exception as error:
                text = f"{type(error).__name__}: {error}"
                outcome = EngineError(ErrorCode.INTERNAL, text[:_LONGEST_REASON])
            pickle.dump(outcome, file)
            file.flush()


def _end_with(parent: int) -> None:
    """Have the system end this process with its parent, whatever ends that."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended before
        os._exit(0)


def _never_return(work: Callable[[], None]) -> NoReturn:
    """Do all that a forked process is for: what its parent was about to do is none of its business."""
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        os._exit(code)
