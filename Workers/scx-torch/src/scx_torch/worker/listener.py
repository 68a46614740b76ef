"""Accepts connections and serves each on a thread of its own."""

import errno
import fcntl
import os
import socket
import ssl
import stat
import sys
import threading
import time
from collections.abc import Callable

from scx_torch.link import shared_memory
from scx_torch.link.errors import LinkError, disconnected
from scx_torch.link.stream import ByteStream, SocketStream
from scx_torch.link.tls import Identity
from scx_torch.printable import printable
from scx_torch.worker.address import Address
from scx_torch.worker.server import Server

_HANDSHAKES = 256
_PATH_LIMIT = 107


def log(text: str) -> None:
    """Writes a line to standard error."""
    sys.stderr.write(f"scx-torch-worker: {printable(text, 1_000)}\n")
    sys.stderr.flush()


class Listener:
    """A listening socket."""

    def __init__(self, address: Address, identity: Identity | None) -> None:
        self._address = address
        self._identity = identity
        self._shaking: list[ssl.SSLSocket] = []
        self._lock = threading.Lock()
        try:
            if address.path is not None:
                self.socket = _listen_unix(address.path)
            else:
                family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
                self.socket = socket.create_server(
                    (address.host, address.port), family=family, backlog=256, reuse_port=False
                )
        except OSError as error:
            raise disconnected(f"{address}: cannot listen on it: {error.strerror or error}") from None

    def run(self, server: Server) -> None:
        """Accepts connections until the listener fails."""
        while True:
            try:
                connection, peer = self.socket.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED):
                    time.sleep(0.1)  # Until other connections end.
                    continue
                raise disconnected(f"{self._address}: cannot accept: {error.strerror}") from None
            prepare = self._preparation(connection, peer)
            thread = threading.Thread(target=_serve, args=(server, connection, prepare), daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                log(f"a connection is refused: {error}")
                connection.close()
                time.sleep(0.1)  # Until other connections end, and with them their threads.

    def close(self) -> None:
        """Stops listening; `run` then raises."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()

    def _preparation(self, connection: socket.socket, peer: object) -> Callable[[], ByteStream]:
        """Makes the stream to serve of a connection; it may wait for the peer."""
        if self._identity is None:
            name = self._address.path or ""
            return lambda: shared_memory.accept(SocketStream(connection, name))
        host, port = (peer[0], peer[1]) if isinstance(peer, tuple) else ("?", 0)
        identity, name = self._identity, f"client at {host}:{port}"

        def shake() -> ByteStream:
            secure = identity.wrap(connection, name)
            try:
                self._begin_handshake(secure)
                try:
                    return identity.shake(secure, name)
                finally:
                    self._end_handshake(secure)
            except Exception:
                secure.close()
                raise

        return shake

    def _begin_handshake(self, secure: ssl.SSLSocket) -> None:
        """Counts a handshake; when there are too many, the oldest is ended."""
        with self._lock:
            self._shaking.append(secure)
            if len(self._shaking) <= _HANDSHAKES:
                return
            try:
                # The method of SSLSocket would take the TLS state away from the thread that uses it.
                socket.socket.shutdown(self._shaking.pop(0), socket.SHUT_RDWR)
            except OSError:
                pass

    def _end_handshake(self, secure: ssl.SSLSocket) -> None:
        with self._lock:
            if secure in self._shaking:
                self._shaking.remove(secure)


def _serve(server: Server, connection: socket.socket, prepare: Callable[[], ByteStream]) -> None:
    try:
        error = server.serve(prepare())
        if error is not None:
            log(f"a connection ended: {error}")
    except LinkError as error:
        log(f"a connection ended: {error}")
    finally:
        connection.close()


def _listen_unix(path: str) -> socket.socket:
    """Listens on a path; replaces a socket that a dead process left, but never one that answers, nor another file."""
    if not 0 < len(path.encode()) <= _PATH_LIMIT or "\0" in path:
        raise disconnected(f"'{path}': a socket's path has 1 to {_PATH_LIMIT} bytes; choose a shorter one")
    # Two processes that start at once could each take the other's new socket for a left one.
    directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        _remove_stale(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(mask)
        listener.listen(256)
        return listener
    finally:
        os.close(directory)


def _remove_stale(path: str) -> None:
    try:
        is_socket = stat.S_ISSOCK(os.lstat(path).st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise disconnected(f"{path}: there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise disconnected(f"{path}: another process listens on it")
