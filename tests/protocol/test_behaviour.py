"""What a well-behaved client may rely on: keep-alive, pipelining, 100-continue, HEAD, streaming, drain, Unix sockets,
connection limits, and the faces of a listener."""

import json
import os
import stat
import struct
import subprocess
import threading
import time

import raw2
from raw2 import DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST, WINDOW, Peer, fields, frame
from server import PROGRAM, Server, check, main, read_all

GET = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


class Http1:
    """Reads answers one by one from a raw socket."""

    def __init__(self, sock):
        self.sock, self.buffer = sock, b""

    def answer(self, body=True):
        while b"\r\n\r\n" not in self.buffer:
            piece = self.sock.recv(65536)
            if not piece:
                return None
            self.buffer += piece
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        status = int(lines[0].split()[1])
        size = int(headers.get("content-length", 0)) if body and status >= 200 else 0
        while len(self.buffer) < size:
            piece = self.sock.recv(65536)
            check(piece, "closed within a body")
            self.buffer += piece
        content, self.buffer = self.buffer[:size], self.buffer[size:]
        return status, headers, content


def keep_alive_and_close():
    with Server() as server:
        for sock in (server.raw(), server.tls(alpn=("http/1.1",)), server.tls(alpn=None), server.raw(unix=False)):
            http = Http1(sock)
            for _ in range(20):
                sock.sendall(GET)
                status, headers, body = http.answer()
                check((status, body) == (200, b"ok") and "connection" not in headers, headers)
            sock.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + GET)
            check(http.answer()[1]["connection"] == "close")
            check(http.answer() is None)
        http = Http1(server.raw())
        http.sock.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        check(http.answer()[1]["connection"] == "close" and http.answer() is None)
        http = Http1(server.raw())
        http.sock.sendall(b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2)
        check(http.answer()[1]["connection"] == "keep-alive" and http.answer()[0] == 200)


def pipelining_keeps_order():
    with Server() as server:
        for sock in (server.raw(), server.tls(alpn=("http/1.1",))):
            http = Http1(sock)
            data = b""
            for i in range(50):
                data += b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n%04d" % i
                if i % 10 == 0:
                    data += b"GET /slow?ms=20 HTTP/1.1\r\nHost: a\r\n\r\n"
            sock.sendall(data)
            for i in range(50):
                check(http.answer()[2] == b"%04d" % i)
                if i % 10 == 0:
                    check(http.answer()[2] == b"late")


def expect_continue():
    with Server() as server:
        head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        http = Http1(server.raw())
        for _ in range(3):
            http.sock.sendall(head)
            check(http.answer()[0] == 100)
            http.sock.sendall(b"hello")
            check(http.answer()[2] == b"hello")
        # the body comes at once: no 100 is needed
        http.sock.sendall(head + b"hello")
        check(http.answer()[0] == 200)
        # refused at its head: the final answer alone, and the end
        http.sock.sendall(head.replace(b"/echo", b"/refuse"))
        status, headers, _ = http.answer()
        check(status == 401 and headers["connection"] == "close" and http.answer() is None)
        http = Http1(server.raw())
        http.sock.sendall(head.replace(b": 5", b": 9999999"))
        check(http.answer()[0] == 413 and http.answer() is None)


def early_answer_keeps_a_small_body_connection():
    with Server() as server:
        http = Http1(server.raw())
        http.sock.sendall(b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + b"x" * 400)
        status, headers, _ = http.answer()
        check(status == 401 and "connection" not in headers)
        http.sock.sendall(b"x" * 600 + GET)
        check(http.answer()[0] == 200)
        check(server.count()["begun"] == 2)


