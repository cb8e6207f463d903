"""A process that has loaded the decoder and forks for each task: a fork takes a millisecond, to load takes twenty.

`ystore.replay` starts this file by its path, without `site`, with a socket as standard input and the folders of the package
pycrdt as arguments. So it loads nothing of pycrdt but what is compiled, and next to nothing else. A request is one message: the
task, and four descriptors, of a socket and of files for updates, answer and errors. On the socket it says that the fork has
begun, and its status when it has ended; when the other side shuts that down the fork is killed. The process ends with the other
end of its standard input, and when nobody has asked for a while.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys

if __name__ == "__main__":
    for package, folders in (("pycrdt", sys.argv[1:]), ("ystore", [os.path.dirname(__file__)])):
        bare = sys.modules[package] = type(sys)(package)  # without what its __init__ would load
        bare.__path__ = folders

from ystore import decode

BEGUN = b"begun"
IDLE_S = 300.0


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the other side, which then ends this one
    os.nice(10)  # those who type go first
    control = socket.socket(fileno=0)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    ends: dict[int, tuple[int, socket.socket]] = {}
    """By descriptor of a fork (which is readable when it has ended) and of its socket: the process id, and the socket."""
    try:
        while ready := poll.poll(None if ends else IDLE_S * 1000):
            fd = ready[0][0]  # one at a time: what it closes and opens may have the number of another
            if fd != control.fileno():
                _end(fd, poll, ends)
            elif not _begin(control, poll, ends):
                return
    finally:
        for pid, _ in ends.values():
            os.kill(pid, signal.SIGKILL)


def _begin(control: socket.socket, poll: select.poll, ends: dict[int, tuple[int, socket.socket]]) -> bool:
    """Takes a request and forks. False if there is nobody any more."""
    task, fds, _, _ = socket.recv_fds(control, 64, 4)
    if len(fds) == 4:
        try:
            pid = os.fork()
        except OSError:  # the other side sees that nothing has begun
            pass
        else:
            if pid == 0:
                _work(task.decode(), *fds[1:])
            life, fork = socket.socket(fileno=os.dup(fds[0])), os.pidfd_open(pid)
            for fd in (life.fileno(), fork):
                ends[fd] = pid, life
                poll.register(fd, select.POLLIN)
            _tell(life, BEGUN)
    for fd in fds:
        os.close(fd)
    return bool(task)


def _end(fd: int, poll: select.poll, ends: dict[int, tuple[int, socket.socket]]) -> None:
    pid, life = ends.pop(fd)
    poll.unregister(fd)
    if fd == life.fileno():
        os.kill(pid, signal.SIGKILL)  # not waited for yet, so nobody else can have this id
        return
    os.close(fd)
    _, status = os.waitpid(pid, 0)
    if ends.pop(life.fileno(), None):
        poll.unregister(life)
    _tell(life, b"%d" % os.waitstatus_to_exitcode(status))
    life.close()


def _tell(life: socket.socket, what: bytes) -> None:
    try:  # noqa: SIM105 - contextlib would be loaded
        life.send(what, socket.MSG_NOSIGNAL)
    except OSError:  # nobody waits for it
        pass


def _work(task: str, *fds: int) -> None:
    """In the fork. Does not return."""
    try:
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
        os.closerange(len(fds), 65536)
        sys.stdout.buffer.write(decode.answer(task, _read()))
        sys.stdout.buffer.flush()
    except decode.Fault as fault:
        import json

        os.write(2, json.dumps({"index": fault.index, "reason": str(fault)}).encode() + b"\n")
        os._exit(1)
    except BaseException as error:  # noqa: BLE001 - nothing may get back into the parent's loop
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os._exit(0)


def _read() -> list[bytes]:
    data, offset, updates = sys.stdin.buffer.read(), 0, []
    while offset < len(data):
        start = offset + 8
        offset = start + int.from_bytes(data[offset:start], "little")
        updates.append(data[start:offset])
    return updates


if __name__ == "__main__":
    main()
