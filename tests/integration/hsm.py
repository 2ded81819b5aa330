"""Real SoftHSM tokens, and a keyward configured with a group of them."""
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import time

from keyward import Server, free_port

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
MODULE = next((path for path in MODULES if os.path.exists(path)), MODULES[0])
PIN = "4711-user"


class Tokens:
    """A SoftHSM token store of its own."""

    def __init__(self, folder, labels):
        self.folder = pathlib.Path(folder)
        self.labels = labels
        (self.folder / "tokens").mkdir(parents=True)
        conf = self.folder / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {self.folder}/tokens\n"
                        "objectstore.backend = file\nlog.level = ERROR\n")
        self.environment = dict(os.environ, SOFTHSM2_CONF=str(conf))
        for label in labels:
            subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", label, "--pin",
                            PIN, "--so-pin", "so-" + PIN], check=True, capture_output=True,
                           env=self.environment)
        self.pin_file = self.folder / "pin"
        self.pin_file.write_text(PIN)
        self.pin_file.chmod(0o400)


class Group(Server):
    """`keyward serve -c FILE` with one pkcs11 member for each token; `standby` names some of them."""

    def __init__(self, labels, standby=(), limits="", group="", member="", module=MODULE,
                 tls_from_dev=True):
        super().__init__()
        self.tokens = Tokens(self.folder / "hsm", labels)
        self.standby = standby
        self.module = module
        self.config = self.folder / "keyward.yaml"
        self.limits, self.group, self.member = limits, group, member
        self._dev_files()

    def _dev_files(self):
        """Certificate and CA of a development instance serve the configured one as well."""
        dev = Server()
        dev.start()
        dev.stop()
        self.data.mkdir(parents=True)
        for name in ("ca.pem", "tls.pem", "tls.key"):
            (self.data / name).write_bytes((dev.data / name).read_bytes())
        (self.data / "tls.key").chmod(0o600)
        dev.remove()
        self._write_config()
        self.cli("init", "-c", str(self.config))
        self.token = self.cli("token", "create", "test", "-c", str(self.config)).strip()

    def _write_config(self):
        members = "".join(
            f"    - {{ name: {label}, type: pkcs11, module: {self.module}, token: {label}, pin_file: "
            f"{self.tokens.pin_file}{', standby: true' if label in self.standby else ''}{self.member} }}\n"
            for label in self.tokens.labels)
        self.config.write_text(
            f"data: {self.data}\n"
            f"listeners:\n  - bind: 127.0.0.1:{self.port}\n"
            f"    tls: {{ certificate: {self.data}/tls.pem, private_key: {self.data}/tls.key }}\n"
            f"admin: {{ bind: 127.0.0.1:{self.admin} }}\n"
            f"group:\n{self.group}  members:\n{members}"
            f"auth:\n  tokens: {self.data}/tokens.json\n{self.limits}")

    def cli(self, *words):
        done = subprocess.run([self.binary, *words], capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise AssertionError(f"keyward {words}: {done.returncode} {done.stderr}")
        return done.stdout

    def start(self, wait=True, words=()):
        import ssl
        self.errors = open(self.folder / "stderr", "ab")
        self.process = subprocess.Popen([self.binary, "serve", "-c", str(self.config), *words],
                                        stdout=subprocess.PIPE, stderr=self.errors,
                                        env=self.tokens.environment)
        ready, _, _ = select.select([self.process.stdout], [], [], 30)
        line = self.process.stdout.readline().decode() if ready else ""
        if not line.startswith("ready "):
            self.process.kill()
            raise RuntimeError(f"not ready: {line!r}\n{self.log()[-3000:]}")
        self.tls = ssl.create_default_context(cafile=str(self.data / "ca.pem"))
        if wait:
            self.wait_serving(self.tokens.labels)
        return self

    def status(self):
        import json
        import urllib.request
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/status.json", timeout=10) as r:
            return json.load(r)

    def members(self):
        return {m["name"]: m for m in self.status()["members"]}

    def wait_serving(self, names, seconds=60):
        """Until every named member may take work."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            members = self.members()
            if all(members[name]["serving"] for name in names):
                return members
            time.sleep(0.1)
        raise AssertionError(f"not serving after {seconds} s: {self.members()}\n{self.log()[-3000:]}")

    def host_pid(self, name):
        pid = self.members()[name]["host_pid"]
        assert pid > 0, self.members()[name]
        return pid

    def operations(self, name):
        """Operations this member has done without a fault, by its metric."""
        import urllib.request
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as r:
            text = r.read().decode()
        rows = re.findall(rf'^keyward_ops_total\{{member="{name}",[^}}]*result="ok"\}} (\d+)', text, re.M)
        return sum(int(row) for row in rows)


    def await_domain(self):
        """Starts without a security domain, as a new instance does; its store has to be empty, its domain's key gone."""
        return self.start(wait=False, words=("--await-domain",))

    def forget(self):
        """What the instance made is gone; what its deployment brings (configuration, certificate, clients' tokens) stays."""
        for path in self.data.iterdir():
            if path.name not in ("ca.pem", "tls.pem", "tls.key", "tokens.json"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def mark_of(self, label):
        """The security domain that a token is marked with; None: with none. Never with two."""
        tool = ["pkcs11-tool", "--module", self.module, "--token-label", label, "--login", "--pin", PIN]
        listed = subprocess.run([*tool, "--list-objects", "--type", "data"], check=True, capture_output=True, text=True, timeout=60,
                                env=self.tokens.environment).stdout
        if listed.count("keyward-domain") == 0:
            return None
        assert listed.count("keyward-domain") == 1, listed
        out = self.folder / f"mark-{label}"
        subprocess.run([*tool, "--read-object", "--type", "data", "--label", "keyward-domain", "--output-file", str(out)],
                       check=True, capture_output=True, timeout=60, env=self.tokens.environment)
        return out.read_text()


class Wide(Group):
    """A group that may back up into a folder, `store`."""

    def _write_config(self):
        super()._write_config()
        self.store = self.folder / "backups"
        self.store.mkdir(exist_ok=True)
        self.config.write_text(self.config.read_text() + f"backup: {{ folders: [ {self.store} ] }}\n")


class Load:
    """h2load in the background on one signing request; `end` gives its counts."""

    def __init__(self, server, path, body, seconds, clients=8, streams=8):
        body_file = server.folder / f"body-{free_port()}"
        body_file.write_bytes(body)
        self.process = subprocess.Popen(
            ["h2load", f"-c{clients}", f"-m{streams}", "-t1", f"--duration={seconds}",
             "-d", str(body_file), "-H", "content-type: application/json",
             "-H", f"authorization: Bearer {server.token}",
             f"https://localhost:{server.port}{path}"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.seconds = seconds

    def end(self):
        """{succeeded, failed, errored, timeout, bad}: `bad` counts answers that are not 2xx."""
        out, _ = self.process.communicate(timeout=self.seconds + 60)
        counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", out)
        codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out)
        assert counts and codes, out
        keys = ("succeeded", "failed", "errored", "timeout")
        result = dict(zip(keys, map(int, counts.groups())))
        result["bad"] = sum(int(codes.group(i)) for i in (2, 3, 4))
        return result


def stop_process(pid):
    os.kill(pid, signal.SIGSTOP)


def kill_process(pid):
    os.kill(pid, signal.SIGKILL)
