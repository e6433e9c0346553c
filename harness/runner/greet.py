"""Greet: take up a conversation with the firmware on the board, and make sure which board that is."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from harness import boards
from harness.boards import Profile
from harness.errors import BoardError
from harness.runner.reach import Reach
from harness.wire.patience import Patience
from harness.wire.port import Port, PortError
from harness.wire.protocol import PROTOCOLS, connect
from harness.wire.session import Identity, NoAnswer, Session
from harness.wire.speeds import clear_at

MAY_HOLD_NOTHING_S = 3.0
"""Seconds for the first sign of life of an attached board: it may hold no firmware, and is flashed then."""
AFTER_FLASHING_S = 20.0
"""Seconds for the same of an attached board that was just flashed: it boots, and tests its memory."""
EMULATED_S = 120.0
"""First sign of life of an emulated board. It starts as fast as this computer lets it, and if its flash holds
nothing that answers, it says so at once."""
PORT_BACK_S, PORT_LOOK_S = 15.0, 0.1


@dataclass(frozen=True)
class Greeted:
    """A firmware that answered, and what it says of itself."""

    session: Session
    identity: Identity


def greet(reached: Reach, protocol: str, patience: Patience) -> Greeted | NoAnswer | None:
    """Return the firmware on a board that may hold none, or the error that says what answered instead.

    None if it is known that nobody is there. Raises BoardError if the board is another one, or if its console
    says that no firmware would run on it.
    """
    if reached.blank or reached.url is None:
        return None
    wait = EMULATED_S if reached.emulated else MAY_HOLD_NOTHING_S
    port = reached.open(starting=reached.starting)
    try:
        return _greet(reached.board, protocol, port, replace(patience, first_sign_s=wait))
    except NoAnswer as error:
        told = _at_another_speed(reached, error) if error.illegible else error
        if not told.flashing_helps:
            raise told from None
        return told


def _at_another_speed(reached: Reach, error: NoAnswer) -> NoAnswer:
    """Return the error with the speed at which the line makes sense, if there is one: no case to flash."""
    if reached.url is None or not reached.speed_matters:
        return error
    heard = clear_at(reached.url, reached.baud)
    if heard is None:
        return error
    shown = f" ('{heard.shown}')" if heard.shown else ""
    return NoAnswer(
        f"no board that speaks at {reached.baud} baud at {reached.url}; at {heard.baud} baud the line is "
        f"legible{shown}: use --baud {heard.baud}",
        flashing_helps=False,
    )


def greet_any(
    reached: Reach, protocol: str | None, patience: Patience, as_it_is: bool
) -> tuple[str, Greeted | NoAnswer | None]:
    """Return a protocol and what `greet` returns for it: the one that was asked for, or the board's default.

    With none asked for, an attached board that turns out to speak the protocol of its stock firmware is
    greeted in that; if it is to be benched `as_it_is`, in any protocol that its profile has.
    """
    supported = reached.board.protocols
    found = greet(reached, protocol or supported.default, patience)
    if protocol is None and isinstance(found, NoAnswer) and (as_it_is or not reached.emulated):
        for other in (PROTOCOLS.get(name) for name in supported.supported):
            if other.hint in str(found) and (as_it_is or other.stock):
                again = greet(reached, other.name, patience)
                if isinstance(again, Greeted):
                    return other.name, again
    return protocol or supported.default, found


def greet_flashed(reached: Reach, protocol: str, patience: Patience) -> Greeted:
    """Return the firmware on a board that was just flashed; raises BoardError if it does not start."""
    wait = EMULATED_S if reached.emulated else AFTER_FLASHING_S
    port = _open_when_back(reached)
    try:
        return _greet(reached.board, protocol, port, replace(patience, first_sign_s=wait))
    except NoAnswer as error:
        raise BoardError(f"flashed, but its firmware does not start: {error}") from None


def _greet(board: Profile, protocol: str, port: Port, patience: Patience) -> Greeted:
    try:
        session = connect(protocol, port, patience)
        identity = session.identify()
        _same_board(session, identity, board, port.url)
    except BaseException:
        port.close()
        raise
    return Greeted(session, identity)


def _same_board(session: Session, identity: Identity, board: Profile, where: str) -> None:
    """Raise BoardError if the firmware says that it runs on another board: that one is not to be flashed.

    A protocol that does not name boards may give a vendor's name or any other word; only if that word is
    known to mean another board, the board is refused.
    """
    name = identity.board
    if not name or board.is_called(name):
        return
    meant = next((other.id for other in boards.all_profiles() if other.is_called(name)), None)
    if meant is None and "board-id" not in session.features:
        return
    raise BoardError(
        f"the board at {where} calls itself '{name}', and {board.id} was asked for: "
        + (
            f"bench it with --board {meant}, or name another port with --port"
            if meant
            else "name the right one with --board, or give a profile of your own that name (calls_itself)"
        )
    )


def _open_when_back(reached: Reach) -> Port:
    """Open the port of a board that was just flashed.

    After a reset it takes a while until USB finds it, udev gives it to the user, and ModemManager lets go.
    """
    deadline = time.monotonic() + PORT_BACK_S
    while True:
        try:
            return reached.open()
        except PortError:
            if time.monotonic() > deadline:
                raise
        time.sleep(PORT_LOOK_S)
