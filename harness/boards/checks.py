"""Rules between the tables of a profile, once each value by itself is valid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel

from harness.boards.lines import Path
from harness.boards.problems import keys_at
from harness.boards.profile import SPECIAL_KERNELS, Coefficients, Flash, MemoryKind, Profile, Region
from harness.boards.table import REST, ProfileTable
from harness.errors import nearest

Finding = tuple[Path, str]


def cross(profile: Profile) -> list[Finding]:
    """Find contradictions in a profile whose values are each valid."""
    return [
        *_sources(profile, ()),
        *_names(profile),
        *_protocols(profile),
        *_arena(profile),
        *_flash(profile),
        *_vela(profile),
        *_operators(profile),
    ]


def _sources(table: ProfileTable, where: Path) -> Iterator[Finding]:
    """Find facts without a source, and sources for keys that are not there."""
    for way, inner in table.tables():
        yield from _sources(inner, (*where, *way))
    facts = [key for key, _ in table.facts()]
    if isinstance(table.source, str):
        return
    for key in table.source:
        if key != REST and key not in facts:
            yield (*where, "source", key), f"no fact of this table{nearest(key, [*facts, REST])}"
    if REST not in table.source:
        for fact in facts:
            if fact not in table.source:
                yield (*where, fact), f"lacks its source (add source.{fact} or source.{REST})"


def _names(profile: Profile) -> Iterator[Finding]:
    yield from _twice([m.name for m in profile.memories], ("memory",), "name")
    yield from _twice([r.name for r in profile.flash.regions], ("flash", "region"), "name")
    yield from _twice([u.id for u in profile.usb], ("usb",), "id")
    for index, alias in enumerate(profile.aliases):
        if alias == profile.id or alias in profile.aliases[:index]:
            yield ("aliases", index), f"'{alias}' is given twice"
    for index, name in enumerate(profile.calls_itself):
        if name in profile.calls_itself[:index]:
            yield ("calls_itself", index), f"'{name}' is given twice"


def _twice(names: list[str], where: Path, key: str) -> Iterator[Finding]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield (*where, index, key), f"'{name}' is given twice"


def _protocols(profile: Profile) -> Iterator[Finding]:
    if profile.protocols.default not in profile.protocols.supported:
        known = ", ".join(profile.protocols.supported)
        yield (
            ("protocols", "default"),
            f"'{profile.protocols.default}' is not among those supported ({known})",
        )


def _arena(profile: Profile) -> Iterator[Finding]:
    names = [memory.name for memory in profile.memories]
    arena = profile.arena
    if arena.memory not in names:
        yield ("arena", "memory"), f"there is no memory '{arena.memory}'{nearest(arena.memory, names)}"
        return
    memory = profile.memory(arena.memory)
    if "arena" not in memory.holds:
        yield ("arena", "memory"), f"the memory '{memory.name}' does not hold an arena (its `holds` says so)"
    taken = arena.size_bytes + (arena.firmware_bytes or 0)
    if taken > memory.size_bytes:
        what = "arena and firmware" if arena.firmware_bytes else "the arena"
        yield (
            ("arena", "size"),
            f"{what} take {taken} bytes, the memory '{memory.name}' has {memory.size_bytes}",
        )


def _flash(profile: Profile) -> Iterator[Finding]:
    flash = profile.flash
    for index, region in enumerate(flash.regions):
        yield from _region(profile, region, ("flash", "region", index))
        for other in flash.regions[:index]:
            if region.memory == other.memory and region.offset < other.end and other.offset < region.end:
                yield (
                    ("flash", "region", index, "offset"),
                    f"'{region.name}' ({region.offset:#x} to {region.end - 1:#x}) overlaps '{other.name}' "
                    f"({other.offset:#x} to {other.end - 1:#x})",
                )
    names = [region.name for region in flash.regions]
    if flash.model not in names:
        yield ("flash", "model"), f"there is no region '{flash.model}'{nearest(flash.model, names)}"
    elif "model" not in flash.model_region.holds:
        yield ("flash", "model"), f"the region '{flash.model}' does not hold a model (its `holds` says so)"
    if flash.image_offset not in [region.offset for region in flash.regions]:
        starts = ", ".join(f"{region.name} {region.offset:#x}" for region in flash.regions)
        yield ("flash", "image_offset"), f"{flash.image_offset:#x} is not the start of a region ({starts})"
    yield from _tables(flash)
    if flash.enter == "touch" and flash.touch_baud is None:
        yield ("flash", "enter"), "'touch' needs the table [flash.uf2], which has the speed"


def _tables(flash: Flash) -> Iterator[Finding]:
    """Find tables of flashing methods that are missing, or of another method than the board's."""
    tables = ("esptool", "xmodem", "uf2")  # of the methods that need to know more about a board
    for method in tables:
        given = getattr(flash, method) is not None
        if given and method != flash.method and flash.method in tables:
            yield ("flash", method), f"is for the method '{method}', but the board's is '{flash.method}'"
        if method == flash.method and not given:
            yield ("flash", "method"), f"the method '{method}' needs the table [flash.{method}]"
    for method in flash.others:
        if method != flash.method:
            known = nearest(method, keys_at(("flash",)))
            yield ("flash", method), f"unknown key{known}; the method is '{flash.method}'"


