"""Remote members: a gateway whose group holds another gateway, and endpoints that misbehave."""
import datetime
import hashlib
import ipaddress
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import unittest
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from group_test import check_es256, check_rs256
from hsm import Group, Load, MODULE
from keyward import VERSION, b64, free_port, unb64

DIGEST = hashlib.sha256(b"a message").digest()


class Front(Group):
    """A gateway with SoftHSM members and remote ones: (name, url, token, ca)."""

    def __init__(self, labels=("hsm-a",), **options):
        self.remotes = []
        super().__init__(list(labels), **options)

    def remote(self, name, url, token, ca=None, more=""):
        file = self.folder / f"{name}.token"
        if not file.exists():
            file.write_text(token + "\n")
            file.chmod(0o600)
        self.remotes.append(f"    - {{ name: {name}, type: remote, url: \"{url}\", token_file: {file}"
                            + (f", ca: {ca}" if ca else "") + more + " }\n")

    def _write_config(self):
        super()._write_config()
        text = self.config.read_text()
        self.config.write_text(text.replace("  members:\n", "  members:\n" + "".join(self.remotes)))

    def again(self, wait=()):
        self._write_config()
        self.start(wait=False)
        self.wait_serving(wait)

    def until(self, name, seconds=20, **wanted):
        """Until the member's row says all of `wanted` (reason: contains)."""
        end = time.monotonic() + seconds
        while True:
            row = self.members()[name]
            if all(v in row[k] if k == "reason" else row[k] == v for k, v in wanted.items()):
                return row
            if time.monotonic() > end:
                raise AssertionError(f"{wanted} not seen: {row}\n{self.log()[-2000:]}")
            time.sleep(0.05)

    def admin_word(self, word, *names):
        for name in names:
            self.cli("member", word, name, "-c", str(self.config))


class Back(Group):
    """The endpoint: the same security domain and store, no members (the core opens the keys)."""

    def __init__(self, front, members=""):
        self.front, self.group_text = front, members
        super().__init__([])

    def _write_config(self):
        for file in self.front.data.iterdir():
            if file.is_file() and file.name != "tokens.json":
                shutil.copy2(file, self.data / file.name)
        self.save_config()

    def save_config(self):
        super()._write_config()
        text = self.config.read_text()
        self.config.write_text(text.replace("group:\n  members:\n", self.group_text))

    def cli(self, *words):
        return "" if words[0] == "init" else super().cli(*words)

    @property
    def url(self):
        return f"https://localhost:{self.port}"


def requests_of(server):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.admin}/metrics", timeout=10) as answer:
        rows = answer.read().decode()
    return sum(int(row.rsplit(" ", 1)[1]) for row in rows.split("\n") if row.startswith("keyward_requests_total") and "admin_" not in row)


