"""Connect: greet the board's firmware, after flashing what it does not hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from harness.boards import Profile
from harness.errors import BoardError, HarnessError
from harness.runner import flash
from harness.runner.attached import choose_port, serial_number
from harness.runner.flash import Flashed
from harness.runner.plan import Settings
from harness.runner.prepare import Prepared
from harness.runner.reach import PortKind, Reach, port_kind, reach
from harness.wire.patience import Patience
from harness.wire.port import Port, PortMissing
from harness.wire.session import Identity, NoAnswer, Session, connect

FIRST_GREETING_S, FIRST_GREETING_EMULATED_S = 2.0, 1.0
"""How long a board that may hold no firmware is given to answer before it is flashed."""

PORT_BACK_S, PORT_LOOK_S = 10.0, 0.1

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Connection:
    """A greeted board that holds the model, and how it was reached.

    `virtual`: it is a virtual board by what started it, by its boot loader or by its firmware.
    """

    session: Session
    port: str
    port_kind: PortKind
    serial_number: str | None
    virtual: bool
    flashed: Flashed


@contextmanager
def connection(prepared: Prepared, settings: Settings, progress: Progress) -> Iterator[Connection]:
    """Yield the board with the model in its flash, greeted; an emulated board ends with the context.

    Raises:
        HarnessError: the port is not there, is in use, or may not be opened; or there is no firmware.
        BoardError: nothing answers on it, or not with the protocol that was asked for.
    """
    board = prepared.job.board
    port = choose_port(settings.port, board, settings.drive)
    with ExitStack() as stack:
        reached = stack.enter_context(reach(board, port, settings.drive))
        session, virtual, flashed = _bring(reached, prepared, settings, progress, stack)
        yield Connection(session, port, port_kind(port), serial_number(port), virtual, flashed)


def _bring(
    reached: Reach, prepared: Prepared, settings: Settings, progress: Progress, stack: ExitStack
) -> tuple[Session, bool, Flashed]:
    """Return a session with the firmware and the model on the board, flashed as far as need be."""
    board = reached.board
    protocol = settings.protocol or board.protocols.default
    model = flash.model_region(board, prepared.deployed)
    patience = FIRST_GREETING_EMULATED_S if reached.emulated else FIRST_GREETING_S
    session = _greet(reached, protocol, patience, starting=reached.starting)
    old_firmware, no_model, virtual = True, True, reached.emulated
    if isinstance(session, Session):
        identity = session.identify()
        _same_board(session, identity, board)
        virtual = virtual or identity.virtual
        old_firmware, no_model = flash.missing(board, protocol, session, identity, virtual, prepared.deployed)
        if not old_firmware and not no_model:
            stack.enter_context(session)
            return session, virtual, Flashed(board.id, (), (f"{protocol} firmware", model.name))
        session.close()
    kept: tuple[str, ...] = () if old_firmware else (f"{protocol} firmware",)
    try:
        outcomes, loader_virtual = flash.flash(
            reached, [model] if no_model else [], protocol if old_firmware else None, progress
        )
    except HarnessError as error:
        if isinstance(session, NoAnswer):
            kind = BoardError if isinstance(error, BoardError) else HarnessError
            raise kind(f"{session}; nor can it be flashed: {error}") from error
        raise
    again = _greet(reached, protocol, None)
    assert isinstance(again, Session)
    stack.enter_context(again)
    if not no_model:
        kept += (model.name,)
    return again, virtual or loader_virtual, Flashed(board.id, tuple(outcomes), kept)


def _same_board(session: Session, identity: Identity, board: Profile) -> None:
    """Raise BoardError where the firmware says that it runs on another board: that is not to be flashed."""
    if "board-id" in session.features and identity.board not in ("", board.id, *board.aliases):
        raise BoardError(
            f"the board calls itself '{identity.board}', not {board.id}: name it with --board "
            f"(a profile of your own may have that name among its aliases)"
        )


def _greet(
    reached: Reach, protocol: str, patience_s: float | None, *, starting: bool = False
) -> Session | NoAnswer | None:
    """Return a session, or why there is none in `patience_s` seconds (None: raise that instead).

    None where it is known that nobody is there.
    """
    if patience_s is not None and (reached.blank or reached.url is None):
        return None
    port = reached.open(starting=starting) if patience_s is not None else _open_when_back(reached)
    try:
        if patience_s is None:
            return connect(protocol, port)
        return connect(protocol, port, patience=Patience(first_sign_s=patience_s))
    except NoAnswer as error:
        port.close()
        if patience_s is None:
            raise BoardError(f"flashed, but its firmware does not start: {error}") from None
        return error
    except BaseException:
        port.close()
        raise


def _open_when_back(reached: Reach) -> Port:
    """Open the port of a board that has just been flashed: after a reset, USB takes its time to find it."""
    deadline = time.monotonic() + PORT_BACK_S
    while True:
        try:
            return reached.open()
        except PortMissing:
            if time.monotonic() > deadline:
                raise
        time.sleep(PORT_LOOK_S)
