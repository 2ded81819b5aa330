"""The raw rate of each operation, measured in the same run: OpenSSL alone, or direct PKCS#11 calls."""
import os
import subprocess


class Anchors:
    def __init__(self, build, seconds):
        self.build, self.seconds, self.known = build, max(1.0, seconds / 2), {}

    def openssl(self, op):
        """(operations/s on one thread, CPU microseconds an operation) by OpenSSL's EVP."""
        key = ("openssl", op)
        if key not in self.known:
            out = self._run([self.build / "bench" / "bench_anchor", op, str(self.seconds), "1"])
            self.known[key] = tuple(float(x) for x in out.split())
        return self.known[key]

    def token(self, op, softhsm):
        """Best operations/s of direct PKCS#11 calls over 1, 2 and 4 threads of one process."""
        key = ("token", op)
        if key not in self.known:
            rates = [float(self._run([self.build / "bench" / "bench_pkcs11", softhsm.module,
                                      softhsm.labels[0], softhsm.pin, op, str(self.seconds),
                                      str(threads)], softhsm.environment()).split()[0])
                     for threads in (1, 2, 4)]
            self.known[key] = max(rates)
        return self.known[key]

    @staticmethod
    def _run(command, environment=None):
        return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True,
                              env=environment or os.environ, timeout=120).stdout