class Pair(unittest.TestCase):
    """hsm-a and a second gateway that holds the same domain."""

    @classmethod
    def setUpClass(cls):
        cls.front = Front().start()
        cls.keys = {kty: cls.front.create(kty.lower(), kty, **more)["key"]
                    for kty, more in (("RSA-HSM", {}), ("EC-HSM", {"crv": "P-256"}), ("oct-HSM", {}))}
        cls.front.stop()
        cls.back = Back(cls.front).start(wait=False)
        cls.front.remote("peer", cls.back.url, cls.back.token, cls.back.data / "ca.pem")
        cls.front.again(["hsm-a", "peer"])
        cls.front.create("only-here", "RSA-HSM")

    @classmethod
    def tearDownClass(cls):
        codes = cls.front.stop(), cls.back.stop()
        log = cls.front.log()
        cls.front.remove()
        cls.back.remove()
        assert codes == (0, 0), log[-3000:]

    def tearDown(self):
        self.front.admin_word("activate", "hsm-a", "peer")
        self.front.wait_serving(["hsm-a", "peer"], 15)

    def alone(self, name):
        other = "peer" if name == "hsm-a" else "hsm-a"
        self.front.admin_word("activate", name)
        self.front.admin_word("drain", other)
        self.front.wait_serving([name])
        self.front.until(other, serving=False)

    def test_the_peer_serves_what_the_drained_member_cannot(self):
        secret = os.urandom(32)
        iv = os.urandom(16)
        self.alone("hsm-a")
        wrapped = self.front.ok("/keys/oct-hsm/wrapkey", {"alg": "A256KW", "value": b64(secret)})
        sealed = self.front.ok("/keys/rsa-hsm/encrypt", {"alg": "RSA-OAEP-256", "value": b64(secret)})
        self.alone("peer")
        before = self.front.operations("peer")
        signed = self.front.ok("/keys/rsa-hsm/sign", {"alg": "RS256", "value": b64(DIGEST)})
        check_rs256(self.keys["RSA-HSM"], unb64(signed["value"]))
        signed = self.front.ok("/keys/ec-hsm/sign", {"alg": "ES256", "value": b64(DIGEST)})
        check_es256(self.keys["EC-HSM"], unb64(signed["value"]))
        back = self.front.ok("/keys/oct-hsm/unwrapkey", {"alg": "A256KW", "value": wrapped["value"]})
        self.assertEqual(secret, unb64(back["value"]))
        for verb in ("decrypt", "unwrapkey"):
            back = self.front.ok(f"/keys/rsa-hsm/{verb}", {"alg": "RSA-OAEP-256", "value": sealed["value"]})
            self.assertEqual(secret, unb64(back["value"]))
        cipher = self.front.ok("/keys/oct-hsm/encrypt", {"alg": "A256CBCPAD", "value": b64(b"text"), "iv": b64(iv)})
        self.assertGreaterEqual(self.front.operations("peer"), before + 6)
        self.alone("hsm-a")
        plain = self.front.ok("/keys/oct-hsm/decrypt", {"alg": "A256CBCPAD", "value": cipher["value"], "iv": b64(iv)})
        self.assertEqual(b"text", unb64(plain["value"]))

    def test_bad_ciphertext_is_the_callers_fault(self):
        self.alone("peer")
        for _ in range(10):
            answer = self.front.post("/keys/rsa-hsm/decrypt", {
                "alg": "RSA-OAEP-256", "value": b64(os.urandom(255).rjust(256, b"\0"))})
            self.assertEqual((400, "BadParameter"), (answer.status, answer.code))
        self.assertTrue(self.front.members()["peer"]["serving"])

    def test_a_request_that_it_refuses_closes_nothing_for_others(self):
        """Its bound for bodies is lower than ours: what it refuses is that request's trouble alone."""
        whole = self.back.config.read_text()
        self.addCleanup(lambda: self.reload_back(whole))
        self.reload_back(whole + "limits: { max_body: 1KiB }\n")
        small = {"alg": "A256CBCPAD", "value": b64(b"text"), "iv": b64(bytes(16))}
        self.alone("peer")
        self.front.ok("/keys/oct-hsm/encrypt", small)
        answer = self.front.post("/keys/oct-hsm/encrypt", {**small, "value": b64(bytes(2000))})
        self.assertEqual(400, answer.status, answer.body)
        self.front.ok("/keys/oct-hsm/encrypt", small)
        self.assertTrue(self.front.members()["peer"]["serving"])

    def reload_back(self, text):
        before = self.back.log().count('"message":"reload done"')
        self.back.config.write_text(text)
        self.back.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 10
        while self.back.log().count('"message":"reload done"') == before:
            self.assertLess(time.monotonic(), end, self.back.log()[-1000:])
            time.sleep(0.02)

    def test_a_key_that_it_lacks(self):
        """The other member serves it; without that one the answer is 503, not the caller's fault."""
        for _ in range(40):
            self.front.ok("/keys/only-here/sign", {"alg": "RS256", "value": b64(DIGEST)})
        self.alone("peer")
        answer = self.front.post("/keys/only-here/sign", {"alg": "RS256", "value": b64(DIGEST)})
        self.assertEqual(503, answer.status, answer.body)
        self.assertTrue(answer.headers["retry-after"])

    def test_the_same_key_imported_on_both(self):
        """It has another version there: found by its public half under the same name."""
        key = ec.generate_private_key(ec.SECP256R1()).private_numbers()
        size = 32
        jwk = {"kty": "EC-HSM", "crv": "P-256", "key_ops": ["sign", "verify"],
               **{name: b64(value.to_bytes(size, "big")) for name, value in (
                   ("x", key.public_numbers.x), ("y", key.public_numbers.y), ("d", key.private_value))}}
        kids = [server.request("PUT", "/keys/shared", {"key": jwk}).json["key"]["kid"].rsplit("/", 1)[1]
                for server in (self.front, self.back)]
        self.assertNotEqual(*kids)
        self.alone("peer")
        signed = self.front.ok("/keys/shared/sign", {"alg": "ES256", "value": b64(DIGEST)})
        check_es256(jwk, unb64(signed["value"]))

    def test_another_key_of_the_same_name_is_not_used(self):
        for server in (self.front, self.back):
            server.create("clash", "RSA-HSM")
        self.alone("peer")
        answer = self.front.post("/keys/clash/sign", {"alg": "RS256", "value": b64(DIGEST)})
        self.assertEqual(503, answer.status, answer.body)
        self.assertTrue(self.front.members()["peer"]["serving"])

    def test_certificate_end_is_a_metric(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.front.admin}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        row = [r for r in text.split("\n") if r.startswith("keyward_certificate_expiry_seconds")
               and f'subject="localhost:{self.back.port}"' in r]
        self.assertEqual(1, len(row), text)
        self.assertGreater(int(row[0].rsplit(" ", 1)[1]), 0)

    def test_restart_of_the_peer_costs_no_request(self):
        path = f"/keys/rsa-hsm/{self.keys['RSA-HSM']['kid'].rsplit('/', 1)[1]}/sign?{VERSION}"
        body = json.dumps({"alg": "RS256", "value": b64(DIGEST)}).encode()
        before = self.front.operations("peer")
        load = Load(self.front, path, body, seconds=12, clients=4, streams=4)
        time.sleep(2)
        self.assertEqual(0, self.back.stop())
        time.sleep(2)
        middle = self.front.operations("peer")
        self.back.start(wait=False)
        result = load.end()
        print(result, flush=True)
        self.assertGreater(middle, before, "the peer served nothing before its restart")
        self.assertGreater(result["succeeded"], 100)
        self.assertEqual(0, result["failed"] + result["errored"] + result["timeout"] + result["bad"])
        self.front.wait_serving(["hsm-a", "peer"], 15)
        Load(self.front, path, body, seconds=3, clients=4, streams=4).end()
        self.assertGreater(self.front.operations("peer"), middle)

    def test_refused_token_stops_and_a_new_one_is_taken(self):
        file = self.front.folder / "peer.token"
        good = file.read_text()
        self.addCleanup(file.write_text, good)
        self.front.stop()
        file.write_text("not-a-token\n")
        self.front.again(["hsm-a"])
        row = self.front.until("peer", health="auth_failed", reason="HTTP 401")
        self.assertFalse(row["serving"])
        time.sleep(1)
        before = requests_of(self.back)
        for _ in range(20):
            self.front.ok("/keys/rsa-hsm/sign", {"alg": "RS256", "value": b64(DIGEST)})
        time.sleep(3)
        self.assertEqual(before, requests_of(self.back), "a refused token was tried again")
        file.write_text(good)
        self.front.wait_serving(["hsm-a", "peer"], 15)


