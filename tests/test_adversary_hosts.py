"""Hosts that do what they should not, and threads with little stack: an error, never a crash."""

from pathlib import Path

import pytest

from support.run import compile_host, run, run_python
from support.scripts import runs

PROLOGUE = """
import os, sys, threading, time
from isoexec import Engine, errors
from support.messages import INVITE

def start(target, *arguments, daemon=False):
    thread = threading.Thread(target=target, args=arguments, daemon=daemon)
    thread.start()
    return thread

def opened(engine, number, times=1):
    for _ in range(times):
        try:
            with engine.open_rank(number) as rank:
                assert rank.python_exec("fine", INVITE).code in (7, -1)
        except errors.IsoexecError:
            pass

def new(ranks=8, grace=1):
    return Engine("handler.py", ranks=ranks, channel="inline", grace=grace)
"""

PLAIN = """
import time
class H:
    def child_init(self, rank):
        return 0
    def fine(self, msg):
        return 7
    def sleep(self, msg):
        time.sleep(0.5)
        return 3
    def ask(self, msg):
        return msg.call_function("ask")
def mod_init():
    return H()
"""

HOSTS = {
    "64 threads": """
with new(64) as engine:
    for thread in [start(opened, engine, n) for n in range(1, 65)]: thread.join()
""",
    "all on one number": """
with new() as engine:
    for thread in [start(opened, engine, 1, 5) for _ in range(8)]: thread.join()
""",
    "closed while it opens": """
for turn in range(10):
    engine = new(4, 10)
    threads = [start(opened, engine, n) for n in range(1, 5)]
    time.sleep(turn * 0.003)
    assert engine.close() == 0
    for thread in threads: thread.join()
""",
    "closed by many": """
for turn in range(5):
    engine = new(4, 10)
    threads = [start(opened, engine, n) for n in range(1, 5)]
    threads += [start(engine.close) for _ in range(4)]
    for thread in threads: thread.join()
    assert engine.closed
""",
    "closed during a call": """
def sleeper():
    with engine.open_rank(1) as rank:
        ready.set()
        codes.append(rank.python_exec("sleep", INVITE).code)
ready, codes = threading.Event(), []
engine = new(grace=5)
thread = start(sleeper)
ready.wait()
abandoned = engine.close()
thread.join()
assert (abandoned, codes) == (0, [3]), (abandoned, codes)
""",
    "abandoned during a call": """
def sleeper():
    with engine.open_rank(1) as rank:
        ready.set()
        codes.append(rank.python_exec("sleep", INVITE).code)
ready, codes = threading.Event(), []
engine = new(grace=0.05)
thread = start(sleeper)
ready.wait()
assert engine.close() == 1
thread.join()
assert codes == [3], codes
sys.exit(0)
""",
    "exit while ranks open": """
engine = new(4)
for n in range(1, 5): start(opened, engine, n, 1000, daemon=True)
time.sleep(0.05)
sys.exit(0)
""",
    "host function closes all": """
def ask(call):
    engine.close()
    return 3
engine = Engine("handler.py", ranks=2, channel="inline", grace=0.1, functions={"ask": ask})
rank = engine.open_rank(1)
rank.python_exec("ask", INVITE)
sys.exit(0)
""",
    "host function closes the rank": """
def ask(call):
    try: rank.close()
    except errors.IsoexecError: return 3
engine = Engine("handler.py", ranks=2, channel="inline", grace=0.1, functions={"ask": ask})
with engine, engine.open_rank(1) as rank:
    assert rank.python_exec("ask", INVITE).code == 3
""",
    "host function opens ranks": """
def ask(call):
    with engine.open_rank(2) as other:
        assert other.python_exec("fine", INVITE).code == 7
    try: engine.open_rank(1)
    except errors.IsoexecError: return 3
engine = Engine("handler.py", ranks=2, channel="inline", functions={"ask": ask})
with engine, engine.open_rank(1) as rank:
    assert rank.python_exec("ask", INVITE).code == 3
""",
    "host function leaves": """
def ask(call): sys.exit(5)
engine = Engine("handler.py", ranks=2, channel="inline", functions={"ask": ask})
with engine, engine.open_rank(1) as rank:
    assert rank.python_exec("ask", INVITE).code == -1
""",
    "rank dropped on another thread": """
engine = new()
box = []
thread = start(lambda: box.append(engine.open_rank(1)))
thread.join()
import warnings; warnings.simplefilter("ignore")
start(box.clear).join()
assert engine.close() == 0
""",
}


