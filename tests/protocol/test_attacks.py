"""Each attack ends its own connection with the error it should, costs little memory, and a well-behaved client
on another connection loses nothing meanwhile."""

import struct
import threading
import time

import raw2
from raw2 import (CALM, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, PROTOCOL, RST,
                  SETTINGS, WINDOW, Peer, block, fields, frame, integer)
from server import Server, check, main

GROWTH_MAX = 1 << 20


class Honest(threading.Thread):
    """Asks one thing after another on its own connection."""

    def __init__(self, server):
        super().__init__()
        self.peer = Peer(server.tls())
        self.times, self.lost, self.stopping = [], 0, False

    def run(self):
        stream = 1
        while not self.stopping:
            start = time.monotonic()
            self.peer.headers(stream, fields())
            if self.peer.outcome(stream, 10) != ("answer", 200):
                self.lost += 1
                return
            self.times.append(time.monotonic() - start)
            self.peer.send(frame(WINDOW, 0, 0, struct.pack(">I", 16)))
            stream += 2
            time.sleep(0.002)

    def finish(self):
        self.stopping = True
        self.join()
        self.peer.sock.close()
        return self


def attack(work, expected, growth=GROWTH_MAX, tls=True, settle=True):
    """Runs work(peer, server) beside an honest client; its result must be one of `expected`."""
    with Server() as server:
        honest = Honest(server)
        honest.start()
        time.sleep(0.1)
        before = server.rss()
        peer = Peer(server.tls(timeout=20) if tls else server.raw(timeout=20))
        got = work(peer, server)
        grown = server.rss() - before
        peer.sock.close()
        time.sleep(0.1)
        honest.finish()
        check(got in expected, "outcome %r instead of %r" % (got, expected))
        check(honest.lost == 0 and len(honest.times) > 10, "the honest client lost %d of %d" %
              (honest.lost, len(honest.times)))
        check(grown < growth, "memory grew by %d" % grown)
        late = sorted(honest.times)[int(len(honest.times) * 0.99)]
        check(late < 0.5, "honest p99 %.3f s" % late)
        return server


def flood(peer, make, count, batch=100):
    """Sends count pieces; stops when the other side is gone."""
    for start in range(0, count, batch):
        if not peer.send(b"".join(make(i) for i in range(start, min(start + batch, count)))):
            break
    return peer.goaway()


ENDED = (CALM, "closed")


def rapid_reset():
    head = block(fields(b"/slow?ms=200"))

    def work(peer, server):
        got = flood(peer, lambda i: frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, head) +
                    frame(RST, 0, 2 * i + 1, struct.pack(">I", 8)), 100000)
        served = server.count()["begun"]
        check(served < 2500, "%d requests were begun" % served)
        return got
    # the library's own bound answers with INTERNAL_ERROR
    attack(work, ENDED + (raw2.INTERNAL,), growth=4 << 20)


def made_you_reset_window_zero():
    head = block(fields(b"/slow?ms=200"))
    attack(lambda peer, server: flood(
        peer, lambda i: frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, head) +
        frame(WINDOW, 0, 2 * i + 1, struct.pack(">I", 0)), 20000), ENDED + (PROTOCOL,), growth=4 << 20)


def made_you_reset_window_overflow():
    head = block(fields(b"/slow?ms=200"))
    attack(lambda peer, server: flood(
        peer, lambda i: frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, head) +
        frame(WINDOW, 0, 2 * i + 1, struct.pack(">I", 0x7FFFFFFF)), 20000), ENDED, growth=4 << 20)


def made_you_reset_data_after_end():
    head = block(fields(b"/slow?ms=200"))
    attack(lambda peer, server: flood(
        peer, lambda i: frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, head) +
        frame(DATA, 0, 2 * i + 1, b"x"), 20000), ENDED + (raw2.CLOSED,), growth=4 << 20)