class Loops(unittest.TestCase):
    def test_its_own_endpoint_is_refused(self):
        front = Front()
        front.remote("self", f"https://localhost:{front.port}", front.token, front.data / "ca.pem")
        front.again(["hsm-a"])
        try:
            front.until("self", health="mismatched", reason="loop")
            front.create("k", "RSA-HSM")
            front.ok("/keys/k/sign", {"alg": "RS256", "value": b64(DIGEST)})
        finally:
            self.assertEqual(0, front.stop())
            front.remove()

    def test_two_that_name_each_other(self):
        """Each may be the other's member; a request never comes back to where it has been."""
        front = Front().start()
        front.create("k", "RSA-HSM")
        front.stop()
        back = Back(front)
        back.group_text = (f"group:\n  members:\n    - {{ name: peer, type: remote, url: \"https://localhost:{front.port}\", "
                      f"token_file: {back.folder}/t, ca: {back.data}/ca.pem }}\n")
        (back.folder / "t").write_text(front.token)
        (back.folder / "t").chmod(0o600)
        back.save_config()
        back.start(wait=False)
        front.remote("peer", back.url, back.token, back.data / "ca.pem")
        front.again(["hsm-a", "peer"])
        back.wait_serving(["peer"])
        try:
            back.ok("/keys/k/sign", {"alg": "RS256", "value": b64(DIGEST)})  # by way of the front's HSM
            front.admin_word("drain", "hsm-a")
            front.until("hsm-a", serving=False)
            begun = time.monotonic()
            answer = front.post("/keys/k/sign", {"alg": "RS256", "value": b64(DIGEST)})
            self.assertEqual(503, answer.status, answer.body)
            self.assertLess(time.monotonic() - begun, 1)
            self.assertLess(requests_of(front) + requests_of(back), 200, "requests went in circles")
        finally:
            codes = front.stop(), back.stop()
            front.remove()
            back.remove()
        self.assertEqual((0, 0), codes)