def head_has_no_body():
    with Server() as server:
        http = Http1(server.raw())
        http.sock.sendall(b"HEAD /big?n=1000 HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
        status, headers, _ = http.answer(body=False)
        check(status == 200 and headers["content-length"] == "1000")
        check(http.answer()[2] == b"ok")
        peer = Peer(server.tls())
        peer.headers(1, fields(b"/big?n=1000", b"HEAD"))
        got = peer.until(HEADERS, stream=1)
        check(got[1] & END_STREAM and dict(peer.decoder.decode(got[3]))["content-length"] == "1000")


def constant_headers():
    with Server() as server:
        http = Http1(server.tls(alpn=("http/1.1",)))
        http.sock.sendall(GET)
        wanted = {"cache-control": "no-cache", "pragma": "no-cache", "expires": "-1",
                  "x-content-type-options": "nosniff", "content-length": "2"}
        headers = http.answer()[1]
        check(all(headers[name] == value for name, value in wanted.items()), headers)
        check("max-age" in headers["strict-transport-security"])
        http = Http1(server.raw())
        http.sock.sendall(GET)
        check("strict-transport-security" not in http.answer()[1])
        peer = Peer(server.tls())
        peer.headers(1, fields())
        headers = dict(peer.decoder.decode(peer.until(HEADERS, stream=1)[3]))
        check(all(headers[name] == value for name, value in wanted.items()), headers)


def bodies_up_to_the_bound():
    with Server(max_body=100000) as server:
        for size, status in ((0, 200), (1, 200), (99999, 200), (100000, 200), (100001, 413)):
            for chunked in (False, True):
                http = Http1(server.raw())
                if chunked:
                    data = b"".join(b"%x\r\n%s\r\n" % (min(7000, size - at), b"z" * min(7000, size - at))
                                    for at in range(0, size, 7000)) + b"0\r\n\r\n"
                    http.sock.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
                else:
                    http.sock.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"z" * size)
                got = http.answer()
                check(got[0] == status, (size, chunked, got[0]))
                check(status != 200 or got[2] == b"z" * size)
            for declared in (True, False):
                peer = Peer(server.tls())
                more = [(b"content-length", b"%d" % size)] if declared else []
                peer.headers(1, fields(b"/echo", b"POST", *more), END_HEADERS)
                send_body(peer, 1, b"z" * size)
                check(peer.outcome(1) == ("answer", status), (size, declared))


def send_body(peer, stream, body):
    """Within the windows that the server opens."""
    window, whole, at = 65536, 65535, 0
    while True:
        while at < len(body) or not body:
            piece = min(16384, window, whole, len(body) - at)
            if piece <= 0 and body:
                break
            last = at + piece == len(body)
            peer.send(frame(DATA, END_STREAM if last else 0, stream, body[at:at + piece]))
            at, window, whole = at + piece, window - piece, whole - piece
            if last:
                return
        while True:
            got = peer.read()
            if got is None:
                return
            if got[0] == WINDOW:
                if got[2] == 0:
                    whole += int.from_bytes(got[3], "big")
                else:
                    window += int.from_bytes(got[3], "big")
                break
            if got[0] in (HEADERS, RST) and got[2] == stream:
                # an early answer: give it back to whoever reads next
                peer.buffer = struct.pack(">I", len(got[3]))[1:] + bytes(got[:2]) + struct.pack(">I", stream) + got[3] + peer.buffer
                return


def checksum(body):
    total = 0
    for byte in body:
        total = (total * 31 + byte) & 0xFFFFFFFF
    return total


