"""Clients that are slow, silent or stuck are cut at the configured time, half a second early or one late at most,
while an honest client is served."""

import struct
import threading
import time

import raw2
from raw2 import DATA, END_HEADERS, HEADERS, Peer, fields, frame
from server import Server, check, main, read_all

GET = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


def took(work, low, high):
    start = time.monotonic()
    result = work()
    passed = time.monotonic() - start
    check(low <= passed <= high, "%.2f s, not %.1f to %.1f" % (passed, low, high))
    return result


def silent_handshake_and_silent_preface():
    import socket
    with Server(shake=1000, header=1500) as server:
        sock = socket.create_connection(("127.0.0.1", server.port), 10)
        check(took(lambda: read_all(sock), 0.9, 2.1) == b"")
        sock = socket.create_connection(("127.0.0.1", server.port), 10)
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        check(took(lambda: read_all(sock), 0.9, 2.1) == b"")
        sock = server.raw()
        sock.sendall(b"PRI * HTTP")
        check(took(lambda: read_all(sock), 1.4, 2.6) == b"")
        peer = Peer(server.tls(), start=False)
        got = took(peer.goaway, 1.4, 2.6)
        check(got == raw2.SETTINGS_TIMEOUT, got)


def slow_head():
    with Server(header=1000) as server:
        for sock in (server.raw(), server.tls(alpn=("http/1.1",))):
            def dribble(sock=sock):
                sock.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n")
                try:
                    for _ in range(100):
                        sock.sendall(b"X: y\r\n")
                        time.sleep(0.05)
                        sock.setblocking(False)
                        try:
                            return sock.recv(100)
                        except (BlockingIOError, OSError) as error:
                            if "read" not in str(error) and not isinstance(error, BlockingIOError):
                                raise
                        finally:
                            sock.settimeout(5)
                except (BrokenPipeError, ConnectionResetError):
                    return b""
            answer = took(dribble, 0.9, 2.1)
            check(answer.startswith(b"HTTP/1.1 408 "), answer)
        peer = Peer(server.tls())
        check(peer.alive())
        peer.send(frame(HEADERS, 0, 1, raw2.block(fields())))
        check(took(peer.goaway, 0.9, 2.1) == raw2.CALM)


def slow_body():
    with Server(body=1000) as server:
        sock = server.raw()
        sock.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nx")
        answer = took(lambda: read_all(sock), 0.9, 2.1)
        check(answer.startswith(b"HTTP/1.1 408 ") and b"RequestTimeout" in answer, answer)
        peer = Peer(server.tls())
        peer.headers(1, fields(b"/echo", b"POST"), END_HEADERS)
        peer.send(frame(DATA, 0, 1, b"x"))
        got = took(lambda: peer.outcome(1), 0.9, 2.1)
        check(got == ("answer", 408), got)
        peer.headers(3, fields())
        check(peer.outcome(3) == ("answer", 200))
        check(server.count()["run"] == 1)


def steady_slow_body_is_let_in():
    with Server(body=1000) as server:
        sock = server.raw()
        sock.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 40000\r\n\r\n")
        for _ in range(25):
            sock.sendall(b"x" * 1600)
            time.sleep(0.1)
        check(read_all(sock).endswith(b"x" * 40000))


def idle():
    with Server(idle=1000) as server:
        for opened in (server.raw, lambda: server.raw(unix=False), lambda: server.tls(alpn=("http/1.1",))):
            sock = opened()
            sock.sendall(GET)
            check(took(lambda sock=sock: read_all(sock), 0.9, 2.2).count(b"HTTP/1.1 200") == 1)
        peer = Peer(server.tls())
        peer.headers(1, fields())
        check(peer.outcome(1) == ("answer", 200))
        check(took(peer.goaway, 0.8, 2.2) == 0)


def waiting_for_the_handler_is_not_idle():
    with Server(idle=1000, body=1000, header=1000) as server:
        sock = server.raw()
        sock.sendall(b"GET /slow?ms=2500 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        check(read_all(sock).endswith(b"late"))
        peer = Peer(server.tls())
        peer.headers(1, fields(b"/slow?ms=2500"))
        check(peer.outcome(1) == ("answer", 200))


def reader_that_stops():
    with Server(body=1000) as server:
        sock = server.tls(alpn=("http/1.1",))
        sock.sendall(b"GET /big?n=30000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(2.5)
        check(len(read_all(sock)) < 30000000)
        # the second one is /count's own connection
        check(server.count()["connections"] == 1)


def closed_window():
    with Server(idle=1000) as server:
        peer = Peer(server.tls(), settings=struct.pack(">HI", 4, 0))
        peer.headers(1, fields(b"/big?n=1000"))
        check(peer.outcome(1) == ("answer", 200))
        got = took(lambda: peer.until(raw2.RST, stream=1), 0.8, 2.2)
        check(got and int.from_bytes(got[3], "big") == raw2.CANCEL)


def many_slow_connections():
    with Server(header=2000, shake=2000) as server:
        import socket
        before = server.rss()
        held = [server.tls(alpn=("h2", "http/1.1")[i % 2:]) for i in range(200)]
        each = (server.rss() - before) / len(held)
        check(each < 64 << 10, "%d bytes a connection" % each)
        silent = [socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(600)]
        times = []
        honest = server.raw()
        for _ in range(100):
            start = time.monotonic()
            honest.sendall(GET)
            check(honest.recv(4096).startswith(b"HTTP/1.1 200"))
            times.append(time.monotonic() - start)
            time.sleep(0.005)
        check(sorted(times)[98] < 0.1, sorted(times)[98])
        time.sleep(3)
        gone = 0
        for sock in silent:
            sock.settimeout(1)
            gone += read_all(sock) == b""
        check(gone == len(silent))
        del held


main([silent_handshake_and_silent_preface, slow_head, slow_body, steady_slow_body_is_let_in, idle,
      waiting_for_the_handler_is_not_idle, reader_that_stops, closed_window, many_slow_connections])