class Certificates:
    """A CA of its own, and certificates with a fault each."""

    def __init__(self, folder):
        self.folder = folder
        self.key, self.ca = self._make("test CA", None, 1, 30)
        (folder / "test-ca.pem").write_bytes(self.ca.public_bytes(serialization.Encoding.PEM))

    def _make(self, name, names, begin, end, ca=None):
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.utcnow()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (x509.CertificateBuilder().subject_name(subject)
                   .issuer_name(self.ca.subject if ca else subject).public_key(key.public_key())
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(days=begin))
                   .not_valid_after(now + datetime.timedelta(days=end)))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        else:
            builder = builder.add_extension(x509.BasicConstraints(True, None), True)
        return key, builder.sign(self.key if ca else key, hashes.SHA256())

    def context(self, name, names, begin=1, end=20, h2=True):
        key, cert = self._make(name, names, begin, end, ca=True)
        file = self.folder / f"{name}.pem"
        file.write_bytes(cert.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        if h2:
            context.set_alpn_protocols(["h2"])
        return context


class Endpoint(threading.Thread):
    """A TLS endpoint whose `talk(socket)` plays the server's part."""

    def __init__(self, context, talk=None):
        super().__init__(daemon=True)
        self.context, self.talk = context, talk
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.connections = 0
        self.start()

    def run(self):
        while True:
            try:
                plain, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(plain,), daemon=True).start()

    def serve(self, plain):
        try:
            with self.context.wrap_socket(plain, server_side=True) as tls:
                if self.talk:
                    self.talk(tls)
        except (OSError, ssl.SSLError):
            pass

    def close(self):
        self.socket.close()


def h2_server(answer):
    """talk() of a small HTTP/2 server: answer(headers, body) -> (status, fields, body)."""
    import h2.config
    import h2.connection
    import h2.events

    def talk(tls):
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        conn.initiate_connection()
        tls.sendall(conn.data_to_send())
        heads, bodies = {}, {}
        while True:
            data = tls.recv(65536)
            if not data:
                return
            for event in conn.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    heads[event.stream_id], bodies[event.stream_id] = dict(event.headers), b""
                elif isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] += event.data
                    conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    status, fields, body = answer(heads[event.stream_id], bodies[event.stream_id])
                    conn.send_headers(event.stream_id, [(":status", str(status)), *fields])
                    for at in range(0, len(body), 16384):
                        if conn.local_flow_control_window(event.stream_id) < 16384:
                            break
                        conn.send_data(event.stream_id, body[at:at + 16384])
                    conn.end_stream(event.stream_id)
            tls.sendall(conn.data_to_send())
    return talk


