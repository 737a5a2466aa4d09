"""What a script writes and logs reaches the host's log, with its level and its rank."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.host import Host

SCRIPT = """
import logging, sys, threading, warnings
import OpenSIPS

class H:
    def child_init(self, rank):
        self.rank = rank
        return 0

    def prints(self, msg, text):
        print(text)
        return 1

    def prints_in_pieces(self, msg):
        print("one", "two", end="")
        print(" three")
        sys.stdout.write("first\\nsecond\\n")
        return 1

    def prints_without_an_end(self, msg):
        print("no line end", end="")
        sys.stdout.flush()
        return 1

    def prints_much(self, msg):
        for number in range(1000):
            print("line", number)
        return 1

    def prints_long(self, msg):
        print("x" * 100_000)
        return 1

    def writes_to_stderr(self, msg):
        sys.stderr.write("to stderr\\n")
        return 1

    def odd_text(self, msg):
        print("surrogate \\udcff, NUL \\0, greek \\u03bb")
        OpenSIPS.LM_ERR("surrogate \\udcff, greek \\u03bb")
        return 1

    def levels(self, msg):
        for name in ("ALERT", "CRIT", "ERR", "WARN", "NOTICE", "INFO", "DBG"):
            getattr(OpenSIPS, "LM_" + name)("level " + name)
        return 1

    def wrong_arguments(self, msg):
        wrong = 0
        for arguments in ((), (5,), (b"x",), (None,), ("a", "b")):
            try:
                OpenSIPS.LM_ERR(*arguments)
            except TypeError:
                wrong += 1
        return wrong

    def percent(self, msg):
        OpenSIPS.LM_ERR("100 %s %n %d")
        return 1

    def logging(self, msg):
        logging.warning("a warning of %s", "logging")
        logging.getLogger("x.y").error("an error")
        return 1

    def logging_set_up(self, msg):
        logging.basicConfig(level=logging.DEBUG, format="%(levelname)s|%(message)s", force=True)
        logging.debug("set up")
        logging.shutdown()
        return 1

    def logs_an_exception(self, msg):
        try:
            raise LookupError("caught and logged")
        except LookupError:
            logging.exception("with traceback")
        return 1

    def warns(self, msg):
        warnings.warn("a python warning", UserWarning)
        return 1

    def thread_raises(self, msg):
        def work():
            raise LookupError("in a thread of the script")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return 1

    def stream_members(self, msg):
        for stream in (sys.stdout, sys.stderr):
            if stream.isatty() or not stream.writable() or stream.encoding.lower() != "utf-8":
                return -1
            if not isinstance(stream.fileno(), int) or stream.closed or not stream.errors:
                return -2
            stream.writelines(["a\\n", "b\\n"])
        try:
            sys.stdout.write(5)
        except TypeError:
            return 1
        return -3

    def stdin(self, msg):
        try:
            input()
        except (RuntimeError, EOFError, OSError):
            return 1
        return -1

    def none(self, msg):
        kept = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = None
        try:
            print("nowhere")
            logging.error("nowhere either")
        finally:
            sys.stdout, sys.stderr = kept
        return 1

    def closed(self, msg):
        sys.stdout.close()
        return 1

    def fine(self, msg):
        return 7

def mod_init():
    OpenSIPS.LM_INFO("mod_init runs")
    return H()
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    script = tmp_path_factory.mktemp("output") / "writer.py"
    script.write_text(SCRIPT, encoding="utf-8")
    with Host(script, 2, log_level="dbg") as opened:
        opened.log.wait("mod_init runs")
        yield opened


@pytest.fixture(autouse=True)
def fresh(host: Host) -> None:
    host.log.records.clear()


def test_print_arrives_with_its_rank(host: Host) -> None:
    for rank in (1, 2):
        assert host.call("prints", extra=f"hello from {rank}", rank=rank).code == 1
        assert host.log.wait(f"hello from {rank}", rank=rank) == f"hello from {rank}"


