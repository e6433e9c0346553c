"""The board profile: what a board is, how it is flashed and spoken to, with the source of every fact.

The keys of the TOML file are the fields' aliases if they have one, else their names; a field that holds
a quantity carries its SI unit in its name (`clock_hz`, `size_bytes`). boards/README.md explains every key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, PrivateAttr

from harness.boards.table import Address, Baud, Bytes, Cycles, Hertz, ProfileTable, Seconds, Text

ModelFormat = Literal["int8", "vela"]
MemoryKind = Literal["sram", "psram", "tcm", "flash"]
MemoryUse = Literal["arena", "weights", "code", "data"]
RegionUse = Literal["boot_loader", "partition_table", "firmware", "model", "data", "reserved"]

_USB_ID = re.compile(r"[0-9A-Fa-f]{4}:[0-9A-Fa-f]{4}")
_ID = re.compile(r"[a-z0-9][a-z0-9_]*")


def _usb_id(text: str) -> str:
    if not _USB_ID.fullmatch(text):
        raise ValueError(
            f"{text!r} is not a USB id; vendor and product are wanted as four hex digits each, such as "
            '"303A:1001"'
        )
    return text.upper()


def _identifier(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError(f"{text!r} is not an id; lower-case letters, digits and underscores are wanted")
    return text


Identifier = Annotated[str, AfterValidator(_identifier)]


TOUCH_BAUD = 1200
"""The speed that enters the boot loader of boards with USB CDC, if their profile gives no other."""


class Chip(ProfileTable):
    """The SoC and the core that runs the model."""

    name: Text = Field(description="the SoC")
    family: Identifier = Field(
        description="the family that it belongs to: how it boots, and what images it takes"
    )
    core: Text = Field(description="the core that runs TFLite-Micro")
    cores: int = Field(ge=1, description="how many of these cores there are")
    clock_hz: Hertz = Field(alias="clock", ge=10**6, description="clock of the core")
    kernels: Text = Field(description="the optimised kernels behind TFLite-Micro")


class Protocols(ProfileTable):
    """What firmware for the board can speak over its port."""

    supported: tuple[Text, ...] = Field(
        min_length=1, description="protocols that the board's firmware can speak"
    )
    default: Text = Field(description="the protocol that is tried first")


class Serial(ProfileTable):
    """The line to the board."""

    link: Literal["usb_cdc", "uart_bridge"] = Field(description="what the computer sees")
    baud: Baud = Field(gt=0, description="line speed to open the port at")
    baud_is: Literal["nominal", "real"] = Field(
        description="real = bits take this long; nominal = USB moves them at its own speed"
    )
    framing: Literal["8N1"] = Field(description="data bits, parity, stop bits")
    flow_control: Literal["none", "rts_cts", "xon_xoff"] = Field(description="flow control")
    dtr: Literal["ignored", "boot_mode", "reset"] | None = Field(
        default=None, description="what DTR does to the board; left out if it is not known"
    )
    rts: Literal["ignored", "boot_mode", "reset"] | None = Field(
        default=None, description="what RTS does to the board; left out if it is not known"
    )


class Usb(ProfileTable):
    """A USB id under which the board appears, and what seeing it means."""

    id: Annotated[str, AfterValidator(_usb_id)] = Field(description="vendor and product id, VVVV:PPPP in hex")
    state: Literal["running", "boot_loader", "any"] = Field(description="what the board does under this id")
    means: Text = Field(description="what the id stands for, for a person")

    @property
    def vendor_id(self) -> int:
        return int(self.id[:4], 16)

    @property
    def product_id(self) -> int:
        return int(self.id[5:], 16)


class Memory(ProfileTable):
    """A memory of the board."""

    name: Identifier = Field(description="the name that the rest of the profile calls it by")
    kind: MemoryKind = Field(description="kind of memory")
    size_bytes: Bytes = Field(alias="size", gt=0, description="size")
    holds: tuple[MemoryUse, ...] = Field(description="what may be placed in it")
    base: Address = Field(default=0, description="address of its first byte as the flashing method counts")
    mapped_at: Address | None = Field(
        default=None, description="address at which the core sees its first byte"
    )


class Arena(ProfileTable):
    """The tensor arena that the firmware gives to TFLite-Micro."""

    memory: Text = Field(description="name of the memory that it is in")
    size_bytes: Bytes = Field(alias="size", gt=0, description="bytes available to the arena")
    firmware_bytes: Bytes | None = Field(
        default=None,
        alias="firmware",
        description="bytes of the same memory that the firmware keeps for itself",
    )


class Region(ProfileTable):
    """A part of a flash memory."""

    name: Identifier = Field(description="the region's name")
    memory: Text = Field(description="name of the flash memory that it is in")
    offset: Address = Field(description="where it starts, as the flashing method counts")
    size_bytes: Bytes = Field(alias="size", gt=0, description="size")
    holds: tuple[RegionUse, ...] = Field(min_length=1, description="what may be written there")

    @property
    def end(self) -> int:
        """The first address behind the region."""
        return self.offset + self.size_bytes


class Esptool(ProfileTable):
    """What esptool needs to know."""

    chip: Text = Field(description="esptool's name of the chip (--chip)")


class Xmodem(ProfileTable):
    """How the boot loader takes files over XMODEM."""

    window_s: Seconds = Field(
        alias="window", gt=0, description="how long the boot loader listens after a reset"
    )

    @property
    def advice(self) -> str:
        """What people trip over."""
        return (
            f"the boot loader listens for {self.window_s * 1e3:g} ms after a reset, so start the tool first "
            "and press reset then"
        )


class Uf2(ProfileTable):
    """How the boot loader takes UF2 files."""

    drive_labels: tuple[Text, ...] = Field(
        min_length=1, description="labels of the drive that the boot loader shows, the usual one first"
    )
    family_id: Address = Field(lt=1 << 32, description="family id in every block")
    touch_baud: Baud = Field(gt=0, description="opening the port at this speed enters the boot loader")
    word_swapped: tuple[RegionUse, ...] = Field(
        default=(), description="uses of regions into which every 32-bit word is written byte-swapped"
    )

    @property
    def advice(self) -> str:
        """What people trip over."""
        return (
            f"the drive {self.drive_labels[0]} disappears by itself once it has taken a file; firmware and "
            "model each need the boot loader anew"
        )


class MethodTable(ProfileTable):
    """The table of a flashing method from outside, which alone knows what its keys mean."""

    model_config = ConfigDict(extra="allow")

    @property
    def values(self) -> Mapping[str, Any]:
        """The keys and values, as TOML has them, arrays as tuples."""
        return self.model_extra or {}


class Flash(ProfileTable):
    """How the board is flashed, and its flash map.

    A table that none of the fields names is that of a method from outside: `[flash.NAME]`.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, MethodTable] = Field(init=False)

    method: Text = Field(description="the flashing method")
    enter: Literal["dtr_rts", "button", "touch"] = Field(
        description="how the boot loader is entered: DTR and RTS, the board's button, or opening the port at "
        "`uf2.touch_baud`"
    )
    image_offset: Address = Field(description="where a firmware image is written")
    block_bytes: Bytes = Field(
        alias="block", gt=0, description="regions and files start on multiples of this"
    )
    model: Text = Field(description="name of the region that a model goes to unless another is asked for")
    regions: tuple[Region, ...] = Field(alias="region", min_length=1, description="the flash map")
    esptool: Esptool | None = Field(default=None, description="for the method esptool")
    xmodem: Xmodem | None = Field(default=None, description="for the method xmodem")
    uf2: Uf2 | None = Field(default=None, description="for the method uf2")

    @property
    def others(self) -> Mapping[str, MethodTable]:
        """The tables of methods from outside, by name."""
        return self.__pydantic_extra__ or {}

    @property
    def drive_labels(self) -> tuple[str, ...]:
        """Labels of the drive that the boot loader shows; none if it shows none."""
        return self.uf2.drive_labels if self.uf2 is not None else ()

    @property
    def touch_baud(self) -> int | None:
        """The speed at which opening the port enters the boot loader; None if none does."""
        return self.uf2.touch_baud if self.uf2 is not None else None

    @property
    def word_swapped(self) -> tuple[RegionUse, ...]:
        """Uses of regions into which every 32-bit word is written byte-swapped."""
        return self.uf2.word_swapped if self.uf2 is not None else ()

    @property
    def advice(self) -> list[str]:
        """What people trip over when they flash the board."""
        return [table.advice for table in (self.xmodem, self.uf2) if table is not None]

    def region(self, name: str) -> Region:
        """Return the region called `name`; KeyError if there is none."""
        for region in self.regions:
            if region.name == name:
                return region
        raise KeyError(name)

    def holding(self, use: RegionUse) -> Region:
        """Return the first region that may hold `use`; StopIteration if there is none."""
        return next(region for region in self.regions if use in region.holds)

    @property
    def model_region(self) -> Region:
        """The region that a model goes to unless another is asked for."""
        return self.region(self.model)

    def place_for_model(self, size: int, behind: int | None = None) -> int | None:
        """Return the address for a model of `size` bytes; None if there is no room for it.

        That is the start of the region for models; with another model that ends at `behind`, the start of
        the next block, or, if models have slots of their own (UF2), of the next slot.
        """
        rooms = [region for region in self.regions if "model" in region.holds]
        if behind is None:
            start = self.model_region.offset
        elif self.uf2 is not None:
            free = [room.offset for room in rooms if room.offset >= behind]
            if not free:
                return None
            start = min(free)
        else:
            start = -(-behind // self.block_bytes) * self.block_bytes
        fits = any(room.offset <= start and start + size <= room.end for room in rooms)
        return start if fits else None


MemoryArea = Literal["Sram", "Dram", "OnChipFlash", "OffChipFlash"]
VelaPort = Literal["Axi0", "Axi1"]


class VelaArea(ProfileTable):
    """A memory as Vela's performance model sees it; the keys are those of its configuration file."""

    clock_scale: float = Field(gt=0, description="its clock as a part of the core clock")
    burst_length: int = Field(gt=0, description="bytes a burst")
    read_latency: int = Field(ge=0, description="cycles of the core clock")
    write_latency: int = Field(ge=0, description="cycles of the core clock")


class VelaSystem(ProfileTable):
    """Vela's system configuration."""

    core_clock_hz: Hertz = Field(alias="core_clock", gt=0, description="clock of the NPU")
    axi0_port: MemoryArea = Field(description="the memory on the first AXI port")
    axi1_port: MemoryArea = Field(description="the memory on the second AXI port")
    sram: VelaArea | None = Field(default=None, alias="Sram", description="the memory Sram")
    dram: VelaArea | None = Field(default=None, alias="Dram", description="the memory Dram")
    on_chip_flash: VelaArea | None = Field(
        default=None, alias="OnChipFlash", description="the memory OnChipFlash"
    )
    off_chip_flash: VelaArea | None = Field(
        default=None, alias="OffChipFlash", description="the memory OffChipFlash"
    )

    def areas(self) -> dict[str, VelaArea]:
        """The memories that are described, by Vela's names."""
        known = {
            "Sram": self.sram,
            "Dram": self.dram,
            "OnChipFlash": self.on_chip_flash,
            "OffChipFlash": self.off_chip_flash,
        }
        return {name: area for name, area in known.items() if area is not None}


class VelaMemory(ProfileTable):
    """Vela's memory mode: which port each kind of data is on."""

    const_mem_area: VelaPort = Field(description="port of weights and other constants")
    arena_mem_area: VelaPort = Field(description="port of the tensor arena")
    cache_mem_area: VelaPort = Field(description="port of the fast scratch memory")


class Vela(ProfileTable):
    """How a model is compiled for the board's NPU."""

    accelerator: Literal[
        "ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256", "ethos-u65-256", "ethos-u65-512"
    ] = Field(description="Vela's --accelerator-config")
    system_config: Text = Field(description="name of the system configuration")
    memory_mode: Text = Field(description="name of the memory mode")
    system: VelaSystem = Field(description="the system configuration")
    memory: VelaMemory = Field(description="the memory mode")

    def settings(self) -> dict[str, dict[str, str]]:
        """Return the sections of Vela's configuration file: section -> key -> value."""
        system = {
            "core_clock": str(self.system.core_clock_hz),
            "axi0_port": self.system.axi0_port,
            "axi1_port": self.system.axi1_port,
        }
        for name, area in self.system.areas().items():
            for key in ("clock_scale", "burst_length", "read_latency", "write_latency"):
                system[f"{name}_{key}"] = str(getattr(area, key))
        memory = self.memory.model_dump(exclude={"source"})
        return {f"System_Config.{self.system_config}": system, f"Memory_Mode.{self.memory_mode}": memory}


# Names besides TFLite's: convolutions of 1x1, which kernels do in another way than those over a window.
SPECIAL_KERNELS = ("CONV_2D_pointwise",)


class Coefficients(ProfileTable):
    """Cycles by operator, under the operators' TFLite names; `default` is for all others."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Cycles] = Field(init=False)

    default: Cycles = Field(description="cycles for the operators that are not named")

    def mapping(self) -> dict[str, float]:
        """Return cycles by operator name, with `default` among them."""
        return {"default": self.default, **self.__pydantic_extra__}


class Fitted(ProfileTable):
    """The range of the models whose times are known: outside it, an estimate's band widens."""

    cycles: tuple[int, int] = Field(description="shortest and longest of their times, in cycles")
    weight_bytes: tuple[int, int] = Field(description="fewest and most bytes of constants")
    kernels: tuple[Text, ...] = Field(description="kernels that a known time speaks of")


class EstimateError(ProfileTable):
    """How far estimates are off on whole models whose architecture they were not fitted to.

    `percent` and `below_percent` are the ends of the band in percent of the estimate: a measured time is at
    most so much longer or shorter in nine of ten cases.
    """

    percent: float | None = Field(
        default=None, gt=0, description="nine of ten times are at most this much longer than their estimate"
    )
    below_percent: float | None = Field(
        default=None, gt=0, lt=100, description="and at most this much shorter; left out: as much as longer"
    )
    median_percent: float | None = Field(
        default=None, ge=0, description="half of the estimates are nearer than this"
    )
    held_out: int = Field(ge=0, description="how many times of whole models were held out")
    fitted: int = Field(ge=0, description="how many times the coefficients were fitted to")
    not_modelled: tuple[Text, ...] = Field(default=(), description="what the estimate does not know of")
    range: Fitted | None = Field(default=None, description="what the known models were like")


class Library(ProfileTable):
    """Time with another release of the kernel library, as a factor of the estimate: release -> factor."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Cycles] = Field(init=False)

    assumed: Text = Field(description="the release that the estimate is for")

    def factors(self) -> dict[str, float]:
        """Return the factor of each release for which a time is known."""
        return dict(self.__pydantic_extra__)


class NpuEstimate(ProfileTable):
    """What an invoke of a model on the NPU costs besides the coefficients of the core."""

    cycles_per_job: Cycles = Field(description="cycles of the core for each NPU operator")
    cycles_per_byte: Cycles = Field(
        default=0.0, description="cycles of the core for each byte of an NPU operator's tensors"
    )
    factor: float = Field(default=1.0, gt=0, description="times the cycles of its command stream")


class Estimate(ProfileTable):
    """How invoke time on the core is estimated: fixed cycles, and operators by what they compute and move.

    An operator costs cycles_per_operator + MACs * cycles_per_mac + output elements * cycles_per_element +
    filter rows * cycles_per_row, and for each byte of its constants and of what passes through the arena the
    cycles_per_byte of the memory that they are in.
    """

    fixed_cycles: Cycles = Field(description="cycles of every invoke, whatever the model")
    cycles_per_operator: Cycles = Field(description="cycles of every operator, whatever its size")
    cache_bytes: Bytes | None = Field(
        default=None, alias="cache", description="data cache: a filter that is larger is read again and again"
    )
    vector_bytes: Bytes | None = Field(
        default=None,
        alias="vector",
        description="what kernels multiply at a time: rows count in whole vectors",
    )
    cycles_per_mac: Coefficients = Field(description="cycles a multiply-accumulate, by operator")
    cycles_per_element: Coefficients = Field(description="cycles an element of the output, by operator")
    cycles_per_row: Coefficients | None = Field(
        default=None, description="cycles a row of a filter that is gone through, by operator"
    )
    cycles_per_byte: Coefficients | None = Field(
        default=None, description="cycles a byte that is read or written, by kind of memory"
    )
    npu: NpuEstimate | None = Field(default=None, description="the NPU's part")
    library: Library | None = Field(default=None, description="releases of the kernel library")
    error: EstimateError | None = Field(
        default=None,
        description="how far it is off; left out if it rests on no published figure, and no time is shown",
    )
    npu_error: EstimateError | None = Field(default=None, description="the same for models on the NPU")

    def mapping(self) -> dict[str, Any]:
        """Return the coefficients alone, without their sources, as plain dictionaries."""
        found: dict[str, Any] = {
            "cycles_per_mac": self.cycles_per_mac.mapping(),
            "cycles_per_element": self.cycles_per_element.mapping(),
            "cycles_per_operator": self.cycles_per_operator,
            "fixed_cycles": self.fixed_cycles,
        }
        for name in ("cycles_per_row", "cycles_per_byte"):
            table: Coefficients | None = getattr(self, name)
            if table is not None:
                found[name] = table.mapping()
        sizes = {"cache_bytes": self.cache_bytes, "vector_bytes": self.vector_bytes}
        found |= {name: size for name, size in sizes.items() if size}
        if self.npu is not None:
            found["npu_cycles_per_job"] = self.npu.cycles_per_job
            found["npu_cycles_per_byte"] = self.npu.cycles_per_byte
            found["npu_factor"] = self.npu.factor
        return found


class Profile(ProfileTable):
    """A board."""

    id: Identifier = Field(description="the id that commands and records use")
    name: Text = Field(description="the board's name")
    aliases: tuple[Identifier, ...] = Field(default=(), description="other ids that commands accept")
    calls_itself: tuple[Text, ...] = Field(
        default=(), description="names by which the vendor's firmware calls the board"
    )
    model_format: ModelFormat = Field(description="what the board runs: int8, or vela for a compiled model")
    chip: Chip = Field(description="the SoC")
    protocols: Protocols = Field(description="what the firmware speaks")
    serial: Serial = Field(description="the line to the board")
    usb: tuple[Usb, ...] = Field(min_length=1, description="the USB ids under which the board appears")
    memories: tuple[Memory, ...] = Field(alias="memory", min_length=1, description="the board's memories")
    arena: Arena = Field(description="the tensor arena")
    flash: Flash = Field(description="how the board is flashed")
    vela: Vela | None = Field(default=None, description="how a model is compiled for the NPU")
    estimate: Estimate = Field(description="how invoke time is estimated")

    _sha256: str = PrivateAttr(default="")
    _path: Path = PrivateAttr(default=Path())

    def is_called(self, name: str) -> bool:
        """Whether a firmware's name for its board means this one; capitals and punctuation play no part."""
        names = (self.id, self.name, *self.aliases, *self.calls_itself)
        return _letters(name) in map(_letters, names)

    @property
    def clock_hz(self) -> int:
        """Clock of the core that runs TFLite-Micro."""
        return self.chip.clock_hz

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes of the profile's file, in hex."""
        return self._sha256

    @property
    def path(self) -> Path:
        """The file that the profile was read from."""
        return self._path

    def coefficients(self) -> dict[str, Any]:
        """Return the coefficients of the estimate, with cycles_per_byte of what is where on this board.

        That is of "weights", which are read in place from flash, and of "arena".
        """
        found = self.estimate.mapping()
        by_memory = found.pop("cycles_per_byte", {"default": 0.0})
        places = {"weights": "flash", "arena": self.memory(self.arena.memory).kind}
        found["cycles_per_byte"] = {
            use: by_memory.get(kind, by_memory["default"]) for use, kind in places.items()
        }
        return found

    def memory(self, name: str) -> Memory:
        """Return the memory called `name`; KeyError if there is none."""
        for memory in self.memories:
            if memory.name == name:
                return memory
        raise KeyError(name)


def _letters(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def build(data: Mapping[str, Any], path: Path, sha256: str) -> Profile:
    """Build a profile from the values of the TOML file `path`; raises pydantic.ValidationError."""
    profile = Profile.model_validate(tuples(data))
    # Not keys of the file, so not fields: they say which file it was.
    profile._path = path
    profile._sha256 = sha256
    return profile


def tuples(value: Any) -> Any:
    """Turn TOML's arrays into the tuples that immutable models hold."""
    if isinstance(value, list):
        return tuple(tuples(item) for item in value)
    if isinstance(value, Mapping):
        return {key: tuples(item) for key, item in value.items()}
    return value
