"""Runs isoexec's proxy, Kamailio and a bare responder in turn under the same load."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from perf.floor import build
from perf.floor.run import Plan, Results, say, watched

SOURCES = Path(__file__).resolve().parent
PROGRAM = [str(SOURCES / name) for name in ("load.c", "answer.c")]
PORT, CALLER_PORT, CALLEE_PORT = 5070, 5080, 5090
SERVER_CORE, LOAD_CORE = "0", "1"
UP_SECONDS = 20.0
WARM_SECONDS = 0.3
WINDOW, RATE_WINDOW = 64, 4096
# Where root runs this, the processes measured go before others: by niceness at full load, which
# would otherwise lock the machine, and in real time while delays are measured. Without that, p99 is
# how long others keep a core: 3 to 30 ms, for the bare responder too. The load is never in real
# time: it does not sleep while delays are measured, and would be stopped 50 ms of each second.
NICE, REAL_TIME = -20, 50
# What Kamailio does after its method; isoexec's methods have the names of the cases.
ROUTES = {
    "reply_py": 'python_exec("reply"); sl_send_reply("200", "OK");',
    "fwd_py": 'python_exec("target"); forward();',
    "t_relay": 'python_exec("target"); t_relay();',
}
QUANTILES = ("p50", "p90", "p99", "p999", "longest", "span_p99")


@dataclass(frozen=True)
class ProxyPlan(Plan):
    seconds: float  # of each of the two loads of a sample


FULL = ProxyPlan(repeats=7, seconds=2.0)
QUICK = ProxyPlan(repeats=1, seconds=0.5)


def _command_isoexec(case: str, _folder: Path) -> list[str]:
    options = ["--listen", f"udp:127.0.0.1:{PORT}", "-w", "1", "--request-route", case]
    handler = str(SOURCES / "handler.py")
    return [sys.executable, "-P", "-m", "isoexec", "serve", *options, handler]


def find_kamailio() -> tuple[str, Path] | None:
    """The program, and its module app_python3."""
    program = shutil.which("kamailio", path="/usr/sbin:/usr/local/sbin")
    found = sorted(Path("/usr/lib").glob("*/kamailio/modules/app_python3.so"))
    return (program, found[0]) if program and found else None


def _command_kamailio(case: str, folder: Path, allocator: str = "tlsf") -> list[str]:
    installed = find_kamailio()
    if installed is None:
        raise build.FloorError(
            "Kamailio is not installed; apt install kamailio kamailio-python3-modules."
        )
    program, module = installed
    text = (SOURCES / "kamailio.cfg.in").read_text()
    values = {"MODULES": f"{module.parent}/", "HANDLER": f"{SOURCES}/handler.py"}
    for name, value in (values | {"ROUTE": ROUTES[case]}).items():
        text = text.replace(f"@{name}@", value)
    config = folder / "kamailio.cfg"
    config.write_text(text)
    memory = ["-m", "1024", "-M", "16", "-x", allocator, "-X", allocator]
    return [program, "-f", str(config), "-DD", "-E", "-Y", str(folder), *memory]


def _command_bare(_case: str, folder: Path) -> list[str]:
    return [str(folder / "load"), "answer", str(PORT)]


def _command_kamailio_qm(case: str, folder: Path) -> list[str]:
    return _command_kamailio(case, folder, "qm")  # what it takes if nobody chooses


# Kamailio first: its rate is one that all are measured at.
SIDES = ("kamailio", "isoexec", "bare")
COMMANDS = {
    "kamailio": _command_kamailio,
    "kamailio_qm": _command_kamailio_qm,
    "isoexec": _command_isoexec,
    "bare": _command_bare,
}


@contextlib.contextmanager
def _running(command: list[str], core: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, on one core, ahead of others if root runs this."""
    words = ["taskset", "-c", core, *command]
    if os.geteuid() == 0:
        words = ["nice", "-n", str(NICE), *words]
    # Kamailio's Python takes its library from the first python3 on PATH.
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    process = subprocess.Popen(
        words,
        env={**os.environ, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with contextlib.suppress(OSError):  # niceness acts inside a session's group only
        Path(f"/proc/{process.pid}/autogroup").write_text(str(NICE))
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.communicate(timeout=UP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def _wait_until_up(process: subprocess.Popen[bytes], side: str) -> None:
    """Until it answers, so that its Python has loaded the handler."""
    asked = (
        f"OPTIONS sip:alice@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{CALLER_PORT};"
        "branch=z9hG4bKup;rport\r\nMax-Forwards: 70\r\nFrom: <sip:up@127.0.0.1>;tag=1\r\n"
        "To: <sip:alice@127.0.0.1>\r\nCall-ID: up\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()
    end = time.monotonic() + UP_SECONDS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", CALLER_PORT))
        peer.settimeout(0.2)
        while process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(OSError):
                peer.sendto(asked, ("127.0.0.1", PORT))
                peer.recv(65536)
                return
    raise build.FloorError(f"{side} does not answer on port {PORT}.")


def _threads(session: int) -> list[Path]:
    """The folders in /proc of all threads of a session's processes."""
    found: list[Path] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[3]) == session:
                found += stat.parent.glob("task/*")
    return found


def _cpu_ns(session: int) -> int:
    """CPU time that the threads of a session's processes have used."""
    return sum(int((path / "schedstat").read_text().split()[0]) for path in _threads(session))


def _run_in_real_time(session: int) -> None:
    if os.geteuid() == 0:
        for path in _threads(session):
            os.sched_setscheduler(int(path.name), os.SCHED_FIFO, os.sched_param(REAL_TIME))


def _load(folder: Path, window: int, rate: float, seconds: float) -> list[float]:
    """Requests per second, answered, lost, quantiles in us. At a rate it is the callee too."""
    callee = CALLEE_PORT if rate > 0 else 0
    words = [CALLER_PORT, PORT, window, rate, seconds, WARM_SECONDS, callee]
    command = [str(folder / "load"), "call", *map(str, words)]
    with _running(command, LOAD_CORE) as process:
        out, _ = process.communicate(timeout=60)
    if process.returncode:
        raise build.FloorError("the load generator failed.")
    return [float(word) for word in out.split()]


def _sample(results: Results, folder: Path, case: str, side: str, seconds: float) -> None:
    """The most that it can do, then the delays at half of that, and at half of Kamailio's most."""
    callee = [str(folder / "load"), "answer", str(CALLEE_PORT)]
    with _running(COMMANDS[side](case, folder), SERVER_CORE) as process:
        with _running(callee, LOAD_CORE):
            _wait_until_up(process, side)
            before = _cpu_ns(process.pid)
            rate, answered, lost, *_ = _load(folder, WINDOW, 0, seconds)
            used = _cpu_ns(process.pid) - before
        if answered == 0:
            raise build.FloorError(f"{side} answered no request of {case}.")
        _run_in_real_time(process.pid)
        _, _, lost_at_half, *delays = _load(folder, RATE_WINDOW, rate / 2, seconds)
        of_kamailio = results.samples[f"{case}.rate"]["kamailio"]
        same_rate = of_kamailio[-1] if of_kamailio and side != "kamailio" else rate
        _, _, lost_at_same, *same_delays = _load(folder, RATE_WINDOW, same_rate / 2, seconds)
    samples = results.samples
    samples[f"{case}.cpu"][side].append(used / answered)
    samples[f"{case}.rate"][side].append(rate)
    samples[f"{case}.lost"][side].append(lost + lost_at_half + lost_at_same)
    for name, delay, same_delay in zip(QUANTILES, delays, same_delays, strict=True):
        samples[f"{case}.{name}"][side].append(delay * 1000)
        samples[f"{case}.same_{name}"][side].append(same_delay * 1000)


def measure(version: str, plan: ProxyPlan, sides: Sequence[str] = SIDES) -> Results:
    """Builds the load generator and measures every case, the sides in turn."""
    if len(os.sched_getaffinity(0)) < 2:
        raise build.FloorError("two cores are needed: one for the proxy, one for the load.")
    results = Results(version, plan)
    with tempfile.TemporaryDirectory(prefix="isoexec-proxy-") as name:
        folder = Path(name)
        build.compile_sources(PROGRAM, [], folder / "load")
        with watched(results):
            for repeat in range(plan.repeats):
                say(f"proxy: repeat {repeat + 1} of {plan.repeats}")
                for case in ROUTES:
                    for side in sides:
                        if side != "bare" or case == "reply_py":
                            _sample(results, folder, case, side, plan.seconds)
    return results