def streamed_bodies_pause_and_resume():
    body = os.urandom(1500000)
    wanted = {"bytes": len(body), "sum": checksum(body)}
    with Server() as server:
        for secure in (True, False):
            http = Http1(server.tls(alpn=("http/1.1",)) if secure else server.raw())
            http.sock.sendall(b"POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
            http.sock.sendall(body)
            got = json.loads(http.answer()[2])
            check(got.pop("pauses") > 10 and got == wanted, got)
            http.sock.sendall(GET)
            check(http.answer()[0] == 200)
        peer = Peer(server.tls())
        peer.headers(1, fields(b"/stream", b"POST"), END_HEADERS)
        send_body(peer, 1, body)
        # beside it, another stream is not held up
        peer.headers(3, fields())
        check(peer.outcome(3) == ("answer", 200))
        got = json.loads(peer.until(DATA, stream=1)[3])
        check(got.pop("pauses") > 10 and got == wanted, got)


def large_answers_and_slow_readers():
    with Server() as server:
        before = server.rss()
        slow = []
        for _ in range(20):
            sock = server.tls(alpn=("http/1.1",))
            sock.sendall(b"GET /big?n=1000000 HTTP/1.1\r\nHost: a\r\n\r\n")
            slow.append(sock)
        time.sleep(0.3)
        http = Http1(server.raw())
        http.sock.sendall(GET)
        check(http.answer()[0] == 200)
        check(server.rss() - before < 40 << 20)
        for sock in slow:
            check(len(Http1(sock).answer()[2]) == 1000000)
        peer = Peer(server.tls())
        peer.headers(1, fields(b"/big?n=300000"))
        total = 0
        while True:
            got = peer.until(DATA, stream=1)
            check(got, "only %d bytes" % total)
            total += len(got[3])
            if got[1] & END_STREAM:
                break
            update = struct.pack(">I", len(got[3]))
            if len(got[3]):
                peer.send(frame(WINDOW, 0, 1, update) + frame(WINDOW, 0, 0, update))
        check(total == 300000)


def drain_finishes_what_runs():
    with Server() as server:
        idle1, idle2 = Http1(server.raw()), Peer(server.tls())
        idle1.sock.sendall(GET)
        check(idle1.answer()[0] == 200)
        busy1, busy2 = Http1(server.raw()), Peer(server.tls())
        busy1.sock.sendall(b"GET /slow?ms=800 HTTP/1.1\r\nHost: a\r\n\r\n")
        busy2.headers(1, fields(b"/slow?ms=2000"))
        time.sleep(0.2)
        stopper = threading.Thread(target=server.stop)
        start = time.monotonic()
        stopper.start()
        check(idle1.answer() is None)
        # the first GOAWAY says "soon": a stream opened before the second is still served
        first = busy2.until(GOAWAY)
        check(int.from_bytes(first[3][:4], "big") == 0x7FFFFFFF and int.from_bytes(first[3][4:8], "big") == 0)
        busy2.headers(3, fields())
        check(busy2.outcome(3) == ("answer", 200))
        second = busy2.until(GOAWAY)
        check(int.from_bytes(second[3][:4], "big") == 3)
        check(busy2.outcome(1) == ("answer", 200))
        status, headers, body = busy1.answer()
        check((status, body, headers["connection"]) == (200, b"late", "close"))
        check(idle2.goaway() == 0)
        try:
            server.raw(timeout=1, unix=False)
            raise AssertionError("still listening")
        except OSError:
            pass
        stopper.join()
        check(time.monotonic() - start < 4 and server.process.returncode == 0)


def drain_cuts_at_its_grace():
    with Server(drain=500) as server:
        sock = server.raw()
        sock.sendall(b"GET /slow?ms=3000 HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.1)
        start = time.monotonic()
        check(server.stop() == 0)
        check(0.4 < time.monotonic() - start < 1.5)
        check(read_all(sock) == b"")


def unix_socket_speaks_both():
    with Server() as server:
        for extra, version in ((["--http1.1"], "1.1"), (["--http2-prior-knowledge"], "2")):
            done = subprocess.run(["curl", "-s", "-w", "%{http_version}", *extra, "--unix-socket", server.unix, "-d",
                                   "hello", "http://localhost/echo"], capture_output=True, text=True, timeout=10)
            check(done.stdout == "hello" + version, done)
        http = Http1(server.raw())
        http.sock.sendall(b"GET /info HTTP/1.1\r\nHost: a\r\n\r\n")
        info = json.loads(http.answer()[2])
        check(info["local"] == 1 and info["uid"] == os.getuid() and info["tls"] == 0 and info["face"] == 0)
        # the preface byte by byte, and what only begins like it
        peer = Peer(server.raw(), start=False)
        for byte in raw2.PREFACE + frame(raw2.SETTINGS, 0, 0):
            peer.send(bytes([byte]))
        check(peer.alive())
        http = Http1(server.raw())
        http.sock.sendall(b"PR")
        time.sleep(0.05)
        http.sock.sendall(b"OPFIND / HTTP/1.1\r\nHost: a\r\n\r\n")
        check(http.answer()[0] == 404)
        check(stat.S_IMODE(os.stat(server.unix).st_mode) == 0o660)
        check(stat.S_IMODE(os.stat(server.control).st_mode) == 0o600)


def faces():
    with Server() as server:
        http = Http1(server.raw(unix=False))
        http.sock.sendall(b"GET /info HTTP/1.1\r\nHost: a\r\n\r\n")
        info = json.loads(http.answer()[2])
        check(info["face"] == 1 and info["tls"] == 0 and info["local"] == 0)
        server.unix, api = server.control, server.unix
        http = Http1(server.raw())
        server.unix = api
        http.sock.sendall(b"GET /info HTTP/1.1\r\nHost: a\r\n\r\n")
        check(json.loads(http.answer()[2])["face"] == 2)


def start_is_refused(*options):
    done = subprocess.run([PROGRAM, *options], capture_output=True, text=True, timeout=10)
    check(done.returncode == 1 and done.stderr.startswith("error: "), done)
    return done.stderr


def bad_listeners_are_refused():
    check("not served over TCP without TLS" in start_is_refused("--bind", "127.0.0.1:0"))
    check("ADDRESS:PORT" in start_is_refused("--bind", "nonsense"))
    with Server() as server:
        pair = ["--cert", server.cert, "--key", server.key]
        check("in use" in start_is_refused(*pair, "--bind", "127.0.0.1:%d" % server.port))
        check("another program" in start_is_refused(*pair, "--unix", server.unix))
        check("not a socket" in start_is_refused(*pair, "--unix", server.cert))
        check(os.path.exists(server.cert))
        check("cannot load the certificate" in start_is_refused("--cert", "/nowhere.pem", "--key", server.key))
        check("cannot load the private key" in start_is_refused("--cert", server.cert, "--key", server.cert))


def stale_socket_is_replaced_and_removed():
    with Server() as server:
        server.process.kill()
        server.process.wait()
        check(os.path.exists(server.unix))
        done = subprocess.Popen([PROGRAM, "--cert", server.cert, "--key", server.key, "--unix", server.unix],
                                stdout=subprocess.PIPE, text=True)
        check(done.stdout.readline().startswith("ready"))
        done.terminate()
        check(done.wait(10) == 0 and not os.path.exists(server.unix))
        server.process = done


def connection_limit_holds_and_lets_go():
    with Server(max_conns=10) as server:
        held = [server.raw() for _ in range(10)]
        for sock in held:
            sock.sendall(GET)
            check(Http1(sock).answer()[0] == 200)
        waiting = server.raw()
        waiting.sendall(GET)
        waiting.settimeout(0.3)
        try:
            waiting.recv(1)
            raise AssertionError("served beyond the limit")
        except TimeoutError:
            pass
        admin = server.raw(unix=False)
        admin.sendall(GET)
        check(Http1(admin).answer()[0] == 200)
        held.pop().close()
        waiting.settimeout(5)
        check(Http1(waiting).answer()[0] == 200)


def several_loops():
    with Server(loops=3) as server:
        for _ in range(30):
            for sock in (server.tls(alpn=("http/1.1",)), server.raw(), server.raw(unix=False)):
                sock.sendall(GET)
                check(Http1(sock).answer()[0] == 200)
                sock.close()
        time.sleep(0.2)
        check(server.count()["connections"] == 1)


def many_requests_on_one_connection():
    with Server() as server:
        http = Http1(server.raw())
        for _ in range(0, 4000, 100):
            http.sock.sendall(GET * 100)
            for _ in range(100):
                check(http.answer()[0] == 200)


main([keep_alive_and_close, pipelining_keeps_order, expect_continue, early_answer_keeps_a_small_body_connection,
      head_has_no_body, constant_headers, bodies_up_to_the_bound, streamed_bodies_pause_and_resume,
      large_answers_and_slow_readers, drain_finishes_what_runs, drain_cuts_at_its_grace, unix_socket_speaks_both, faces,
      bad_listeners_are_refused, stale_socket_is_replaced_and_removed, connection_limit_holds_and_lets_go,
      several_loops, many_requests_on_one_connection])