class Faults(unittest.TestCase):
    """What is wrong with an endpoint has its own name, and costs no request."""

    @classmethod
    def setUpClass(cls):
        cls.front = Front().start()
        cls.key = cls.front.create("k", "RSA-HSM")["key"]
        cls.front.stop()
        cls.certificates = Certificates(cls.front.folder)
        localhost = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        ca = cls.front.folder / "test-ca.pem"
        cls.endpoints = {}

        def add(name, context, talk=None, ca=ca):
            endpoint = cls.endpoints[name] = Endpoint(context, talk)
            cls.front.remote(name, f"https://localhost:{endpoint.port}", "t" * 40, ca)

        good = cls.certificates.context("good", localhost)
        add("unknown-ca", good, ca=None)
        add("expired", cls.certificates.context("old", localhost, begin=20, end=-1))
        add("other-name", cls.certificates.context("other", [x509.DNSName("else.example")]))
        add("no-h2", cls.certificates.context("h1", localhost, h2=False))
        add("silent", good, lambda tls: time.sleep(60))
        add("noise", good, lambda tls: (tls.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10), time.sleep(1)))
        add("forbids", good, h2_server(lambda head, body: (403, [], b"{}")))
        other_ca = cls.front.folder / "renewed-ca.pem"
        other_ca.write_bytes((cls.front.data / "ca.pem").read_bytes())
        add("renewed-ca", good, h2_server(lambda head, body: (403, [], b"{}")), ca=other_ca)
        cls.calls = {name: [] for name in ("busy", "huge", "garbage", "liar", "broken")}

        def script(name, status, fields, body):
            def answer(head, request):
                if head[":path"].startswith("/keys/keyward-probe"):
                    return 404, [], b"{}"
                cls.calls[name].append(head)
                if head[":method"] == "GET" and name != "garbage":
                    return 200, [], json.dumps({"key": cls.key}).encode()
                return status, fields, body(request)
            return h2_server(answer)

        add("busy", good, script("busy", 429, [("retry-after", "30")], lambda request: b"{}"))
        add("huge", good, script("huge", 200, [], lambda request: b'{"value":"' + b"A" * 60000 + b'"}'))
        add("garbage", good, script("garbage", 200, [], lambda request: b'{"key":[{}],"value'))
        add("liar", good, script("liar", 200, [], lambda request: json.dumps({"value": b64(os.urandom(256))}).encode()))
        add("broken", good, script("broken", 500, [], lambda request: b"{}"))
        cls.front.remote("refuses", f"https://localhost:{free_port()}", "t" * 40, ca)
        cls.front.remote("no-name", "https://nowhere.invalid", "t" * 40, ca)
        cls.front.again(["hsm-a"])

    @classmethod
    def tearDownClass(cls):
        code = cls.front.stop()
        for endpoint in cls.endpoints.values():
            endpoint.close()
        log = cls.front.log()
        cls.front.remove()
        assert code == 0, log[-3000:]

    def test_faults_of_tls_and_the_way_have_names(self):
        for name, reason in (("unknown-ca", "TLS: unknown CA"), ("expired", "TLS: certificate expired"),
                             ("other-name", "TLS: host name mismatch"), ("no-h2", "TLS: "),
                             ("silent", "unreachable: no answer within"), ("noise", ""),
                             ("refuses", "unreachable: Connection refused"), ("no-name", "DNS: nowhere.invalid")):
            with self.subTest(name):
                row = self.front.until(name, health="down", reason=reason)
                self.assertFalse(row["serving"])

    def test_doctor_names_them_too(self):
        done = subprocess.run([self.front.binary, "doctor", "-c", str(self.front.config), "--json"],
                              capture_output=True, text=True, timeout=120, env=self.front.tokens.environment)
        found = json.loads(done.stdout)["findings"]

        def chain(name):
            rows = [f for f in found if f["subject"] == f"member {name}" and
                    f["step"] in ("dns", "tcp", "tls", "certificate", "token")]
            self.assertEqual(["dns", "tcp", "tls", "certificate", "token"], [f["step"] for f in rows], found)
            return {f["step"]: f for f in rows}

        for name, step, owner, seen in (("unknown-ca", "tls", "config", "unknown CA"), ("expired", "tls", "device", "expired"),
                                        ("other-name", "tls", "config", "host name mismatch"),
                                        ("no-h2", "tls", "device", "TLS: "), ("refuses", "tcp", "network", "refused"),
                                        ("no-name", "dns", "network", "nowhere.invalid has no address")):
            with self.subTest(name):
                rows = chain(name)
                self.assertEqual(("fail", owner), (rows[step]["result"], rows[step]["owner"]), rows)
                self.assertIn(seen, rows[step]["seen"])
                self.assertTrue(rows[step]["next"])
                order = list(rows)
                for before in order[:order.index(step)]:
                    self.assertEqual("ok", rows[before]["result"], rows)
                for after in order[order.index(step) + 1:-1]:
                    self.assertEqual("skip", rows[after]["result"], rows)
        rows = chain("busy")
        self.assertEqual(["ok", "ok", "ok", "warn", "ok"], [f["result"] for f in rows.values()])
        self.assertRegex(rows["certificate"]["seen"], r"^ends in (19|20) days; issued by /CN=test CA")

    def test_a_renewed_ca_is_taken_without_a_restart(self):
        file = self.front.folder / "renewed-ca.pem"
        self.assertIn("unknown CA", self.front.until("renewed-ca", health="down", reason="TLS: unknown CA")["reason"])
        file.write_bytes((self.front.folder / "test-ca.pem").read_bytes())
        self.front.admin_word("recover", "renewed-ca")
        # past TLS: this endpoint then refuses the token
        self.front.until("renewed-ca", health="auth_failed", reason="HTTP 403")

    def test_no_right_is_named_and_not_tried_again(self):
        self.front.until("forbids", health="auth_failed", reason="HTTP 403")
        count = self.endpoints["forbids"].connections
        time.sleep(3)
        self.assertEqual(count, self.endpoints["forbids"].connections)

    def test_certificates_that_end_soon_are_warned_of(self):
        self.front.until("busy", serving=True)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            rows = [json.loads(line) for line in self.front.log().split("\n") if "certificate ends soon" in line]
            mine = [row for row in rows if row["member"] == "busy"]
            if mine:
                break
            time.sleep(0.1)
        self.assertIn([row["days_left"] for row in mine], ([19], [20]))  # 20 days less the time since its making

    def test_wrong_answers_cost_no_request(self):
        for name in self.calls:
            with self.subTest(name):
                others = [n for n in self.calls if n != name]
                self.front.admin_word("drain", *others)
                self.front.until(name, serving=True)
                for _ in range(60):
                    signed = self.front.ok("/keys/k/sign", {"alg": "RS256", "value": b64(DIGEST)})
                    check_rs256(self.key, unb64(signed["value"]))
                    if any(head[":method"] == "POST" for head in self.calls[name]):
                        break
                for _ in range(20):
                    self.front.ok("/keys/k/sign", {"alg": "RS256", "value": b64(DIGEST)})
                self.assertTrue(self.calls[name], "it was never asked")
                self.front.admin_word("activate", *others)

    def test_a_pause_that_is_asked_for_is_kept(self):
        self.front.until("busy", serving=True)
        self.front.admin_word("drain", *[n for n in self.calls if n != "busy"])
        for _ in range(40):
            self.front.ok("/keys/k/sign", {"alg": "RS256", "value": b64(DIGEST)})
        count = len(self.calls["busy"])
        self.assertLessEqual(count, 3)
        self.assertTrue(self.front.members()["busy"]["serving"], "a pause is no fault")
        self.front.admin_word("activate", *[n for n in self.calls if n != "busy"])


