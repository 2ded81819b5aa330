"""Runs of bench_pool and bench_pkcs11 on throw-away tokens, the fault module and p11-kit's server."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from load import softhsm

CLIENT = ("/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so", "/usr/lib/pkcs11/p11-kit-client.so")


class Tokens:
    """Three SoftHSM tokens that share nothing but the store, and whatever stands in front of them."""

    def __init__(self, build):
        self.build = pathlib.Path(build)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="keyward-bench-"))
        self.hsm = softhsm.SoftHsm(self.folder / "hsm", ["bench-a", "bench-b", "bench-c"])
        self.faults = self.folder / "faults"
        self.faults.mkdir()
        (self.folder / "state").mkdir()
        self.servers = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in self.servers:
            os.kill(pid, 15)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- keyward's pool

    def pool(self, op, seconds, in_flight, members=1, hedge=False, hosts=1, faulty=False, each=None):
        """The total and the cost of a run. `each(n)` is called with every second's row and its number."""
        labels = self.hsm.labels[:members]
        environment = dict(self.hsm.environment(), KEYWARD_FAULTS=str(self.faults))
        command = [self.build / "bench" / "bench_pool", self.build / "keyward", self.hsm.pin_file,
                   self.folder / "state", op, seconds, in_flight, "hedge" if hedge else "plain",
                   hosts] + [f"{label}={self.module(label, faulty)}" for label in labels]
        run = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, text=True,
                               env=environment)
        rows = []
        for line in run.stdout:
            row = json.loads(line)
            rows.append(row)
            if each and "second" in row:
                each(len(rows), row)
        if run.wait(60) != 0 or not rows or "total" not in rows[-1]:
            raise SystemExit(f"bench: bench_pool failed: {rows[-1:]}")
        return {**rows[-2], **rows[-1]}

    def module(self, label, faulty):
        if not faulty:
            return self.hsm.module
        link = self.faults / f"{label}.so"
        if not link.exists():
            link.symlink_to(self.build / "tests" / "faults" / "kw_fault_module.so")
            self.plan(label)
        return link

    def plan(self, label, *rules):
        draft = self.faults / "draft"
        draft.write_text("\n".join([f"module={self.hsm.module}", *rules]) + "\n")
        draft.rename(self.faults / f"{label}.plan")

    # --- the token without keyward

    def direct(self, op, seconds, threads, module=None, environment=None):
        """Operations a second, processor time of one in us, and the median of its time; None when the module cannot."""
        done = subprocess.run([str(c) for c in (
            self.build / "bench" / "bench_pkcs11", module or self.hsm.module, self.hsm.labels[0],
            self.hsm.pin, op, seconds, threads)], capture_output=True, text=True,
            env=environment or self.hsm.environment(), timeout=seconds + 60)
        return tuple(float(word) for word in done.stdout.split()) if done.returncode == 0 else None

    def p11kit(self, op, seconds, threads):
        """The same calls through p11-kit's server and client; None where p11-kit cannot."""
        client = next((c for c in CLIENT if os.path.exists(c)), None)
        if client is None or shutil.which("p11-kit") is None:
            return None
        runtime = self.folder / "run"
        runtime.mkdir(exist_ok=True, mode=0o700)
        environment = dict(self.hsm.environment(), XDG_RUNTIME_DIR=str(runtime))
        if not self.servers:
            said = self.folder / "p11-kit"  # a file: the server keeps a pipe open for ever
            with open(said, "w") as file:
                subprocess.run(["p11-kit", "server", "--sh", "--provider", self.hsm.module,
                                f"pkcs11:token={self.hsm.labels[0]}"], stdout=file,
                               stderr=subprocess.DEVNULL, env=environment, check=True)
            out = said.read_text()
            self.address = re.search(r"P11_KIT_SERVER_ADDRESS='?([^';\n]+)", out).group(1)
            self.servers.append(int(re.search(r"P11_KIT_SERVER_PID='?(\d+)", out).group(1)))
        environment["P11_KIT_SERVER_ADDRESS"] = self.address
        return self.direct(op, seconds, threads, client, environment)
