"""TLS as the policy says: versions, suites, ALPN, tickets, client certificates, reload, torn handshakes."""

import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time

from raw2 import Peer, fields
from server import Server, check, main, make_pair, read_all

GET = b"GET /info HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
GOOD_12 = ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"]
BAD_12 = ["AES128-GCM-SHA256", "AES128-SHA", "ECDHE-{}-AES128-SHA256", "ECDHE-{}-AES256-SHA", "DHE-RSA-AES128-GCM-SHA256",
          "AES128-CCM", "NULL-SHA256", "PSK-AES128-GCM-SHA256"]


def client(server, *options, data=b"", timeout=10):
    done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % server.port, "-servername", "localhost",
                           "-CAfile", server.cert, *options], input=data, capture_output=True, timeout=timeout)
    return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


def versions():
    with Server() as server:
        check("New, TLSv1.3" in client(server, "-tls1_3"))
        check("New, TLSv1.2" in client(server, "-tls1_2"))
        for old in ("-tls1", "-tls1_1"):
            text = client(server, old, "-cipher", "ALL:@SECLEVEL=0")
            check("Cipher is (NONE)" in text, text)


def suites():
    for key, kind in (("ec", "ECDSA"), ("rsa:2048", "RSA")):
        with Server(key=key) as server:
            for suite in GOOD_12:
                name = "ECDHE-%s-%s" % (kind, suite)
                check("Cipher is " + name in client(server, "-tls1_2", "-cipher", name), name)
            for suite in BAD_12:
                name = suite.format(kind)
                check("Cipher is (NONE)" in client(server, "-tls1_2", "-cipher", name + ":@SECLEVEL=0"), name)
            for name in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"):
                check("Cipher is " + name in client(server, "-tls1_3", "-ciphersuites", name), name)
            check("Cipher is (NONE)" in client(server, "-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"))
            for group in ("X25519", "P-256", "P-384"):
                check("Cipher is TLS_" in client(server, "-tls1_3", "-groups", group), group)
            for group in ("P-521", "X448", "ffdhe2048"):
                check("Cipher is (NONE)" in client(server, "-tls1_3", "-groups", group), group)


def alpn():
    with Server() as server:
        check("ALPN protocol: h2" in client(server, "-alpn", "h2,http/1.1"))
        check("ALPN protocol: h2" in client(server, "-alpn", "http/1.1,h2"))
        check("ALPN protocol: http/1.1" in client(server, "-alpn", "http/1.1"))
        check("No ALPN negotiated" in client(server))
        check("no application protocol" in client(server, "-alpn", "spdy/3"))
        sock = server.tls(alpn=None)
        sock.sendall(GET)
        check(b'"http2":0' in read_all(sock))


def no_renegotiation_no_compression_no_early_data():
    with Server() as server:
        text = client(server, "-tls1_2", data=b"R\n")
        check("no renegotiation" in text or "NO_RENEGOTIATION" in text.upper(), text[-800:])
        check("Compression: NONE" in client(server, "-tls1_2", "-comp"))
        path = os.path.join(server.folder, "session")
        client(server, "-tls1_3", "-sess_out", path, "-ign_eof", data=GET)
        early = os.path.join(server.folder, "early")
        with open(early, "wb") as file:
            file.write(GET)
        text = client(server, "-tls1_3", "-sess_in", path, "-early_data", early, "-ign_eof", data=GET)
        check("Early data was not sent" in text or "Cannot send early data" in text, text[-800:])
        check(server.count()["begun"] == 2)


def tickets_resume_on_every_loop():
    with Server(loops=3) as server:
        for version in ("-tls1_2", "-tls1_3"):
            path = os.path.join(server.folder, "session" + version)
            client(server, version, "-sess_out", path, "-ign_eof", data=GET)
            for _ in range(6):
                check("Reused, " in client(server, version, "-sess_in", path, "-ign_eof", data=GET))