def made_you_reset_content_length():
    head = block(fields(b"/echo", b"POST", (b"content-length", b"5")))
    attack(lambda peer, server: flood(
        peer, lambda i: frame(HEADERS, END_HEADERS, 2 * i + 1, head) +
        frame(DATA, END_STREAM, 2 * i + 1, b"xxxxxx"), 20000), ENDED, growth=4 << 20)


def invalid_headers_flood():
    head = block(fields() + [(b"Upper", b"x")])
    attack(lambda peer, server: flood(
        peer, lambda i: frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, head), 20000), ENDED)


def continuation_flood():
    def work(peer, server):
        peer.send(frame(HEADERS, END_STREAM, 1, block(fields())))
        return flood(peer, lambda i: frame(CONTINUATION, 0, 1, block([(b"x-%d" % i, b"y")])), 100000)
    attack(work, ENDED + (PROTOCOL, raw2.INTERNAL))


def continuation_flood_empty():
    def work(peer, server):
        peer.send(frame(HEADERS, END_STREAM, 1, block(fields())))
        return flood(peer, lambda i: frame(CONTINUATION, 0, 1), 100000)
    attack(work, ENDED + (PROTOCOL, raw2.INTERNAL))


def hpack_bomb():
    def work(peer, server):
        # one entry of nearly 4 KiB into the table, then thousands of references to it
        entry = b"\x40" + integer(1) + b"x" + integer(4000) + b"y" * 4000
        peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(fields()) + entry))
        peer.until(HEADERS, stream=1)
        peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, block(fields()) + b"\xbe" * 10000))
        return peer.goaway()
    attack(work, ENDED)


def header_list_too_large():
    with Server() as server:
        for more in ([(b"x-%d" % i, b"y") for i in range(70)], [(b"cookie", b"a=%d" % i) for i in range(70)],
                     [(b"x-%d" % i, b"y" * 8000) for i in range(5)]):
            peer = Peer(server.tls())
            data = block(fields() + more)
            peer.send(frame(HEADERS, END_STREAM, 1, data[:16000]))
            rest = [data[i:i + 16000] for i in range(16000, len(data), 16000)] or [b"\x00\x01x\x01y"]
            for piece in rest[:-1]:
                peer.send(frame(CONTINUATION, 0, 1, piece))
            peer.send(frame(CONTINUATION, END_HEADERS, 1, rest[-1]))
            got = peer.outcome(1)
            check(got == ("answer", 431), got)
            check(peer.alive())
        check(server.count()["begun"] == 0)


def table_size_churn():
    def work(peer, server):
        # size updates in each block are allowed twice at its start; more is a coding error
        peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x20" * 2000 + block(fields())))
        got = peer.outcome(1)
        return got if got[0] == "goaway" else got
    attack(work, (("goaway", raw2.COMPRESSION), ("answer", 200), ("closed",)))


def ping_flood_answers_not_read():
    attack(lambda peer, server: flood(peer, lambda i: frame(PING, 0, 0, b"12345678"), 100000, 1000), ENDED)


def settings_flood():
    attack(lambda peer, server: flood(peer, lambda i: frame(SETTINGS, 0, 0), 100000, 1000), ENDED)


def settings_huge():
    attack(lambda peer, server: flood(
        peer, lambda i: frame(SETTINGS, 0, 0, struct.pack(">HI", 3, 100) * 33), 1), ENDED + (PROTOCOL, raw2.INTERNAL))


def priority_shuffling():
    attack(lambda peer, server: flood(
        peer, lambda i: frame(PRIORITY, 0, 2 * (i % 1000) + 1, struct.pack(">IB", 2 * (i % 999) + 2001, i % 256)),
        100000, 1000), ENDED)


def window_update_flood():
    attack(lambda peer, server: flood(peer, lambda i: frame(WINDOW, 0, 0, struct.pack(">I", 1)), 100000, 1000), ENDED)