@pytest.mark.parametrize("mode", ["plain", "development"])
@pytest.mark.parametrize("text", HOSTS.values(), ids=HOSTS.keys())
def test_a_hostile_host(text: str, mode: str, tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text(PLAIN, encoding="utf-8")
    env = {"PYTHONDEVMODE": "1"} if mode == "development" else {}
    ended = run_python(PROLOGUE + text, tmp_path, env=env).expect()
    assert "Fatal Python error" not in ended.err


C_HOST = r"""
#include <isoexec.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static iso_engine *engine;
static const char *method;
static char message[] = "OPTIONS sip:a@b SIP/2.0\r\nCall-ID: 1\r\n\r\n";
static int destroys;

static void *
work(void *unused)
{
    iso_error err;
    iso_rank *rank;
    iso_msg msg;
    iso_result result;
    if (iso_rank_open(engine, 1, &rank, &err) < 0) {
        printf("%s\n", err.message);
        return unused;
    }
    iso_msg_init(&msg, message, sizeof message - 1);
    iso_python_exec(rank, method, &msg, (iso_str){NULL, 0}, &result);
    printf("%s %s\n", iso_outcome_name(result.outcome),
           result.error.p && strstr(result.error.p, "RecursionError") ? "recursion" : "");
    if (destroys)
        iso_engine_destroy(engine);
    else
        iso_rank_close(rank);
    return unused;
}

int
main(int argc, char **argv)
{
    iso_config config;
    iso_error err;
    pthread_attr_t attributes;
    pthread_t thread;
    iso_config_init(&config);
    config.script_name = argv[1];
    config.log_level = ISO_LOG_ALERT;
    method = argv[2];
    destroys = argc > 4;
    if (iso_engine_create(&engine, &config, &err) < 0)
        return 1;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, (size_t)atoi(argv[3]) << 10);
    if (pthread_create(&thread, &attributes, work, NULL) != 0)
        return 1;
    pthread_join(thread, NULL);
    return destroys ? 0 : iso_engine_destroy(engine) != 0;
}
"""

DEEP = """
import json, re
class H:
    def child_init(self, rank):
        return 0
    def fine(self, msg):
        return 7
    def python(self, msg):
        return 1 + self.python(msg)
    def nested(self, msg):
        found = []
        for _ in range(100_000):
            found = [found]
        return len(repr(found))
    def slots(self, msg):
        class D:
            def __getattr__(self, name):
                return getattr(self, name)
        return D().x
    def sort(self, msg):
        def key(one):
            return sorted([1, 2], key=key)
        return key(1)
    def pattern(self, msg):
        return re.compile("(" * 5000 + ")" * 5000) and 1
    def json(self, msg):
        return len(json.loads("[" * 100_000))
def mod_init():
    return H()
"""


@pytest.fixture(scope="module")
def c_host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("c_host")
    (folder / "host.c").write_text(C_HOST, encoding="utf-8")
    (folder / "deep.py").write_text(DEEP, encoding="utf-8")
    return compile_host(folder / "host.c", folder)


@pytest.mark.parametrize("kilobytes", [64, 256, 300, 1024, 4096, 8192])
@pytest.mark.parametrize("method", ["python", "nested", "slots", "sort", "pattern", "json"])
def test_a_thin_stack(c_host: Path, method: str, kilobytes: int) -> None:
    """Refused, or deep recursion is an error."""
    ended = run([str(c_host), str(c_host.parent / "deep.py"), method, str(kilobytes)]).expect()
    assert "stack" in ended.out or "raised recursion" in ended.out or method == "pattern"


def test_the_thread_of_an_open_rank_destroys_the_engine(c_host: Path) -> None:
    """The thread's end must not look at the rank that went with the engine. glibc fills what is
    freed, so that such a look is a crash."""
    run(
        [str(c_host), str(c_host.parent / "deep.py"), "fine", "8192", "destroys"],
        env={"GLIBC_TUNABLES": "glibc.malloc.perturb=165"},
    ).expect()


@pytest.mark.stress
@pytest.mark.timeout(1800)
def test_a_rank_opened_a_thousand_times(tmp_path: Path) -> None:
    """Memory grows by what CPython keeps of an ended interpreter: nothing from 3.14 on."""
    (tmp_path / "handler.py").write_text(PLAIN, encoding="utf-8")
    text = f"""
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
rounds = {100 * runs(10)}
with new() as engine:
    opened(engine, 1, 20)
    before = resident()
    opened(engine, 1, rounds)
    growth = (resident() - before) / rounds
print(f"{{growth / 1024:.0f}} KiB each")
assert growth < (7 << 19 if sys.version_info < (3, 14) else 64 << 10), growth
"""
    run_python(PROLOGUE + text, tmp_path, limit=1500).expect()