def client_certificates():
    folder = tempfile.mkdtemp()
    ca = make_pair(folder, "ca", common_name="client CA")
    good = make_pair(folder, "good", ca=ca, common_name="app")
    stranger = make_pair(folder, "stranger", common_name="app")
    try:
        with Server(client_ca=ca[0]) as server:
            def ask(**settings):
                try:
                    sock = server.tls(alpn=("http/1.1",), **settings)
                    sock.sendall(GET)
                    return read_all(sock)
                except (ssl.SSLError, OSError):
                    return b""
            check(ask(client=good).startswith(b"HTTP/1.1 200"))
            check(ask() == b"")
            check(ask(client=stranger) == b"")
    finally:
        shutil.rmtree(folder)


def served_certificate(server):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", server.port), 5) as sock:
        with context.wrap_socket(sock) as secure:
            return secure.getpeercert(True)


def reload_swaps_only_what_is_good():
    with Server() as server:
        def reload():
            server.process.send_signal(1)
            return server.process.stdout.readline().strip()
        first = served_certificate(server)
        old = Peer(server.tls())
        kept = [open(path).read() for path in (server.cert, server.key)]
        check(reload() == "reload ok" and served_certificate(server) == first)
        # a broken file, a key of another certificate, an expired certificate: the old pair stays
        with open(server.cert, "w") as file:
            file.write("nothing\n")
        check("cannot load the certificate" in reload() and served_certificate(server) == first)
        make_pair(server.folder, "other")
        shutil.copy(os.path.join(server.folder, "other.pem"), server.cert)
        check("reload ok" != reload() and served_certificate(server) == first)
        shutil.copy(os.path.join(server.folder, "other.key"), server.key)
        check(reload() == "reload ok")
        second = served_certificate(server)
        check(second != first)
        # the connection from before goes on
        old.headers(1, fields())
        check(old.outcome(1) == ("answer", 200))
        for path, text in zip((server.cert, server.key), kept):
            with open(path, "w") as file:
                file.write(text)
        check(reload() == "reload ok" and served_certificate(server) == first)


def record_of_hello(server):
    """The bytes of a ClientHello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        context.wrap_bio(incoming, outgoing).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def torn_handshakes():
    with Server() as server:
        hello = record_of_hello(server)
        for cut in range(0, len(hello), 3):
            sock = socket.create_connection(("127.0.0.1", server.port), 5)
            sock.sendall(hello[:cut])
            sock.close()
        # in a hundred pieces it is still good
        sock = socket.create_connection(("127.0.0.1", server.port), 5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        step = max(1, len(hello) // 100)
        for at in range(0, len(hello), step):
            sock.sendall(hello[at:at + step])
            time.sleep(0.001)
        check(sock.recv(5)[:1] == b"\x16")
        sock.close()
        # bytes that are no TLS
        for junk in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(500), b"\x16\x03\x01\xff\xff" + bytes(100), b"\x80\x2e\x01"):
            sock = socket.create_connection(("127.0.0.1", server.port), 5)
            sock.sendall(junk)
            sock.settimeout(2)
            try:
                while sock.recv(100):
                    pass
            except OSError:
                pass
            sock.close()
        time.sleep(0.2)
        check(server.count()["connections"] == 1)
        peer = Peer(server.tls())
        peer.headers(1, fields())
        check(peer.outcome(1) == ("answer", 200))


def single_byte_records():
    with Server() as server:
        for alpn_name, data in ((("http/1.1",), GET),):
            sock = server.tls(alpn=alpn_name)
            for byte in data:
                sock.send(bytes([byte]))
            check(read_all(sock).startswith(b"HTTP/1.1 200"))


main([versions, suites, alpn, no_renegotiation_no_compression_no_early_data, tickets_resume_on_every_loop,
      client_certificates, reload_swaps_only_what_is_good, torn_handshakes, single_byte_records])