def test_the_loggers_name(host: Host) -> None:
    host.call("prints", extra="named")
    host.log.wait("named")
    assert {record.name for record in host.log.records} == {"isoexec.script"}


def test_lines_stay_lines(host: Host) -> None:
    assert host.call("prints_in_pieces").code == 1
    host.log.wait("second")
    assert host.log.texts() == ["one two three", "first", "second"]


def test_text_without_a_line_end_arrives_too(host: Host) -> None:
    assert host.call("prints_without_an_end").code == 1
    assert host.log.wait("no line end") == "no line end"


def test_many_lines_arrive_in_order(host: Host) -> None:
    assert host.call("prints_much").code == 1
    host.log.wait("line 999")
    assert host.log.texts() == [f"line {number}" for number in range(1000)]


def test_a_long_line(host: Host) -> None:
    assert host.call("prints_long").code == 1
    assert host.log.wait("xxxx").startswith("x" * 1000)


def test_stderr(host: Host) -> None:
    assert host.call("writes_to_stderr", rank=2).code == 1
    assert host.log.wait("to stderr", rank=2) == "to stderr"


def test_odd_text_never_fails_a_call(host: Host) -> None:
    result = host.call("odd_text")
    assert result.code == 1, result.error
    assert "\u03bb" in host.log.wait("surrogate")


def test_levels(host: Host) -> None:
    assert host.call("levels").code == 1
    host.log.wait("level DBG")
    levels = {record.getMessage(): record.levelno for record in host.log.records}
    assert levels["level ERR"] == logging.ERROR
    assert levels["level WARN"] == logging.WARNING
    assert levels["level DBG"] == logging.DEBUG
    order = [
        levels["level " + name]
        for name in ("ALERT", "CRIT", "ERR", "WARN", "NOTICE", "INFO", "DBG")
    ]
    assert order == sorted(order, reverse=True)


def test_wrong_arguments(host: Host) -> None:
    assert host.call("wrong_arguments").code == 5


def test_no_format_is_read(host: Host) -> None:
    assert host.call("percent").code == 1
    assert host.log.wait("100") == "100 %s %n %d"


def test_logging(host: Host) -> None:
    assert host.call("logging", rank=2).code == 1
    assert "a warning of logging" in host.log.wait("a warning", level=logging.WARNING, rank=2)
    assert "an error" in host.log.wait("an error", level=logging.ERROR, rank=2)


def test_logging_that_the_script_sets_up(host: Host) -> None:
    assert host.call("logging_set_up").code == 1
    assert "DEBUG|set up" in host.log.wait("set up")


def test_a_logged_exception(host: Host) -> None:
    assert host.call("logs_an_exception").code == 1
    host.log.wait("caught and logged")


def test_a_python_warning(host: Host) -> None:
    assert host.call("warns").code == 1
    host.log.wait("a python warning")


def test_an_exception_in_a_thread(host: Host) -> None:
    assert host.call("thread_raises").code == 1
    host.log.wait("in a thread of the script", rank=1)


def test_the_streams_have_what_libraries_ask_for(host: Host) -> None:
    assert host.call("stream_members").code == 1


def test_there_is_no_input(host: Host) -> None:
    assert host.call("stdin").code == 1


def test_streams_that_are_none(host: Host) -> None:
    result = host.call("none")
    assert result.code == 1, result.error
    assert host.call("fine").code == 7


def test_a_stream_that_the_script_closed(host: Host) -> None:
    assert host.call("closed", rank=2).code == 1
    assert host.call("fine", rank=2).code == 7


def test_a_level_that_is_off(tmp_path: Path) -> None:
    script = tmp_path / "writer.py"
    script.write_text(SCRIPT, encoding="utf-8")
    with Host(script, log_level="err") as host:
        assert host.call("levels").code == 1
        host.log.wait("level ERR")
        host.call("levels")
        assert not [
            text for text in host.log.texts() if text in ("level INFO", "level DBG", "level WARN")
        ]
