"""Mutual TLS 1.3; docs/protocol.md, section TCP."""

import os
import socket
import ssl
import stat

from scx_torch.link.errors import disconnected, incompatible, timed_out
from scx_torch.link.stream import SocketStream

HANDSHAKE_SECONDS = 10.0
_FILE_LIMIT = 1 << 20


class Identity:
    """This side's certificate and key, and the certificates of the peers that it lets in.

    As `scx-worker` does, it takes a client whose certificate is itself in the trust file and within its dates. The
    system's list of authorities plays no part.
    """

    def __init__(self, certificate: str, key: str, trusted: str) -> None:
        for path in (certificate, key, trusted):
            _check(path, is_secret=path == key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        # A resumed session would not prove the client's key anew.
        context.num_tickets = 0
        try:
            context.load_verify_locations(cafile=trusted)
            with open(trusted, encoding="ascii") as file:
                self._trusted = _certificates(file.read())
        except (ssl.SSLError, ValueError):
            raise LinkErrorOfFile(trusted, "holds no certificate in PEM form, or a damaged one") from None
        try:
            # Without a password's callback OpenSSL would ask at the terminal.
            context.load_cert_chain(certificate, key, password=lambda: b"")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise LinkErrorOfFile(key, f"is not the private key of {certificate}") from None
            raise LinkErrorOfFile(
                certificate, f"or {key} is no certificate or key in PEM form, or a damaged or locked one"
            ) from None
        self._context = context
        self._file = trusted

    def wrap(self, connection: socket.socket, name: str) -> ssl.SSLSocket:
        """The socket of an accepted connection for TLS, which takes the place of the plain one."""
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        except (ssl.SSLError, OSError) as error:
            raise disconnected(f"{name}: the TLS handshake failed: {error}") from None

    def shake(self, secure: ssl.SSLSocket, name: str) -> SocketStream:
        """Runs the handshake of a socket from `wrap`, and checks the client's certificate."""
        try:
            secure.settimeout(HANDSHAKE_SECONDS)
            secure.do_handshake()
        except TimeoutError:
            raise timed_out(f"{name}: no TLS handshake in {HANDSHAKE_SECONDS:.0f} seconds") from None
        except ssl.SSLCertVerificationError as error:
            raise incompatible(f"{name}: its certificate is refused: {error.verify_message}") from None
        except (ssl.SSLError, OSError) as error:
            raise disconnected(f"{name}: the TLS handshake failed: {error}") from None
        if secure.getpeercert(binary_form=True) not in self._trusted:
            raise incompatible(f"{name}: its certificate is not in {self._file}")
        return SocketStream(secure, name)


class LinkErrorOfFile(Exception):
    """A key or certificate file that cannot be used."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


def _check(path: str, is_secret: bool) -> None:
    try:
        status = os.stat(path)
    except OSError as error:
        raise LinkErrorOfFile(path, f"cannot read it: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise LinkErrorOfFile(path, "is not a file")
    if is_secret and status.st_mode & 0o007:
        raise LinkErrorOfFile(path, f"everybody may read this private key; run: chmod 600 {path}")
    if status.st_size > _FILE_LIMIT:
        raise LinkErrorOfFile(path, "is too large for keys and certificates")
    try:
        open(path, "rb").close()
    except OSError as error:
        raise LinkErrorOfFile(path, f"cannot read it: {error.strerror}") from None


def _certificates(text: str) -> set[bytes | None]:
    """The certificates of a PEM file in DER form."""
    end = "-----END CERTIFICATE-----"
    pieces = [piece for piece in text.split(end) if "-----BEGIN CERTIFICATE-----" in piece]
    found: set[bytes | None] = {
        ssl.PEM_cert_to_DER_cert(piece[piece.index("-----BEGIN CERTIFICATE-----") :] + end + "\n") for piece in pieces
    }
    if not found:
        raise ValueError
    return found
