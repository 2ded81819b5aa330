"""One gateway under load: start it, make keys, drive it, read what it cost."""
import base64
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request

from load import clients, softhsm

API = "?api-version=7.4"
OPS = {  # name: (key type, route, algorithm, anchor)
    "rs256-sign": ("RSA", "sign", "RS256"),
    "es256-sign": ("EC", "sign", "ES256"),
    "a256kw-wrap": ("oct", "wrapkey", "A256KW"),
    "rs256-verify": ("RSA", "verify", "RS256"),
}
DIGEST = base64.urlsafe_b64encode(bytes(range(32))).rstrip(b"=").decode()


class Gateway:
    """A running keyward with its data in a folder that is removed afterwards."""

    def __init__(self, build, member):
        self.build, self.member = pathlib.Path(build), member
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.admin = probe.getsockname()[1]
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="keyward-bench-"))
        self.hsm = softhsm.SoftHsm(self.folder / "hsm", ["bench-a", "bench-b"]) \
            if member == "softhsm" else None

    def __enter__(self):
        data, program = self.folder / "data", str(self.build / "keyward")
        environment = self.hsm.environment() if self.hsm else dict(os.environ)
        self.log = open(self.folder / "log", "w")
        self.data = data
        if self.hsm:
            # the certificate of a development instance serves the configured one too
            self._start(self._dev(program, data), dict(os.environ))
            self._stop()
            config = self._config(program, data)
            self._start([program, "serve", "-c", str(config)], environment)
        else:
            self._start(self._dev(program, data), environment)
        self.token = (data / "token").read_text().strip()
        self.context = ssl.create_default_context(cafile=str(data / "ca.pem"))
        self._wait_members()
        self.idle_kib = self.rss_kib()
        return self

    def _dev(self, program, data):
        return [program, "serve", "--dev", "--data", str(data), "--listen", "127.0.0.1:0",
                "--admin", f"127.0.0.1:{self.admin}"]

    def _config(self, program, data):
        members = "\n".join(
            f"    - {{ name: {label}, type: pkcs11, module: {self.hsm.module}, token: {label}, "
            f"pin_file: {self.hsm.pin_file}, sessions: 8 }}" for label in self.hsm.labels)
        config = self.folder / "keyward.yaml"
        config.write_text(
            f"data: {data}/store\nlisteners:\n  - bind: 127.0.0.1:0\n"
            f"    tls: {{ certificate: {data}/tls.pem, private_key: {data}/tls.key }}\n"
            f"admin: {{ bind: 127.0.0.1:{self.admin} }}\ngroup:\n  members:\n{members}\n"
            f"auth:\n  tokens: {self.folder}/tokens.json\n")
        subprocess.run([program, "init", "-c", str(config)], check=True, capture_output=True)
        token = subprocess.run([program, "token", "create", "bench", "-c", str(config)],
                               capture_output=True, text=True, check=True).stdout.strip()
        self.second = subprocess.run([program, "token", "create", "other", "-c", str(config)],
                                     capture_output=True, text=True, check=True).stdout.strip()
        (data / "token").unlink()
        (data / "token").write_text(token + "\n")
        return config

    def _start(self, command, environment):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        env=environment)
        line = self.process.stdout.readline()
        if not line.startswith("ready https://"):
            self.process.kill()
            raise SystemExit(f"bench: keyward did not start: {(self.folder / 'log').read_text()}")
        self.port = int(line.rsplit(":", 1)[1])

    def _stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def _wait_members(self):
        deadline = time.time() + 60
        while time.time() < deadline:
            status, _ = self.call("POST", "/rng", {"count": 8})
            members = self.status()["members"]
            if status == 200 and all(m["serving"] for m in members):
                return
            time.sleep(0.2)
        raise SystemExit("bench: the members did not come up within 60 s")

    def __exit__(self, *_):
        self._stop()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, method, path, body=None):
        connection = http.client.HTTPSConnection("localhost", self.port, context=self.context,
                                                 timeout=60)
        connection.request(method, path + API, json.dumps(body) if body is not None else None,
                           {"Authorization": "Bearer " + self.token,
                            "Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text else None

    def _admin(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=10) as answer:
            return answer.read().decode()

    def status(self):
        return json.loads(self._admin("/status.json"))

    def lanes(self):
        """(batches, operations in them) so far, of every kernel call."""
        text = self._admin("/metrics")
        value = lambda name: float(re.search(rf"^keyward_batch_lanes_{name} (\S+)", text, re.M).group(1))
        return value("count"), value("sum")

    def cpu_us(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")

    def rss_kib(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text).group(1))

    def make_key(self, op):
        kty, route, alg = OPS[op]
        if self.hsm:
            kty += "-HSM"
        name = op
        body = {"kty": kty}
        body.update({"RSA": {"key_size": 2048}, "EC": {"crv": "P-256"},
                     "oct": {"key_size": 256}}[kty.removesuffix("-HSM")])
        status, key = self.call("POST", f"/keys/{name}/create", body)
        if status != 200:
            raise SystemExit(f"bench: creating a key failed: {status} {key}")
        request = {"alg": alg, "value": DIGEST}
        if route == "verify":
            _, signed = self.call("POST", f"/keys/{name}/sign", request)
            request = {"alg": alg, "digest": DIGEST, "value": signed["value"]}
        version = key["key"]["kid"].rsplit("/", 1)[1]
        return f"/keys/{name}/{version}/{route}{API}", json.dumps(request)


def measure_all(gateway, raw, seconds, wanted):
    rows = []
    for op in OPS:
        for client in clients.CLIENTS:
            name = f"{gateway.member}-{op}-{client.name}"
            if wanted and not any(w in name for w in wanted):
                continue
            print(f"bench: {name} ...", flush=True)
            rows.append(measure(gateway, raw, name, op, client, seconds))
    return rows


def measure(gateway, raw, name, op, client, seconds):
    path, body = gateway.make_key(op)
    body_file = gateway.folder / "body"
    body_file.write_text(body)
    client.run(gateway, path, body_file, 0.5)  # warm up
    rate, anchor_cpu = raw.openssl(op)
    if gateway.hsm and op != "rs256-verify":
        rate, anchor_name = raw.token(op, gateway.hsm), "direct PKCS#11, best of 1, 2, 4 threads"
    else:
        anchor_name = "OpenSSL EVP, one thread"
    lanes, cpu = gateway.lanes(), gateway.cpu_us()
    result = client.run(gateway, path, body_file, seconds)
    cpu, after = gateway.cpu_us() - cpu, gateway.lanes()
    batches = after[0] - lanes[0]
    done = max(1, result["requests"])
    throughput = done / result["seconds"]
    return {
        "name": name, "keyward": round(throughput, 1), "anchor": round(rate, 1),
        "anchor_name": anchor_name, "ratio": round(throughput / rate, 3), "unit": "requests/s",
        "p50_us": result["p50"], "p99_us": result["p99"], "p999_us": result["p999"],
        "cpu_us": round(cpu / done, 2), "anchor_cpu_us": round(anchor_cpu, 2),
        "lane_fill": round((after[1] - lanes[1]) / batches, 2) if batches else None,
        "errors": result["errors"], "idle_rss_kib": gateway.idle_kib,
        "loaded_rss_kib": gateway.rss_kib(),
    }
