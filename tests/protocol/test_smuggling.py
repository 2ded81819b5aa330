"""HTTP/1.1 framing: each ambiguous request gets an error and the connection ends; what follows on it is
never read as a second request. The oracle is the handler's own count of requests."""

import re

from server import Server, check, main, read_all

SECOND = b"GET /health HTTP/1.1\r\nHost: evil\r\n\r\n"


def post(headers, body=b"", line=b"POST /echo HTTP/1.1", host=b"Host: a\r\n"):
    return line + b"\r\n" + host + headers + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked\r\n"
CASES = [
    # name, bytes, allowed statuses
    ("cl twice equal", post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"), (400,)),
    ("cl twice different", post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello"), (400,)),
    ("cl list", post(b"Content-Length: 5,5\r\n", b"hello"), (400,)),
    ("cl plus", post(b"Content-Length: +5\r\n", b"hello"), (400,)),
    ("cl minus zero", post(b"Content-Length: -0\r\n"), (400,)),
    ("cl hex", post(b"Content-Length: 0x5\r\n", b"hello"), (400,)),
    ("cl padded", post(b"Content-Length:  5 \r\n", b"hello"), (400,)),
    ("cl inner space", post(b"Content-Length: 1 5\r\n", b"hello"), (400,)),
    ("cl 2^64", post(b"Content-Length: 18446744073709551616\r\n", b"hello"), (400,)),
    ("cl 2^63", post(b"Content-Length: 9223372036854775808\r\n", b"hello"), (400,)),
    ("cl empty", post(b"Content-Length:\r\n", b"hello"), (400,)),
    ("cl underscore", post(b"Content-Length: 1_0\r\n", b"hello"), (400,)),
    ("cl then te", post(b"Content-Length: 5\r\n" + CHUNKED, b"0\r\n\r\n"), (400,)),
    ("te then cl", post(CHUNKED + b"Content-Length: 5\r\n", b"0\r\n\r\n"), (400,)),
    ("te unknown", post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), (501,)),
    ("te chunked, identity", post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"), (501,)),
    ("te identity, chunked", post(b"Transfer-Encoding: identity, chunked\r\n", b"0\r\n\r\n"), (501,)),
    ("te gzip, chunked", post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), (501,)),
    ("te twice", post(CHUNKED + CHUNKED, b"0\r\n\r\n"), (400,)),
    ("te tab", post(b"Transfer-Encoding:\tchunked\r\n", b"0\r\n\r\n"), (400,)),
    ("te vt", post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), (400,)),
    ("te nul", post(b"Transfer-Encoding: chunked\0\r\n", b"0\r\n\r\n"), (400,)),
    ("te trailing space", post(b"Transfer-Encoding: chunked \r\n", b"0\r\n\r\n"), (400,)),
    ("te empty", post(b"Transfer-Encoding:\r\n", b"0\r\n\r\n"), (400,)),
    ("te quoted", post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n"), (501,)),
    ("te in 1.0", post(CHUNKED, b"0\r\n\r\n", line=b"POST /echo HTTP/1.0"), (400,)),
    ("te space before colon", post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"), (400,)),
    ("cl space before colon", post(b"Content-Length : 5\r\n", b"hello"), (400,)),
    ("te folded", post(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"), (400,)),
    ("chunk overflow", post(CHUNKED, b"fffffffffffffffff\r\nx"), (400,)),
    ("chunk 9 digits", post(CHUNKED, b"000000005\r\nhello\r\n0\r\n\r\n"), (400,)),
    ("chunk 0x", post(CHUNKED, b"0x5\r\nhello\r\n0\r\n\r\n"), (400,)),
    ("chunk plus", post(CHUNKED, b"+5\r\nhello\r\n0\r\n\r\n"), (400,)),
    ("chunk minus", post(CHUNKED, b"-5\r\nhello\r\n0\r\n\r\n"), (400,)),
    ("chunk space", post(CHUNKED, b"5 \r\nhello\r\n0\r\n\r\n"), (400,)),
    ("chunk empty size", post(CHUNKED, b"\r\nhello\r\n0\r\n\r\n"), (400,)),
    ("chunk long extension", post(CHUNKED, b"5;" + b"a" * 10240 + b"\r\nhello\r\n0\r\n\r\n"), (400,)),
    ("chunk extension bare lf", post(CHUNKED, b"5;a\nhello\r\n0\r\n\r\n"), (400,)),
    ("chunk size bare lf", post(CHUNKED, b"5\nhello\r\n0\r\n\r\n"), (400,)),
    ("chunk size bare cr", post(CHUNKED, b"5\rXhello\r\n0\r\n\r\n"), (400,)),
    ("chunk data bare lf", post(CHUNKED, b"5\r\nhello\n0\r\n\r\n"), (400,)),
    ("chunk data no crlf", post(CHUNKED, b"5\r\nhello0\r\n\r\n"), (400,)),
    ("chunk data too long", post(CHUNKED, b"5\r\nhelloX\r\n0\r\n\r\n"), (400,)),
    ("chunk wrong end", post(CHUNKED, b"5\r\nhello\r\n0\r\nX\r\n\r\n"), (400,)),
    ("trailer content-length", post(CHUNKED, b"0\r\nContent-Length: 5\r\n\r\n"), (400,)),
    ("trailer authorization", post(CHUNKED, b"0\r\nAuthorization: x\r\n\r\n"), (400,)),
    ("trailer transfer-encoding", post(CHUNKED, b"0\r\nTransfer-Encoding: x\r\n\r\n"), (400,)),
    ("trailer bare lf", post(CHUNKED, b"0\r\nX: y\n\r\n"), (400,)),
    ("line bare cr", post(b"X: a\rb\r\n"), (400,)),
    ("line bare lf", post(b"X: a\nY: b\r\n"), (400,)),
    ("head all lf", b"GET /health HTTP/1.1\nHost: a\n\n", (400,)),
    ("obs-fold", post(b"X: a\r\n b\r\n"), (400,)),
    ("obs-fold tab", post(b"X: a\r\n\tb\r\n"), (400,)),
    ("first header leading space", b"GET /health HTTP/1.1\r\n Host: a\r\n\r\n", (400,)),
    ("no colon", post(b"Nothing\r\n"), (400,)),
    ("empty name", post(b": x\r\n"), (400,)),
    ("name not token", post(b"X(y): z\r\n"), (400,)),
    ("name with space", post(b"X y: z\r\n"), (400,)),
    ("nul in value", post(b"X: a\0b\r\n"), (400,)),
    ("nul in name", post(b"X\0: b\r\n"), (400,)),
    ("high byte in value", post(b"X: \xc3\xa9\r\n"), (400,)),
    ("high byte in name", post(b"\xc3: b\r\n"), (400,)),
    ("del in value", post(b"X: \x7f\r\n"), (400,)),
    ("two spaces", b"GET  /health HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    ("two spaces before version", b"GET /health  HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    ("tab in request line", b"GET\t/health HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    ("trailing space", b"GET /health HTTP/1.1 \r\nHost: a\r\n\r\n", (400,)),
    ("leading space", b" GET /health HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    ("space in target", b"GET /hea lth HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    ("absolute other host", b"GET http://b/health HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    ("absolute userinfo", b"GET http://x@a/health HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    ("absolute other scheme", b"GET ftp://a/health HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    ("authority form", b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    ("asterisk", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    ("no slash", b"GET health HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    ("fragment", b"GET /health#x HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    ("high byte in target", b"GET /h\xc3 HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    ("http 0.9", b"GET /health\r\n\r\n", (400,)),
    ("http 1.2", b"GET /health HTTP/1.2\r\nHost: a\r\n\r\n", (400, 505)),
    ("http 2.0", b"GET /health HTTP/2.0\r\nHost: a\r\n\r\n", (400, 505)),
    ("http 1.1x", b"GET /health HTTP/1.1x\r\nHost: a\r\n\r\n", (400,)),
    ("http lower", b"GET /health http/1.1\r\nHost: a\r\n\r\n", (400,)),
    ("http 01.1", b"GET /health HTTP/01.1\r\nHost: a\r\n\r\n", (400,)),
    ("method unknown", b"FROB /health HTTP/1.1\r\nHost: a\r\n\r\n", (501,)),
    ("method lower", b"get /health HTTP/1.1\r\nHost: a\r\n\r\n", (400, 501)),
    ("method not token", b"GE(T /health HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    ("host missing", b"GET /health HTTP/1.1\r\n\r\n", (400,)),
    ("host twice", b"GET /health HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", (400,)),
    ("host empty", b"GET /health HTTP/1.1\r\nHost:\r\n\r\n", (400,)),
    ("host userinfo", b"GET /health HTTP/1.1\r\nHost: u@a\r\n\r\n", (400,)),
    ("host port junk", b"GET /health HTTP/1.1\r\nHost: a:80x\r\n\r\n", (400,)),
    ("host port huge", b"GET /health HTTP/1.1\r\nHost: a:65536\r\n\r\n", (400,)),
    ("host path", b"GET /health HTTP/1.1\r\nHost: a/b\r\n\r\n", (400,)),
    ("host list", b"GET /health HTTP/1.1\r\nHost: a, b\r\n\r\n", (400,)),
    ("expect other", post(b"Expect: nonsense\r\n"), (417,)),
    ("authorization twice", post(b"Authorization: a\r\nAuthorization: b\r\n"), (400,)),
    ("target too long", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", (414,)),
    ("65 fields", post(b"".join(b"X-%d: y\r\n" % i for i in range(64))), (431,)),
    ("head 40 KiB", post(b"X: " + b"y" * 40000 + b"\r\n"), (431,)),
    ("head 33 KiB unfinished", b"GET /health HTTP/1.1\r\nX: " + b"y" * 40000, (431,)),
]


def ask(server, data, pieces=None, unix=True):
    sock = server.raw(unix=unix)
    try:
        if pieces:
            for i in range(0, len(data), pieces):
                sock.sendall(data[i:i + pieces])
        else:
            sock.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        pass
    answer = read_all(sock)
    sock.close()
    return answer


def statuses(answer):
    return [int(code) for code in re.findall(rb"(?:^|(?<=\}))HTTP/1\.1 (\d{3}) ", answer)]


def run_cases(pieces):
    with Server() as server:
        before = server.count()
        wrong = []
        for name, data, allowed in CASES:
            answer = ask(server, data + SECOND, pieces)
            got = statuses(answer)
            if len(got) != 1 or got[0] not in allowed:
                wrong.append("%s: %s instead of %s" % (name, got, allowed))
            elif b"connection: close" not in answer or b'{"error":{"code":"' not in answer:
                wrong.append("%s: no close or no error body" % name)
        after = server.count()
        seen = after["begun"] - before["begun"]
        # chunked requests reach begin (the head was fine) and are never run
        begun_by_design = sum(1 for name, data, _ in CASES if name.startswith(("chunk ", "trailer ")))
        check(not wrong, "\n".join(wrong))
        check(seen == begun_by_design, "requests seen by the handler: %d, expected %d" % (seen, begun_by_design))
        check(after["run"] == before["run"], "a malformed request was run")
        check(len(CASES) >= 60)


def ambiguous_requests_whole():
    run_cases(None)


def ambiguous_requests_byte_by_byte():
    run_cases(7)


def preface_in_clear_on_tcp():
    with Server() as server:
        answer = ask(server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", unix=False)
        check(statuses(answer)[:1] in ([400], [505]), answer)
        check(server.count()["begun"] == 0)


def upgrade_is_not_done():
    with Server() as server:
        answer = ask(server, b"GET /info HTTP/1.1\r\nHost: a\r\nConnection: upgrade, close\r\nUpgrade: h2c\r\n"
                             b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n")
        check(statuses(answer) == [200] and b"101" not in answer.split(b"\r\n")[0], answer)
        check(server.count()["begun"] == 1)


def body_of_a_get_is_no_request():
    with Server() as server:
        for method in (b"GET", b"DELETE"):
            before = server.count()["begun"]
            data = method + b" /info HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(SECOND)
            answer = ask(server, data + SECOND)
            check(statuses(answer) == [200] and b'"body":%d,' % len(SECOND) in answer, answer)
            check(server.count()["begun"] == before + 1)


def well_formed_is_served():
    with Server() as server:
        for data, body in ((post(b"Connection: close\r\nContent-Length: 5\r\n", b"hello"), b"hello"),
                           (post(CHUNKED + b"Connection: close\r\n", b"5;a=b\r\nhello\r\n3\r\n wo\r\n0\r\nX: y\r\n\r\n"), b"hello wo"),
                           (b"\r\n" + post(b"Connection: close\r\nContent-Length: 0\r\n"), b""),
                           (post(b"Content-Length: 5\r\n", b"hello", line=b"POST /echo HTTP/1.0"), b"hello"),
                           (post(b"Connection: close\r\nContent-Length: 2\r\n", b"ok", line=b"POST http://a/echo HTTP/1.1"), b"ok")):
            for pieces in (None, 1):
                answer = ask(server, data, pieces)
                check(statuses(answer) == [200], answer)
                check(answer.split(b"\r\n\r\n", 1)[1] == body, answer)


main([ambiguous_requests_whole, ambiguous_requests_byte_by_byte, preface_in_clear_on_tcp, upgrade_is_not_done,
      body_of_a_get_is_no_request, well_formed_is_served])
