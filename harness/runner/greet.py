"""Greet: take up a conversation with the firmware on the board, and make sure which board that is."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from harness.boards import Profile
from harness.errors import BoardError
from harness.runner.reach import Reach
from harness.wire.patience import Patience
from harness.wire.port import Port, PortError
from harness.wire.protocol import connect
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
        _same_board(session, identity, board)
    except BaseException:
        port.close()
        raise
    return Greeted(session, identity)


def _same_board(session: Session, identity: Identity, board: Profile) -> None:
    """Raise BoardError if the firmware says that it runs on another board: that one is not to be flashed."""
    if "board-id" in session.features and identity.board not in ("", board.id, *board.aliases):
        raise BoardError(
            f"the board calls itself '{identity.board}', not {board.id}: name it with --board "
            f"(a profile of your own may have that name among its aliases)"
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
