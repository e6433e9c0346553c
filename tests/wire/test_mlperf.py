import pytest

from harness.emulator.mlperf_firmware import MlperfFirmware, dequantised
from harness.errors import BoardError, HarnessError
from harness.wire.protocol import connect
from harness.wire.session import DeviceRefused, RunInterrupted
from tests.wire.rig import ENDLESS, LivelyToy, Rig, toy_rig
from tests.wire.toy import ADDRESS, INFO, INPUTS, OUTPUTS, expected_output


def answer(rig: Rig, text: bytes) -> bytes:
    """Return all that the board says within two seconds of hearing `text`."""
    rig.port.write(text)
    said, until = b"", rig.port.now() + 2.0
    while rig.port.now() < until:
        said += rig.port.read(65536, until - rig.port.now())
    return said


def results(data: bytes) -> bytes:
    spec = OUTPUTS[0]
    values = ",".join(f"{v:0.3f}" for v in dequantised(data, spec.type, spec.scale, spec.zero_point))
    return f"m-results-[{values}]\r\n".encode()


def test_a_transcript_of_every_command_matches_byte_for_byte() -> None:
    rig = toy_rig(baud=None, latency_s=0.0, cost=lambda n: 2000 + n)
    ready = b"m-ready\r\n"
    also = b"m-speaks-[bench]\r\n" + ready
    image = bytes(range(256)) * 108
    loaded = results(expected_output(image, bytes(20)))
    said = [
        (b"", b"m-init-done\r\n" + ready),
        (b"name%", b"m-name-dut-[toy]\r\n" + ready),
        (b"profile%", b"m-profile-[ULPMark for tinyML Firmware V0.0.1]\r\nm-model-[other]\r\n" + also),
        (b"db load 4%", b"e-[Command 'db load' takes 27648 bytes for other, not 4]\r\n" + ready),
        (b"db 01ff%", ready),
        (b"infer 1 0%", b"e-[Input db has 0 bytes, expected 27648]\r\n" + ready),
        (b"db load 27648%", b"m-[Expecting 27648 bytes]\r\n" + ready),
        (b"db 01ffAb00%", ready),
        (b"infer 1 0%", b"e-[Input db has 4 bytes, expected 27648]\r\n" + ready),
        (b"db load 27648%", b"m-[Expecting 27648 bytes]\r\n" + ready),
        *[(b"db " + image[at : at + 31].hex().encode() + b"%", ready) for at in range(0, 27621, 31)],
        (b"db " + image[27621:].hex().encode() + b"%", b"m-load-done\r\n" + ready),
        (b"db 77%", ready),
        (b"results%", results(bytes(32)) + ready),
        (b"db%", b"e-[Command 'db' requires a subcommand]\r\n" + ready),
        (b"db load%", b"e-[Command 'db load' requires the # of bytes]\r\n" + ready),
        (b"db load 0%", b"e-[Command 'db load' must be >0 bytes]\r\n" + ready),
        (b"db 123%", b"e-[Insufficent number of hex digits]\r\n" + ready),
        (b"db 12g4%", b"e-[Invalid hex digit 'g4']\r\n" + ready),
        (b"infer 0%", b"e-[Inference iterations must be >0]\r\n" + ready),
        (b"infer -3%", b"e-[Inference iterations must be >0]\r\n" + ready),
        (b"infer x%", b"e-[Inference iterations must be >0]\r\n" + ready),
        (b"infer 1 -1%", b"e-[Inference warmup must be >=0]\r\n" + ready),
        (b"frobnicate 7%", b"e-[Unknown command: frobnicate]\r\n" + ready),
        (b"%%name%", ready + ready + b"m-name-dut-[toy]\r\n" + ready),
    ]  # fmt: skip
    for command, due in said:
        assert answer(rig, command) == due, command
    lines = answer(rig, b"infer 3 2%").split(b"\r\n")
    first, last = (int(line.removeprefix(b"m-lap-us-")) for line in (lines[3], lines[4]))
    assert last - first == 2002 + 2003 + 2004
    assert b"\r\n".join(lines) == (
        b"m-warmup-start-2\r\nm-warmup-done\r\nm-infer-start-3\r\n"
        + f"m-lap-us-{first}\r\nm-lap-us-{last}\r\n".encode()
        + b"m-infer-done\r\n" + loaded + ready
    )  # fmt: skip
    assert answer(rig, b"infer%").startswith(b"m-warmup-start-10\r\nm-warmup-done\r\nm-infer-start-1\r\n")
    stamp = answer(rig, b"timestamp%")
    assert stamp.startswith(b"m-lap-us-")
    assert stamp.endswith(b"\r\n" + ready)
    assert int(stamp[len(b"m-lap-us-") : -len(b"\r\nm-ready\r\n")]) > last
    help_text = answer(rig, b"help%")
    assert help_text.startswith(b"ULPMark for tinyML Firmware V0.0.1\r\n\r\n")
    assert help_text.endswith(b"\r\n" + ready)
    for command in (b"name", b"profile", b"timestamp", b"db load", b"db print", b"infer", b"results"):
        assert b"\n" + command in help_text


