"""RFC 9113 and RFC 7541 section by section: what a server must answer to frames that are wrong, or right but
unusual. Each case gets a fresh connection. Section numbers are those of RFC 7540, as h2spec names its cases."""

import struct

import raw2
from raw2 import (CLOSED, COMPRESSION, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW, GOAWAY, HEADERS, PADDED, PING,
                  PRIORITY, PRIO, PROTOCOL, PUSH, RST, SETTINGS, SIZE, WINDOW, Peer, block, fields, frame)
from server import Server, check, main

GET = block(fields())
POST = block(fields(b"/echo", b"POST"))
OPEN = frame(HEADERS, END_HEADERS, 1, POST)
DONE = frame(HEADERS, END_HEADERS | END_STREAM, 1, GET)
RESET = frame(RST, 0, 1, struct.pack(">I", 8))
SLOW = frame(HEADERS, END_HEADERS | END_STREAM, 1, block(fields(b"/slow?ms=3000")))


def settings(*pairs):
    return b"".join(struct.pack(">HI", name, value) for name, value in pairs)


def error(*codes):
    """A connection error of one of the codes; some implementations just close, which the RFC allows."""
    return [("goaway", code) for code in codes] + [("closed",)]


def stream_error(*codes):
    return [("reset", code) for code in codes] + error(*codes)


def increment(value):
    return struct.pack(">I", value)


def request(head):
    return frame(HEADERS, END_HEADERS | END_STREAM, 1, block(head))


MALFORMED = stream_error(PROTOCOL) + [("answer", 400)]
SERVED = [("answer", 200)]
BIG = b"x" * 16385

