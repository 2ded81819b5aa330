"""The life of the process: start, files, ready line, signals, reload, drain, refusal of what does not fit."""
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from process import DIGEST, Case, Gateway, b64url, content, keyward, unb64url

MODES = {"token": 0o600, "tls.key": 0o600, "domain.key": 0o600, "ca.pem": 0o644, "tls.pem": 0o644, "control.sock": 0o600}
METRICS = """requests_total request_seconds ops_total op_seconds batch_lanes member_state failovers_total retries_total
hedges_total queue_depth login_attempts_left certificate_expiry_seconds connections build_info"""


class Dev(Case):
    def test_end_to_end(self):
        with Gateway(self.folder) as gw:
            print(f"ready after {gw.ready_after * 1000:.0f} ms", flush=True)
            for name, mode in MODES.items():
                self.assertEqual(stat.S_IMODE(os.stat(self.path("data", name)).st_mode), mode, name)
            status, key, version = gw.api("POST", "/keys/first/create", {"kty": "RSA", "key_size": 2048})
            self.assertEqual((status, version), (200, "2"))
            public = rsa.RSAPublicNumbers(
                int.from_bytes(unb64url(key["key"]["e"]), "big"), int.from_bytes(unb64url(key["key"]["n"]), "big")
            ).public_key()
            for http, wanted in (("--http2", "2"), ("--http1.1", "1.1")):
                status, signed, version = gw.api(
                    "POST", "/keys/first//sign", {"alg": "RS256", "value": b64url(DIGEST)}, http=http
                )
                self.assertEqual((status, version), (200, wanted))
                public.verify(unb64url(signed["value"]), DIGEST, padding.PKCS1v15(), Prehashed(hashes.SHA256()))
            code, rest = gw.stop()
            self.assertEqual((code, rest), (0, ""), gw.logs())
            self.assertNotIn(gw.token(), gw.logs())
            for line in gw.log_lines():
                self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_admin(self):
        with Gateway(self.folder) as gw:
            gw.api("POST", "/rng", {"count": 16})
            self.assertEqual(gw.get_admin("/healthz")[0], 200)
            status, _, body = gw.get_admin("/readyz")
            self.assertEqual((status, json.loads(body)), (200, {"ready": True, "reasons": []}))
            status, _, body = gw.get_admin("/status.json")
            state = json.loads(body)
            self.assertEqual(state["members"][0]["state"], "active")
            self.assertLess(state["process"]["resident_bytes"], 30 << 20)
            print(f"resident {state['process']['resident_bytes'] / 2**20:.1f} MiB", flush=True)
            status, head, body = gw.get_admin("/metrics")
            self.assertIn("text/plain; version=0.0.4", head)
            for name in METRICS.split():
                self.assertIn(f"# TYPE keyward_{name} ", body)
            names = [line.split(" ")[0] for line in body.split("\n") if line and line[0] != "#"]
            self.assertEqual(len(names), len(set(names)), "a series is there twice")
            status, head, body = gw.get_admin("/")
            self.assertIn("content-security-policy: default-src 'none'", head)
            self.assertIsNone(re.search(r"(src|href)=\"(https?:)?//", body))
            # the API is not served there, and the admin routes are not served by the API
            self.assertEqual(gw.get_admin("/keys?api-version=7.4")[0], 404)
            self.assertEqual(gw.api("GET", "/metrics")[0], 404)

    def test_wrong_token(self):
        with Gateway(self.folder) as gw:
            self.assertEqual(gw.api("GET", "/keys", token="wrong" * 12)[0], 401)
            self.assertEqual(gw.api("GET", "/keys")[0], 200)

    def test_second_start_uses_what_is_there(self):
        with Gateway(self.folder) as gw:
            _, key, _ = gw.api("POST", "/keys/kept/create", {"kty": "EC", "crv": "P-256"})
        before = {n: content(self.path("data", n)) for n in ("ca.pem", "tls.pem", "tls.key", "token", "domain.key")}
        with Gateway(self.folder) as gw:
            status, again, _ = gw.api("GET", "/keys/kept")
            self.assertEqual((status, again["key"]["x"]), (200, key["key"]["x"]))
            self.assertEqual(gw.api("POST", "/keys/kept//sign", {"alg": "ES256", "value": b64url(DIGEST)})[0], 200)
        for name, old in before.items():
            self.assertEqual(content(self.path("data", name)), old, name)

    def test_second_gateway_on_the_same_data(self):
        with Gateway(self.folder) as gw:
            done = keyward("serve", "--dev", "--data", gw.data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
            self.assertEqual(done.returncode, 1)
            self.assertIn(str(gw.process.pid), done.stderr)
            self.assertEqual(gw.api("GET", "/keys")[0], 200)

    def test_port_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = keyward("serve", "--dev", "--data", self.path("d"), "--listen", f"127.0.0.1:{port}", "--admin", "127.0.0.1:0")
        self.assertEqual(done.returncode, 1)
        self.assertIn(str(port), done.stderr)
        self.assertEqual(done.stdout, "")

    def test_expired_certificate_is_renewed(self):
        with Gateway(self.folder):
            pass
        done = subprocess.run(
            ["openssl", "x509", "-in", self.path("data", "tls.pem"), "-noout", "-issuer"], capture_output=True, text=True
        )
        self.assertIn("keyward development CA", done.stdout)
        # the same issuer name and an end in the past
        script = f"""
set -e; cd {self.path('data')}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj '/CN=keyward development CA' -days 1
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls.key -out leaf.csr -subj /CN=localhost
openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -set_serial 7 -out tls.pem -days -1
rm ca.key leaf.csr"""
        subprocess.run(["bash", "-c", script], check=True, capture_output=True)
        with Gateway(self.folder) as gw:
            self.assertEqual(gw.api("GET", "/keys")[0], 200)
            self.assertTrue(any("had expired" in line["message"] for line in gw.log_lines()))


class Domain(Case):
    def refused(self, word):
        done = keyward("serve", "--dev", "--data", self.path("data"), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        self.assertEqual(done.returncode, 1)
        self.assertIn(word, done.stderr)
        self.assertEqual(done.stdout, "")

    def test_key_of_another_domain(self):
        with Gateway(self.folder) as gw:
            gw.api("POST", "/keys/k/create", {"kty": "oct-HSM", "key_size": 256})
        path = self.path("data", "domain.key")
        key = content(path)
        with open(path, "wb") as stream:
            stream.write(bytes([key[0] ^ 1]) + key[1:])
        self.refused("belongs to domain")
        os.chmod(path, 0o644)
        self.refused("chmod 600")
        os.unlink(path)
        self.refused("put its key back")
        self.assertFalse(os.path.exists(path), "a new domain was made over an old store")
        with open(path, "wb") as stream:
            stream.write(key)
        os.chmod(path, 0o600)
        with Gateway(self.folder) as gw:
            self.assertEqual(gw.api("GET", "/keys/k")[0], 200)


class Signals(Case):
    def test_tokens_are_reloaded(self):
        with Gateway(self.folder) as gw:
            done = keyward("token", "create", "ci", "--data", gw.data)
            token = done.stdout.strip()
            self.assertEqual(gw.api("GET", "/keys", token=token)[0], 401)
            gw.reload()
            self.assertEqual(gw.api("GET", "/keys", token=token)[0], 200)
            self.assertIn("ci", keyward("token", "list", "--data", gw.data).stdout)
            self.assertEqual(keyward("token", "revoke", "ci", "--data", gw.data).returncode, 0)
            gw.reload()
            self.assertEqual(gw.api("GET", "/keys", token=token)[0], 401)
            self.assertEqual(gw.api("GET", "/keys")[0], 200)
            # a file that cannot be read leaves the running set alone
            with open(self.path("data", "tokens.json"), "w", encoding="utf-8") as stream:
                stream.write("{")
            gw.reload()
            self.assertEqual(gw.api("GET", "/keys")[0], 200)
            self.assertTrue(any("tokens were not reloaded" in l["message"] for l in gw.log_lines()))

    def test_certificate_is_reloaded(self):
        os.makedirs(self.path("other"))
        with Gateway(self.folder) as gw, Gateway(self.path("other")) as other:
            old = content(self.path("data", "ca.pem"))
            for name in ("ca.pem", "tls.pem", "tls.key"):
                shutil.copy(os.path.join(other.data, name), self.path("data", name))
            gw.reload()
            self.assertEqual(gw.api("GET", "/keys")[0], 200)  # checked against the new CA
            with open(self.path("data", "tls.pem"), "w", encoding="ascii") as stream:
                stream.write("nonsense")
            gw.reload()
            self.assertEqual(gw.api("GET", "/keys")[0], 200)
            self.assertTrue(any("certificates were not reloaded" in l["message"] for l in gw.log_lines()))
            self.assertNotEqual(old, content(self.path("data", "ca.pem")))

    def test_drain_finishes_what_runs(self):
        with Gateway(self.folder) as gw:
            answers = []

            def make(number):
                answers.append(gw.api("POST", f"/keys/slow{number}/create", {"kty": "RSA", "key_size": 3072})[0])

            threads = [threading.Thread(target=make, args=(n,)) for n in range(4)]
            for thread in threads:
                thread.start()
            end = time.monotonic() + 20
            running = 0
            while running + len(answers) < len(threads):
                self.assertLess(time.monotonic(), end, "the operations did not start")
                core = json.loads(gw.get_admin("/status.json")[2])["members"][0]
                running = core["in_flight"]
            self.assertGreater(running, 0, "nothing was in flight")
            code, _ = gw.stop()
            for thread in threads:
                thread.join()
            self.assertEqual((code, answers), (0, [200] * 4), gw.logs())

    def test_service_manager(self):
        path = self.path("notify.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(path)
            notify.settimeout(10)
            got = []

            def until(word):
                while not any(word in text for text in got):
                    got.append(notify.recv(4096).decode())

            with Gateway(self.folder, env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000000"}) as gw:
                until("READY=1")
                until("WATCHDOG=1")
                got.clear()
                gw.process.send_signal(signal.SIGHUP)
                until("RELOADING=1")
                self.assertTrue(any("MONOTONIC_USEC=" in text for text in got))
                until("READY=1")
                self.assertEqual(gw.stop()[0], 0)
            until("STOPPING=1")

    def test_no_core_dumps(self):
        with Gateway(self.folder) as gw:
            limits = content(f"/proc/{gw.process.pid}/limits").decode()
            self.assertRegex(limits, r"Max core file size +0 +0 ")
            files = re.search(r"Max open files +(\d+) +(\d+)", limits)
            self.assertEqual(files.group(1), files.group(2))


class Configured(Case):
    def config(self, **more):
        return self.write(
            "keyward.yaml",
            "data: data\nlisteners:\n  - bind: unix:api.sock\n" + "".join(f"{k}: {v}\n" for k, v in more.items()),
        )

    def test_init_check_serve(self):
        file = self.config(control="c.sock")
        done = keyward("serve", "-c", file)
        self.assertEqual(done.returncode, 1)
        self.assertIn("keyward init", done.stderr)
        shutil.rmtree(self.path("data"))
        done = keyward("check", "-c", file)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(done.stdout.startswith(f"{file} is valid: 1 listener, 0 members"))
        self.assertFalse(os.path.exists(self.path("data")), "check made something")
        done = keyward("init", "-c", file)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(stat.S_IMODE(os.stat(self.path("data", "domain.key")).st_mode), 0o600)
        key = content(self.path("data", "domain.key"))
        done = keyward("init", "-c", file)
        self.assertEqual(done.returncode, 1)
        self.assertIn("exists already", done.stderr)
        self.assertEqual(content(self.path("data", "domain.key")), key)
        with Gateway(self.folder, config=file) as gw:
            for http in ("--http1.1", "--http2-prior-knowledge"):
                done = subprocess.run(
                    ["curl", "-sS", http, "--unix-socket", self.path("api.sock"), "-X", "POST",
                     "http://localhost/keys/local/create?api-version=7.4", "-H", "Content-Type: application/json",
                     "-d", '{"kty":"oct-HSM","key_size":256}', "-w", "\n%{http_code}"],
                    capture_output=True, text=True, timeout=20,
                )
                self.assertEqual(done.stdout.rsplit("\n", 1)[1], "200", (done, gw.logs()))
            done = keyward("status", "-c", file)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("ready", done.stdout)
            self.assertRegex(done.stdout, r"\ncore +core +active ")
            self.assertTrue(json.loads(keyward("status", "-c", file, "--json").stdout)["ready"])
            done = keyward("member", "recover", "nobody", "-c", file)
            self.assertEqual(done.returncode, 1)
            self.assertIn('no member is called "nobody"', done.stderr)
            # what needs a restart is said, and nothing breaks
            self.config(control="c.sock", limits="{ max_body: 1MiB }", loops="1")
            gw.reload()
            parts = [l["parts"] for l in gw.log_lines() if "need a restart" in l["message"]]
            self.assertEqual(parts, ["loops"])
            self.assertEqual(gw.stop(), (0, ""))

    def test_invalid(self):
        file = self.config(limts="{ rate: 1 }")
        for command in ("check", "serve", "init"):
            done = keyward(command, "-c", file)
            self.assertEqual(done.returncode, 2, command)
            self.assertTrue(done.stderr.startswith(f'{file}:4: limts: unknown field; did you mean "limits"?'), done.stderr)
        self.assertFalse(os.path.exists(self.path("data")))


class Usage(Case):
    def test_wrong_words(self):
        for args, word in (
            ((), "Usage:"),
            (("serve",), "needs one of --dev and -c FILE"),
            (("serve", "--dev", "-c", "x"), "needs one of"),
            (("serve", "--dev", "--datta", "x"), "no option --datta"),
            (("serve", "--dev", "--await-domain"), "no option --await-domain"),
            (("serve", "--dev", "--listen", "localhost"), "--listen: found"),
            (("serve", "-c"), "needs a value"),
            (("backup",), 'no command "backup"'),
            (("member", "promote", "x"), "allowed: list, add NAME, remove NAME, recover"),
            (("member", "drain"), "needs the name"),
            (("member", "drain", "../x"), "needs the name"),
            (("token", "create"), "needs one name"),
            (("check",), "needs -c FILE"),
        ):
            done = keyward(*args, cwd=self.folder)
            self.assertEqual(done.returncode, 2, args)
            self.assertIn(word, done.stderr, args)
        self.assertEqual(os.listdir(self.folder), [])

    def test_help(self):
        done = keyward("--help")
        self.assertEqual(done.returncode, 0)
        for word in ("serve", "check", "init", "status", "member", "key", "domain", "export", "import", "token", "version"):
            self.assertIn(f"keyward {word}", done.stdout)
            self.assertEqual(keyward(word, "--help").returncode, 0)
        for word in ("member-host",):
            self.assertNotIn(word, done.stdout)

    def test_nobody_answers(self):
        done = keyward("status", "--data", self.path("none"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("no gateway answers", done.stderr)