def _region(profile: Profile, region: Region, where: Path) -> Iterator[Finding]:
    flashes = {memory.name: memory for memory in profile.memories if memory.kind == "flash"}
    memory = flashes.get(region.memory)
    if memory is None:
        yield (
            (*where, "memory"),
            f"there is no flash memory '{region.memory}'{nearest(region.memory, flashes)}",
        )
        return
    if region.offset < memory.base or region.end > memory.base + memory.size_bytes:
        yield (
            (*where, "offset"),
            f"'{region.name}' ({region.offset:#x} to {region.end - 1:#x}) is not inside '{memory.name}' "
            f"({memory.base:#x} to {memory.base + memory.size_bytes - 1:#x})",
        )
    if region.offset % profile.flash.block_bytes:
        yield (
            (*where, "offset"),
            f"{region.offset:#x} is not a multiple of the block ({profile.flash.block_bytes:#x})",
        )


def _vela(profile: Profile) -> Iterator[Finding]:
    vela = profile.vela
    if vela is None:
        if profile.model_format == "vela":
            yield ("model_format",), "'vela' needs the table [vela]"
        return
    described = vela.system.areas()
    ports: dict[str, str] = {"Axi0": vela.system.axi0_port, "Axi1": vela.system.axi1_port}
    for port, area in ports.items():
        if area not in described:
            yield ("vela", "system", f"{port.lower()}_port"), f"'{area}' needs the table [vela.system.{area}]"
    for area in described:
        if area not in ports.values():
            yield ("vela", "system", area), "is on neither AXI port, so Vela would not read it"
    mode = vela.memory
    for key, allowed in _VELA_AREAS.items():
        area = ports[getattr(mode, key)]
        # If all is on one port, Vela takes constants in SRAM too, and calls that flash on the chip.
        one_port = mode.const_mem_area == mode.arena_mem_area == mode.cache_mem_area
        if area not in allowed and not (key == "const_mem_area" and area == "Sram" and one_port):
            yield ("vela", "memory", key), f"is on {area}; Vela wants {' or '.join(allowed)} there"


# Vela's own rules of where each kind of data may be (ethos-u-vela 5.2.0 refuses anything else).
_VELA_AREAS = {
    "const_mem_area": ("Dram", "OnChipFlash", "OffChipFlash"),
    "arena_mem_area": ("Sram", "Dram"),
    "cache_mem_area": ("Sram",),
}


def _operators(profile: Profile) -> Iterator[Finding]:
    """Find coefficients for operators that TFLite lacks: a misspelt one would silently be the default."""
    from harness import tflite_schema

    operators = tflite_schema.names("BuiltinOperator")
    estimate: BaseModel = profile.estimate
    for key in type(estimate).model_fields:
        table = getattr(estimate, key)
        known = get_args(MemoryKind) if key == "cycles_per_byte" else [*operators, *SPECIAL_KERNELS]
        what = "kind of memory" if key == "cycles_per_byte" else "operator"
        if isinstance(table, Coefficients):
            for name in table.model_extra or {}:
                if name not in known:
                    yield ("estimate", key, name), f"unknown {what}{nearest(name, known)}"