CASES = [
    # section, bytes after the preface, allowed outcomes of stream 1
    ("3.5 served", DONE, SERVED),
    ("4.1 unknown type", frame(0x16, 0, 0, b"12345678") + DONE, SERVED),
    ("4.1 undefined flags", frame(PING, 0xFE & ~1, 0, b"12345678") + DONE, SERVED),
    ("4.1 reserved bit", frame(PING, 0, 0x80000000, b"12345678") + DONE, SERVED),
    ("4.2 data 2^14", OPEN + frame(DATA, END_STREAM, 1, b"x" * 16384), SERVED),
    ("4.2 data too large", OPEN + frame(DATA, END_STREAM, 1, BIG), stream_error(SIZE)),
    ("4.2 headers too large", frame(HEADERS, END_HEADERS | END_STREAM, 1, BIG), error(SIZE)),
    ("4.3 bad block", frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82\x84\x40\x80"), error(COMPRESSION)),
    ("4.3 priority within block", frame(HEADERS, END_STREAM, 1, GET) + frame(PRIORITY, 0, 1, b"\0\0\0\0\x01"), error(PROTOCOL)),
    ("4.3 other stream within block", frame(HEADERS, END_STREAM, 1, GET) + frame(HEADERS, 5, 3, GET), error(PROTOCOL)),
    ("5.1 idle data", frame(DATA, END_STREAM, 1, b"x"), error(PROTOCOL)),
    ("5.1 idle rst", RESET, error(PROTOCOL)),
    ("5.1 idle window", frame(WINDOW, 0, 1, increment(100)), error(PROTOCOL)),
    ("5.1 idle continuation", frame(CONTINUATION, END_HEADERS, 1, GET), error(PROTOCOL)),
    ("5.1 half closed data", SLOW + frame(DATA, END_STREAM, 1, b"x"), stream_error(CLOSED)),
    ("5.1 half closed headers", SLOW + DONE, stream_error(CLOSED)),
    ("5.1 half closed continuation", SLOW + frame(CONTINUATION, END_HEADERS, 1, GET), stream_error(CLOSED, PROTOCOL)),
    ("5.1 reset then data", SLOW + RESET + frame(DATA, END_STREAM, 1, b"x") + frame(HEADERS, 5, 3, GET),
     stream_error(CLOSED) + [("ignored",)]),
    ("5.1 reset then headers", SLOW + RESET + DONE + frame(HEADERS, 5, 3, GET), stream_error(CLOSED) + [("ignored",)]),
    ("5.1 reset then continuation", SLOW + RESET + frame(CONTINUATION, END_HEADERS, 1, GET), stream_error(CLOSED, PROTOCOL)),
    ("5.1.1 even id", frame(HEADERS, 5, 2, GET), error(PROTOCOL)),
    ("5.1.1 lower id", frame(HEADERS, 5, 5, GET) + frame(HEADERS, 5, 3, GET), error(PROTOCOL)),
    ("5.1.1 id zero", frame(HEADERS, 5, 0, GET), error(PROTOCOL)),
    ("5.1.1 last id", frame(HEADERS, 5, 0x7FFFFFFF, GET) + DONE, error(PROTOCOL)),
    ("5.3.1 headers on itself", frame(HEADERS, 5 | PRIO, 1, increment(1) + b"\x10" + GET), stream_error(PROTOCOL)),
    ("5.3.1 priority on itself", frame(PRIORITY, 0, 1, increment(1) + b"\x10") + DONE, stream_error(PROTOCOL)),
    ("5.5 unknown extension within block", frame(HEADERS, END_STREAM, 1, GET) + frame(0x16, 0, 1), error(PROTOCOL)),
    ("6.1 data on 0", OPEN + frame(DATA, END_STREAM, 0, b"x"), error(PROTOCOL)),
    ("6.1 data padded", OPEN + frame(DATA, END_STREAM | PADDED, 1, b"\x03hello\0\0\0"), SERVED),
    ("6.1 data padding too long", OPEN + frame(DATA, END_STREAM | PADDED, 1, b"\x09hello"), error(PROTOCOL)),
    ("6.2 headers padded", frame(HEADERS, 5 | PADDED, 1, b"\x02" + GET + b"\0\0"), SERVED),
    ("6.2 headers with priority", frame(HEADERS, 5 | PRIO, 1, increment(0) + b"\x10" + GET), SERVED),
    ("6.2 headers padding too long", frame(HEADERS, 5 | PADDED, 1, b"\xff" + GET), error(PROTOCOL)),
    ("6.3 priority on 0", frame(PRIORITY, 0, 0, increment(0) + b"\x10"), error(PROTOCOL)),
    ("6.3 priority length", frame(PRIORITY, 0, 1, b"\0\0\0\0") + DONE, stream_error(SIZE)),
    ("6.3 priority idle", frame(PRIORITY, 0, 3, increment(0) + b"\x10") + DONE, SERVED),
    ("6.4 rst on 0", frame(RST, 0, 0, increment(8)), error(PROTOCOL)),
    ("6.4 rst length", SLOW + frame(RST, 0, 1, b"\0\0\0"), error(SIZE)),
    ("6.5 settings ack with payload", frame(SETTINGS, 1, 0, b"\0"), error(SIZE)),
    ("6.5 settings on a stream", frame(SETTINGS, 0, 1, settings((3, 100))), error(PROTOCOL)),
    ("6.5 settings length", frame(SETTINGS, 0, 0, b"\0\0\0"), error(SIZE)),
    ("6.5.2 enable push 2", frame(SETTINGS, 0, 0, settings((2, 2))), error(PROTOCOL)),
    ("6.5.2 window too large", frame(SETTINGS, 0, 0, settings((4, 0x80000000))), error(FLOW)),
    ("6.5.2 frame size small", frame(SETTINGS, 0, 0, settings((5, 16383))), error(PROTOCOL)),
    ("6.5.2 frame size large", frame(SETTINGS, 0, 0, settings((5, 0x1000000))), error(PROTOCOL)),
    ("6.5.2 unknown setting", frame(SETTINGS, 0, 0, settings((0xFF, 1))) + DONE, SERVED),
    ("6.5.3 twice", frame(SETTINGS, 0, 0, settings((4, 100), (4, 1))) + DONE, SERVED),
    ("6.6 push promise", frame(PUSH, END_HEADERS, 1, increment(2) + GET), error(PROTOCOL)),
    ("6.7 ping on a stream", frame(PING, 0, 1, b"12345678"), error(PROTOCOL)),
    ("6.7 ping length", frame(PING, 0, 0, b"123456"), error(SIZE)),
    ("6.7 ping ack unasked", frame(PING, 1, 0, b"12345678") + DONE, SERVED),
    ("6.8 goaway on a stream", frame(GOAWAY, 0, 1, bytes(8)), error(PROTOCOL)),
    ("6.9 window zero", frame(WINDOW, 0, 0, increment(0)), error(PROTOCOL)),
    ("6.9 window zero of a stream", SLOW + frame(WINDOW, 0, 1, increment(0)), stream_error(PROTOCOL)),
    ("6.9 window length", frame(WINDOW, 0, 0, b"\0\0\1"), error(SIZE)),
    ("6.9.1 window overflow", frame(WINDOW, 0, 0, increment(0x7FFFFFFF)) * 2, error(FLOW)),
    ("6.9.1 window overflow of a stream", SLOW + frame(WINDOW, 0, 1, increment(0x7FFFFFFF)) * 2, stream_error(FLOW)),
    ("6.9.2 settings overflow a window",
     frame(SETTINGS, 0, 0, settings((4, 0))) + SLOW + frame(WINDOW, 0, 1, increment(0x7FFFFFFF)) +
     frame(SETTINGS, 0, 0, settings((4, 0x7FFFFFFF))), stream_error(FLOW)),
    ("6.10 continuations", frame(HEADERS, END_STREAM, 1, GET[:5]) + frame(CONTINUATION, 0, 1, GET[5:9]) +
     frame(CONTINUATION, END_HEADERS, 1, GET[9:]), SERVED),
    ("6.10 data within block", frame(HEADERS, 0, 1, GET[:5]) + frame(DATA, 1, 1, b"x"), error(PROTOCOL)),
    ("6.10 continuation on 0", frame(HEADERS, 1, 1, GET[:5]) + frame(CONTINUATION, 4, 0, GET[5:]), error(PROTOCOL)),
    ("6.10 continuation after the end", OPEN + frame(CONTINUATION, 4, 1, GET), error(PROTOCOL)),
    ("8.1 second headers without end", OPEN + frame(HEADERS, END_HEADERS, 1, block([(b"x", b"y")])), stream_error(PROTOCOL)),
    ("8.1 trailers", OPEN + frame(DATA, 0, 1, b"x") + frame(HEADERS, 5, 1, block([(b"x", b"y")])), SERVED),
    ("8.1.2 upper case", request(fields() + [(b"X-Test", b"ok")]), MALFORMED),
    ("8.1.2.1 unknown pseudo", request(fields() + [(b":test", b"ok")]), MALFORMED),
    ("8.1.2.1 response pseudo", request(fields() + [(b":status", b"200")]), MALFORMED),
    ("8.1.2.1 pseudo in trailers", OPEN + frame(HEADERS, 5, 1, block([(b":method", b"GET")])), MALFORMED),
    ("8.1.2.1 pseudo after others", request([(b"x", b"y")] + fields()), MALFORMED),
    ("8.1.2.2 connection", request(fields() + [(b"connection", b"keep-alive")]), MALFORMED),
    ("8.1.2.2 transfer-encoding", request(fields() + [(b"transfer-encoding", b"chunked")]), MALFORMED),
    ("8.1.2.2 keep-alive", request(fields() + [(b"keep-alive", b"1")]), MALFORMED),
    ("8.1.2.2 upgrade", request(fields() + [(b"upgrade", b"h2c")]), MALFORMED),
    ("8.1.2.2 proxy-connection", request(fields() + [(b"proxy-connection", b"close")]), MALFORMED),
    ("8.1.2.2 te other", request(fields() + [(b"te", b"trailers, deflate")]), MALFORMED),
    ("8.1.2.2 te trailers", request(fields() + [(b"te", b"trailers")]), SERVED),
    ("8.1.2.3 empty path", request(fields(b"")), MALFORMED),
    ("8.1.2.3 no method", request(fields()[1:]), MALFORMED),
    ("8.1.2.3 no scheme", request(fields()[:1] + fields()[2:]), MALFORMED),
    ("8.1.2.3 no path", request(fields()[:2] + fields()[3:]), MALFORMED),
    ("8.1.2.3 method twice", request(fields()[:1] + fields()), MALFORMED),
    ("8.1.2.3 scheme twice", request(fields()[1:2] + fields()), MALFORMED),
    ("8.1.2.3 path twice", request(fields()[2:3] + fields()), MALFORMED),
    ("8.1.2.6 length too short", frame(HEADERS, 4, 1, block(fields(b"/echo", b"POST", (b"content-length", b"1")))) +
     frame(DATA, 1, 1, b"test"), MALFORMED),
    ("8.1.2.6 length of two frames", frame(HEADERS, 4, 1, block(fields(b"/echo", b"POST", (b"content-length", b"1")))) +
     frame(DATA, 0, 1, b"t") + frame(DATA, 1, 1, b"est"), MALFORMED),
    ("8.1.2.6 length without body", request(fields(b"/echo", b"POST", (b"content-length", b"5"))), MALFORMED),
    ("field nul", request(fields() + [(b"x", b"a\0b")]), MALFORMED),
    ("field cr", request(fields() + [(b"x", b"a\rb")]), MALFORMED),
    ("field lf", request(fields() + [(b"x", b"a\nb")]), MALFORMED),
    ("field leading space", request(fields() + [(b"x", b" a")]), MALFORMED),
    ("field trailing space", request(fields() + [(b"x", b"a ")]), MALFORMED),
    ("field name space", request(fields() + [(b"x y", b"a")]), MALFORMED),
    ("path space", request(fields(b"/a b")), MALFORMED),
    ("path high byte", request(fields(b"/a\xc3")), MALFORMED),
    ("path fragment", request(fields(b"/a#b")), MALFORMED),
    ("path star", request(fields(b"*", b"OPTIONS")), MALFORMED),
    ("authority userinfo", request(fields(authority=b"u@a")), MALFORMED),
    ("authority empty", request(fields(authority=b"")), MALFORMED),
    ("authority missing", request(fields(authority=None)), MALFORMED),
    ("host instead", request(fields(authority=None) + [(b"host", b"a")]), SERVED),
    ("host agrees", request(fields(authority=b"a:1") + [(b"host", b"A:1")]), SERVED),
    ("host differs", request(fields(authority=b"a") + [(b"host", b"b")]), MALFORMED),
    ("host twice", request(fields() + [(b"host", b"localhost")] * 2), MALFORMED),
    ("authorization twice", request(fields() + [(b"authorization", b"a")] * 2), MALFORMED),
    ("content-length twice", request(fields() + [(b"content-length", b"0")] * 2), MALFORMED),
    ("content-length sign", request(fields() + [(b"content-length", b"+0")]), MALFORMED),
    ("expect", frame(HEADERS, 4, 1, block(fields(b"/echo", b"POST", (b"expect", b"100-continue")))) + frame(DATA, 1, 1, b"x"), SERVED),
    ("hpack index 0", frame(HEADERS, 5, 1, b"\x80" + GET), error(COMPRESSION)),
    ("hpack index beyond", frame(HEADERS, 5, 1, b"\xff\x80\x01" + GET), error(COMPRESSION)),
    ("hpack huffman padding", frame(HEADERS, 5, 1, GET + b"\x00\x81\xff\x01x"), error(COMPRESSION)),
    ("hpack huffman eos", frame(HEADERS, 5, 1, GET + b"\x00\x85\xf2\xb2\x4a\xff\xff\x01x"), error(COMPRESSION)),
    ("hpack size beyond", frame(HEADERS, 5, 1, b"\x3f\xe1\x7f" + GET), error(COMPRESSION)),
    ("hpack size at the end", frame(HEADERS, 5, 1, GET + b"\x20"), error(COMPRESSION)),
]


def outcome_of(server, data, allowed, secure):
    peer = Peer(server.tls() if secure else server.raw())
    peer.send(data)
    if ("ignored",) in allowed:
        # closed by the client itself: an error, or silence while the connection goes on
        got = peer.outcome(3)
        got = ("ignored",) if got == ("answer", 200) else got
    else:
        got = peer.outcome(1, 3)
    if got[0] in ("answer", "ignored"):
        check(peer.alive(), "dead after an answer")
    peer.sock.close()
    return got


def run(secure):
    with Server() as server:
        wrong = []
        for name, data, allowed in CASES:
            got = outcome_of(server, data, allowed, secure)
            if got not in allowed:
                wrong.append("%s: %r not in %r" % (name, got, allowed))
        check(not wrong, "\n".join(wrong))
        peer = Peer(server.tls())
        peer.headers(1, fields())
        check(peer.outcome(1) == ("answer", 200))


def sections_over_tls():
    run(True)


def sections_over_unix_socket():
    run(False)


def bad_preface():
    with Server() as server:
        for start in (b"INVALID CONNECTION PREFACE\r\n\r\n", raw2.PREFACE + frame(PING, 0, 0, b"12345678"),
                      raw2.PREFACE[:-2] + b"XX"):
            peer = Peer(server.tls(), start=False)
            peer.send(start)
            check(peer.goaway() in (PROTOCOL, "closed"))


def first_frame_and_acknowledgement():
    with Server() as server:
        peer = Peer(server.tls())
        kind, flags, stream, payload = peer.read()
        check((kind, flags & 1, stream) == (SETTINGS, 0, 0))
        told = dict(struct.unpack(">HI", payload[i:i + 6]) for i in range(0, len(payload), 6))
        check(told[3] == 128 and told[4] == 65536 and told[6] == 32768, told)
        while True:
            got = peer.read()
            if got[0] == SETTINGS:
                check(got[1] & 1)
                break
            check(got[0] == WINDOW and int.from_bytes(got[3], "big") == 262144 - 65535)


def windows_are_kept():
    with Server() as server:
        peer = Peer(server.tls(), settings=settings((4, 1)))
        peer.headers(1, fields(b"/big?n=5"))
        for wanted in (1, 1, 3):
            got = peer.until(DATA, stream=1)
            check(len(got[3]) == wanted, got)
            if wanted == 1:
                peer.send(frame(WINDOW, 0, 1, increment(1 if len(got[3]) and not hasattr(peer, "more") else 100)))
                peer.more = True
        # a window that settings made negative
        peer = Peer(server.tls(), settings=settings((4, 3)))
        peer.headers(1, fields(b"/big?n=10"))
        check(len(peer.until(DATA, stream=1)[3]) == 3)
        peer.send(frame(SETTINGS, 0, 0, settings((4, 2))) + frame(WINDOW, 0, 1, increment(2)))
        check(len(peer.until(DATA, stream=1)[3]) == 1)


def ping_is_answered():
    with Server() as server:
        peer = Peer(server.tls())
        peer.send(frame(PING, 0, 0, b"abcdefgh"))
        got = peer.until(PING)
        check(got[1] == 1 and got[3] == b"abcdefgh")


main([sections_over_tls, sections_over_unix_socket, bad_preface, first_frame_and_acknowledgement, windows_are_kept,
      ping_is_answered])