def test_infer_agrees_with_the_binary_path_on_the_same_run() -> None:
    binary, text = toy_rig(cost=lambda n: 7000), toy_rig(cost=lambda n: 7000)
    session = binary.session()
    session.select(ADDRESS)
    session.load(0, b"\x11" * INPUTS[0].bytes)
    ours = session.run(3, 100)
    tiny = connect("mlperf-tiny", text.port)
    tiny.load(0, b"\x11" * INPUTS[0].bytes)
    theirs = tiny.run(3, 100)
    mean = sum(ours.samples) / len(ours.samples) / ours.tick_hz
    assert tiny.batch(100) * len(theirs.samples) == 100
    for sample in theirs.samples:
        assert sample / theirs.tick_hz == pytest.approx(mean, rel=1e-6)
    assert text.engines[0].invokes == 103


def test_a_00_ends_an_inference_that_is_under_way_and_is_answered_as_ever() -> None:
    for firmware in (None, lambda engine, boot: MlperfFirmware(INFO, engine)):
        rig = toy_rig(firmware=firmware, toy=LivelyToy, baud=None, latency_s=0.0, cost=lambda n: ENDLESS)
        answer(rig, b"")
        said = answer(rig, b"infer 5 0%name%")
        assert said == b"m-warmup-start-0\r\nm-warmup-done\r\nm-infer-start-5\r\n" + said.splitlines(True)[3]
        assert answer(rig, b"profile%") == b""
        ended = b"e-[ended by a 00 on the line]\r\nm-ready\r\n"
        assert answer(rig, b"lost\x00\x00name%") == ended + b"m-name-dut-[toy]\r\nm-ready\r\n"


def test_commands_that_come_while_the_model_is_loaded_are_carried_out_after_it() -> None:
    rig = toy_rig(toy=LivelyToy, load_s=1.0, baud=None, latency_s=0.0)
    answer(rig, b"")
    assert answer(rig, b"db load 27648%db 0102%infer 1 0%") == (
        b"m-[Expecting 27648 bytes]\r\nm-ready\r\nm-ready\r\n"
        b"e-[Input db has 2 bytes, expected 27648]\r\nm-ready\r\n"
    )


def test_a_firmware_that_speaks_bench_too_is_named_by_what_it_says_of_itself_there() -> None:
    both = connect("mlperf-tiny", toy_rig(toy=LivelyToy).port)
    told = both.identify()
    assert (told.firmware_name, told.firmware_version, told.build_hash) == ("bench", "1.2.3", "0123abcd")
    assert (told.tick_hz, told.resolution_ticks) == (1_000_000, 1)
    assert "alive" in told.capabilities
    both.load(0, b"\x01" * 27648)
    assert both.run(1, 2).complete
    text = connect("mlperf-tiny", toy_rig(firmware=lambda e, b: MlperfFirmware(INFO, e)).port)
    told = text.identify()
    assert (told.board, told.firmware_name, told.build_hash) == ("toy", "MLPerf Tiny", None)
    assert told.firmware_version == "ULPMark for tinyML Firmware V0.0.1"
    text.load(0, b"\x01" * 27648)
    assert text.run(1, 2).complete
    assert text.results == both.results != []  # type: ignore[attr-defined]


