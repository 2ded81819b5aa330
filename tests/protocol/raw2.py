"""HTTP/2 by hand: frames as bytes, so that they can be wrong."""

import struct
import time

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIO = 1, 1, 4, 8, 32
NO_ERROR, PROTOCOL, INTERNAL, FLOW, SETTINGS_TIMEOUT, CLOSED, SIZE, REFUSED, CANCEL, COMPRESSION = range(10)
CALM = 11


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def fields(path=b"/health", method=b"GET", *more, authority=b"localhost"):
    head = [(b":method", method), (b":scheme", b"https"), (b":path", path)]
    if authority is not None:
        head.append((b":authority", authority))
    return head + list(more)


def block(head):
    """Literal fields without a name or value table: any byte may be in them."""
    out = b""
    for name, value in head:
        out += b"\x00" + integer(len(name)) + name + integer(len(value)) + value
    return out


def integer(value, bits=7):
    top = (1 << bits) - 1
    if value < top:
        return bytes([value])
    out, value = bytes([top]), value - top
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


class Peer:
    """One raw HTTP/2 connection over an open socket."""

    def __init__(self, sock, settings=b"", start=True):
        self.sock = sock
        self.buffer = b""
        self.decoder = hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 20
        self.over = None
        self.acknowledges = start
        if start:
            self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def send(self, data):
        """False when the other side is gone."""
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            return False

    def headers(self, stream, head, flags=END_HEADERS | END_STREAM):
        return self.send(frame(HEADERS, flags, stream, block(head)))

    def read(self, timeout=5):
        """The next frame as (kind, flags, stream, payload); None at the end or when time is over."""
        end = time.monotonic() + timeout
        while True:
            if len(self.buffer) >= 9:
                length = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) >= 9 + length:
                    kind, flags = self.buffer[3], self.buffer[4]
                    stream = int.from_bytes(self.buffer[5:9], "big") & 0x7FFFFFFF
                    payload = self.buffer[9:9 + length]
                    self.buffer = self.buffer[9 + length:]
                    if kind == SETTINGS and not flags & ACK and self.acknowledges:
                        self.send(frame(SETTINGS, ACK, 0))
                    return kind, flags, stream, payload
            left = end - time.monotonic()
            if left <= 0:
                self.over = "time"
                return None
            self.sock.settimeout(left)
            try:
                piece = self.sock.recv(65536)
            except (TimeoutError, OSError) as error:
                self.over = "time" if isinstance(error, TimeoutError) else "reset"
                return None
            if not piece:
                self.over = "closed"
                return None
            self.buffer += piece

    def until(self, *kinds, stream=None, timeout=5):
        end = time.monotonic() + timeout
        while True:
            got = self.read(max(0.01, end - time.monotonic()))
            if got is None or (got[0] in kinds and (stream is None or got[2] == stream)):
                return got

    def goaway(self, timeout=5):
        """Error code of the connection error; "closed" when it ended without one, None while it lives."""
        got = self.until(GOAWAY, timeout=timeout)
        if got:
            return int.from_bytes(got[3][4:8], "big")
        return None if self.over == "time" else "closed"

    def outcome(self, stream, timeout=5):
        """("goaway", code), ("reset", code), ("answer", status) or ("closed",) / ("nothing",)."""
        end = time.monotonic() + timeout
        while True:
            got = self.read(max(0.01, end - time.monotonic()))
            if got is None:
                return ("nothing",) if self.over == "time" else ("closed",)
            kind, _, which, payload = got
            if kind == GOAWAY:
                return "goaway", int.from_bytes(payload[4:8], "big")
            if kind == RST and which == stream:
                return "reset", int.from_bytes(payload, "big")
            if kind == HEADERS:
                status = int(dict(self.decoder.decode(payload))[":status"])
                if which == stream and status >= 200:
                    return "answer", status

    def alive(self, timeout=5):
        """Whether the connection still answers a PING."""
        self.send(frame(PING, 0, 0, b"livelive"))
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            got = self.read(max(0.01, end - time.monotonic()))
            if got is None or got[0] == GOAWAY:
                return False
            if got[0] == PING and got[1] & ACK and got[3] == b"livelive":
                return True
        return False
