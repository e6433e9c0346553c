"""Rules for udev (Linux) that let people use the boards, and keep programs off that look for modems."""

from __future__ import annotations

from collections.abc import Iterable

from harness.boards.profile import Profile

FILE = "/etc/udev/rules.d/60-harness.rules"
"""Before 73-seat-late.rules, which gives the port to whoever sits at the computer."""
_GROUPS = ("dialout", "uucp")
"""What the group of serial ports is called: Debian and Fedora, Arch."""


def rules(profiles: Iterable[Profile]) -> list[str]:
    """Return the lines of a rules file for the boards' ports, a rule for each USB id."""
    means: dict[str, list[str]] = {}
    for profile in profiles:
        for usb in profile.usb:
            means.setdefault(usb.id, []).append(profile.id)
    lines = [
        f"# harness ports --udev | sudo tee {FILE}",
        "# sudo udevadm control --reload && sudo udevadm trigger",
    ]
    for usb_id, names in sorted(means.items()):
        vendor, product = usb_id.lower().split(":")
        lines.append(f"# {', '.join(names)}")
        lines.append(
            f'SUBSYSTEM=="tty", ATTRS{{idVendor}}=="{vendor}", ATTRS{{idProduct}}=="{product}", '
            f'MODE="0660", GROUP="{_group()}", TAG+="uaccess", '
            'ENV{ID_MM_DEVICE_IGNORE}="1", ENV{ID_MM_PORT_IGNORE}="1"'
        )
    return lines


def _group() -> str:
    try:
        import grp
    except ImportError:
        return _GROUPS[0]
    there = {group.gr_name for group in grp.getgrall()}
    return next((name for name in _GROUPS if name in there), _GROUPS[0])