def empty_data_flood():
    def work(peer, server):
        peer.headers(1, fields(b"/echo", b"POST"), END_HEADERS)
        return flood(peer, lambda i: frame(DATA, 0, 1), 100000, 1000)
    attack(work, ENDED)


def padding_only_data_flood():
    def work(peer, server):
        peer.headers(1, fields(b"/echo", b"POST"), END_HEADERS)
        return flood(peer, lambda i: frame(DATA, raw2.PADDED, 1, b"\x00"), 100000, 1000)
    attack(work, ENDED)


def empty_headers_flood():
    attack(lambda peer, server: flood(
        peer, lambda i: frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1), 10000), ENDED)


def tiny_window():
    """Answers that the client lets in byte by byte, or not at all, stay bounded."""
    def work(peer, server):
        peer.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)))
        for i in range(128):
            peer.headers(2 * i + 1, fields(b"/big?n=16000"))
        time.sleep(0.3)
        for i in range(128):
            peer.send(frame(WINDOW, 0, 2 * i + 1, struct.pack(">I", 1)))
        return peer.alive()
    attack(work, (True,), growth=6 << 20)


def never_reads():
    """Large answers are not buffered beyond what is asked for, and input stops."""
    def work(peer, server):
        peer.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0x7FFFFFFF)) + frame(WINDOW, 0, 0, b"\x7f\x00\x00\x00"))
        peer.sock.settimeout(1)
        for i in range(2000):
            if not peer.headers(2 * i + 1, fields(b"/big?n=100000")):
                break
        time.sleep(0.3)
        return server.rss() < 64 << 20
    attack(work, (True,), growth=24 << 20)


def too_many_streams():
    with Server() as server:
        peer = Peer(server.tls())
        for i in range(140):
            peer.headers(2 * i + 1, fields(b"/slow?ms=500"))
        refused = answered = 0
        while refused + answered < 140:
            got = peer.until(RST, HEADERS)
            check(got, "only %d answers" % (refused + answered))
            if got[0] == RST:
                check(int.from_bytes(got[3], "big") == raw2.REFUSED)
                refused += 1
            else:
                answered += 1
        check(answered == 128 and refused == 12, (answered, refused))


def zero_length_header_name():
    with Server() as server:
        peer = Peer(server.tls())
        peer.headers(1, fields() + [(b"", b"x")])
        got = peer.outcome(1)
        check(got == ("reset", PROTOCOL), got)
        check(server.count()["begun"] == 0)


def goaway_and_half_close_races():
    with Server() as server:
        for last in (frame(GOAWAY, 0, 0, bytes(8)), frame(RST, 0, 1, struct.pack(">I", 8)), b"\x00\x00"):
            for first in (b"", frame(HEADERS, END_HEADERS | END_STREAM, 1, block(fields(b"/slow?ms=50"))),
                          frame(HEADERS, END_HEADERS, 1, block(fields(b"/echo", b"POST"))) + frame(DATA, 0, 1, b"x"),
                          frame(HEADERS, END_HEADERS | END_STREAM, 1, block(fields(b"/big?n=500000")))):
                for secure in (True, False):
                    peer = Peer(server.tls() if secure else server.raw())
                    peer.send(first + last)
                    if not secure:
                        peer.sock.shutdown(1)
                    peer.sock.close()
        time.sleep(0.3)
        peer = Peer(server.tls())
        peer.headers(1, fields())
        check(peer.outcome(1) == ("answer", 200))


main([rapid_reset, made_you_reset_window_zero, made_you_reset_window_overflow, made_you_reset_data_after_end,
      made_you_reset_content_length, invalid_headers_flood, continuation_flood, continuation_flood_empty, hpack_bomb,
      header_list_too_large, table_size_churn, ping_flood_answers_not_read, settings_flood, settings_huge,
      priority_shuffling, window_update_flood, empty_data_flood, padding_only_data_flood, empty_headers_flood,
      tiny_window, never_reads, too_many_streams, zero_length_header_name, goaway_and_half_close_races])
