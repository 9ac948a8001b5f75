"""A process that has imported one program, and forks itself for each start of it, or of one that is made of it.

    test ── arguments, standard streams ──► zygote ── fork ──► `python -m gateway …`, with everything imported
         ◄── pid, later the wait status ──┘

A start of a gateway costs two seconds of CPU for imports, and that of an OPC UA server twice that: 6 000 nodes of the
standard.  The tests start hundreds.  A fork is a process like any other: it has its own loop, sockets and signals, and
can be killed.  The gateway and the simulators have a zygote each, so that neither has what the other one has imported.

Run as `python -m tests.support.zygote PROGRAM`, with a Unix socket as standard input (`forked.py` does).
"""

import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import termios

STREAMS = 3
OF_THE_GATEWAY = ("gateway", "tests.support.outbox_child", "tests.support.timed_gateway")
OF_ITS_OWN = ("tests.support.shifted_clock",)
"""It takes the clock's place before the gateway is imported."""


def program_of(module: str) -> str:
    """Whose zygote forks into this module; servers for tests need about what the simulators do."""
    if module in OF_ITS_OWN:
        return module
    return "gateway" if module in OF_THE_GATEWAY else "simulators"


def prepare(program: str) -> None:
    """Import what the program needs.  The nodes of the standard are made once for all servers."""
    gc.disable()
    if program in OF_ITS_OWN:
        importlib.import_module(program)
    elif program == "gateway":
        for command in importlib.import_module("gateway.cli").COMMANDS:
            line = command.place.split(":")[0]
            importlib.import_module(line)
            importlib.import_module(line.replace(".lines.", "."))  # what does the work, which the line imports later
    else:
        for part in ("cli", "app", "fleet", "trial_server", "vehicles", "improve", "verify"):
            importlib.import_module(f"simulators.{part}")
        keep_standard_nodes()
    gc.collect()
    gc.freeze()
    gc.enable()


def keep_standard_nodes() -> None:
    import asyncua.server.standard_address_space.standard_address_space as standard
    from asyncua.server.address_space import AddressSpace, NodeManagementService

    space = AddressSpace()
    made = standard.fill_address_space
    made(NodeManagementService(space))  # type: ignore[no-untyped-call]  # asyncua's

    def fill(service: NodeManagementService) -> None:
        """Give the nodes themselves to the first server of a process, and make them anew for a further one."""
        if space._nodes:
            service._aspace._nodes.update(space._nodes)
            space._nodes.clear()
        else:
            made(service)  # type: ignore[no-untyped-call]  # asyncua's

    standard.fill_address_space = fill


def serve(requests: socket.socket) -> list[str]:
    """Fork for each request until the other side is gone.  Returns in a child only: its module and arguments."""
    children: dict[int, int] = {}
    awake, awaken = os.pipe()
    os.set_blocking(awaken, False)
    signal.set_wakeup_fd(awaken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([requests.fileno(), awake], [], [])
        if awake in ready:
            os.read(awake, 4096)
            for pid in list(children):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    requests.send(json.dumps({"request": children.pop(pid), "status": status}).encode())
        if requests.fileno() in ready:
            data, streams, _, _ = socket.recv_fds(requests, 1 << 16, STREAMS)
            if not data:
                sys.exit()
            request = json.loads(data)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for each in (requests.fileno(), awake, awaken):
                    os.close(each)
                requests.detach()
                return become(request, streams)
            for each in streams:
                os.close(each)
            children[pid] = request["request"]
            requests.send(json.dumps({"request": request["request"], "pid": pid}).encode())


def become(request: dict[str, object], streams: list[int]) -> list[str]:
    """Take the streams, folder and environment of a request; and a terminal, whose keys are signals then."""
    for number, each in enumerate(streams):
        os.dup2(each, number)
        os.close(each)
    if request["at_terminal"]:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    sys.stdin = os.fdopen(0, "r", encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False, buffering=1)
    os.chdir(str(request["cwd"]))
    environment = request["environment"]
    assert isinstance(environment, dict)
    os.environ.clear()
    os.environ.update(environment)
    arguments = request["arguments"]
    assert isinstance(arguments, list)
    return arguments


def main() -> None:
    requests = socket.socket(fileno=os.dup(0))
    prepare(sys.argv[1])
    requests.send(json.dumps({"request": 0, "pid": os.getpid()}).encode())
    module, *sys.argv[1:] = serve(requests)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