class Renewal(unittest.TestCase):
    """A token is renewed and the old one revoked while a request that carries it is on its way."""

    def setUp(self):
        self.front = Front().start()
        self.key = self.front.create("k", "RSA-HSM")["key"]
        self.front.stop()
        certificates = Certificates(self.front.folder)
        context = certificates.context("good", [x509.DNSName("localhost")])
        self.held, self.answered, self.seen = threading.Event(), threading.Event(), []
        self.endpoint = Endpoint(context, self.talk)
        self.front.remote("peer", f"https://localhost:{self.endpoint.port}", "a" * 40, self.front.folder / "test-ca.pem")
        self.front.again(["hsm-a", "peer"])

    def tearDown(self):
        code = self.front.stop()
        self.endpoint.close()
        self.front.remove()
        self.assertEqual(0, code)

    def talk(self, tls):
        """The first signature with the old token is kept until the new one was seen, and then refused."""
        import h2.config
        import h2.connection
        import h2.events
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        conn.initiate_connection()
        tls.sendall(conn.data_to_send())
        heads = {}
        while data := tls.recv(65536):
            for event in conn.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    heads[event.stream_id] = dict(event.headers)
                elif isinstance(event, h2.events.StreamEnded):
                    head, body, status = heads[event.stream_id], b"{}", 200
                    token = head["authorization"].split()[1][:1]
                    self.seen.append(token)
                    if head[":path"].startswith("/keys/keyward-probe"):
                        status = 404
                    elif head[":method"] == "GET":
                        body = json.dumps({"key": self.key}).encode()
                    elif token == "b":
                        status = 404
                    else:
                        self.renew(tls, conn)
                        status = 401
                    conn.send_headers(event.stream_id, [(":status", str(status))])
                    conn.send_data(event.stream_id, body, end_stream=True)
            tls.sendall(conn.data_to_send())
            if self.held.is_set() and "b" in self.seen:
                self.answered.set()

    def renew(self, tls, conn):
        (self.front.folder / "peer.token").write_text("b" * 40 + "\n")
        tls.sendall(conn.data_to_send() + b"\0\0\x08\x07\0\0\0\0\0" + (2 ** 31 - 1).to_bytes(4, "big") + b"\0\0\0\0")
        end = time.monotonic() + 1.5  # within the soft deadline: a later answer finds nobody
        while "b" not in self.seen and time.monotonic() < end:
            time.sleep(0.01)
        self.held.set()

    def test_the_old_ones_refusal_says_nothing_of_the_new_one(self):
        end = time.monotonic() + 20
        while not self.answered.is_set() and time.monotonic() < end:
            signed = self.front.ok("/keys/k/sign", {"alg": "RS256", "value": b64(DIGEST)})
            check_rs256(self.key, unb64(signed["value"]))
        self.assertTrue(self.answered.is_set(), self.seen)
        time.sleep(0.3)
        row = self.front.members()["peer"]
        self.assertTrue(row["serving"], row)
        self.assertNotIn("refused the token", self.front.log())
        self.assertNotIn("auth_failed", self.front.log())


if __name__ == "__main__":
    unittest.main()