def test_both_protocols_work_in_turn_on_one_port_and_load_the_same_input() -> None:
    rig = toy_rig()
    session = rig.session()
    session.select(ADDRESS)
    session.load(0, b"\x11" * INPUTS[0].bytes)
    tiny = connect("mlperf-tiny", rig.port)
    tiny.load(0, b"\x22" * INPUTS[0].bytes)
    tiny.run(0, 1)
    with pytest.raises(DeviceRefused, match="no run has brought outputs"):
        session.output(0)
    session.run(0, 1)
    assert session.output(0) == expected_output(b"\x22" * INPUTS[0].bytes, bytes(20))


def test_text_that_needs_the_model_is_refused_during_a_run_and_does_not_disturb_it() -> None:
    rig = toy_rig(cost=lambda n: 20_000)
    session = rig.session()
    session.select(ADDRESS)

    def intrude(index: int, ticks: int) -> None:
        if index == 10:
            rig.port.write(b"db load 4%db 01020304%infer 5 0%results%name%")

    run = session.run(0, 60, on_sample=intrude)
    assert run.samples == [20_000] * 60
    assert rig.engines[0].invokes == 60
    said = session._link._decoder.outside  # type: ignore[attr-defined]
    assert said.count(b"e-[a run is under way]\r\nm-ready\r\n") == 4
    assert said.endswith(b"m-name-dut-[toy]\r\nm-ready\r\n")
    assert session.output(0) == expected_output(bytes(INPUTS[0].bytes), bytes(20))


def test_text_takes_the_first_model_where_none_is_selected() -> None:
    rig = toy_rig()
    assert answer(rig, b"infer 1 0%").endswith(b"m-ready\r\n")
    session = rig.session()
    assert session.run(0, 2).complete


def test_the_client_benches_a_firmware_with_no_more_than_the_api() -> None:
    rig = toy_rig(cost=lambda n: 10_000)
    session = connect("mlperf-tiny", rig.port)
    identity = session.identify()
    assert (identity.board, identity.tick_hz) == ("toy", 1_000_000)
    [model] = session.models()
    assert model.name == "other"
    assert session.select(model.address).inputs == ()
    steps: list[tuple[int, int]] = []
    session.load(0, b"\x01" * INPUTS[0].bytes, lambda done, total: steps.append((done, total)))
    assert len(steps) == 892
    run = session.run(2, 50)
    assert (len(run.samples), session.batch(50), run.complete) == (10, 5, True)
    assert [session.memory(), session.output(0), session.layers(), run.drift_ppm] == [None] * 4
    assert not session.features & {"memory", "tensors", "outputs", "layers"}


def test_what_the_api_cannot_do_is_said_in_one_line() -> None:
    session = connect("mlperf-tiny", toy_rig().port)
    with pytest.raises(HarnessError, match="loads one input"):
        session.load(1, b"x")
    with pytest.raises(HarnessError, match="no reset"):
        session.reset()
    with pytest.raises(DeviceRefused, match="takes 27648 bytes for other, not 490"):
        session.load(0, bytes(490))


def test_a_line_that_damages_input_is_told_as_such() -> None:
    session = connect("mlperf-tiny", toy_rig("drop=1e-4,seed=1").port)
    with pytest.raises(BoardError, match="a line that damages bytes needs a firmware that speaks bench"):
        session.load(0, bytes(INPUTS[0].bytes))


@pytest.mark.parametrize("event", ["reset", "vanish"])
def test_a_run_survives_it_wherever_it_happens(event: str) -> None:
    kinds = set()
    for at in range(1000, 3600, 197):
        rig = toy_rig(f"{event}@{at}", cost=lambda n: 10_000)
        session = connect("mlperf-tiny", rig.port)
        session.load(0, b"\x01" * 27648)
        run = session.run(1, 100)
        assert run.samples == [100_000] * 10
        kinds |= {incident.kind for incident in session.incidents}
    assert kinds == ({"reset", "reconnected"} if event == "reset" else {"port-lost", "reconnected"})


def test_a_failed_invoke_is_told_and_samples_are_kept() -> None:
    session = connect("mlperf-tiny", toy_rig(fail_at=31).port)
    session.load(0, b"\x01" * 27648)
    with pytest.raises(RunInterrupted, match="node 3") as caught:
        session.run(0, 100)
    assert len(caught.value.run.samples) == 3


def test_input_that_the_line_ate_is_noticed() -> None:
    rig = toy_rig("drop=1/3000,seed=3")
    session = connect("mlperf-tiny", rig.port)
    with pytest.raises(BoardError):
        session.load(0, b"\x01" * INPUTS[0].bytes)
