"""H7: no member is left. Fast refusals, and service soon after the first one is back."""
import hashlib
import time
import unittest

from faults import FaultCase
from keyward import b64

DIGEST = hashlib.sha256(b"a message").digest()


class AllDown(FaultCase):
    group = "  recovery: { retries: -1, interval: 1s }\n"

    def sign(self):
        began = time.monotonic()
        answer = self.server.post(f"{self.keys[1].path}/sign", {"alg": "ES256", "value": b64(DIGEST)})
        return answer, time.monotonic() - began

    def outage(self, seconds, **how):
        """Both tokens are gone for a while: quick refusals, then service soon after one is back."""
        starts = {name: plan.initializes for name, plan in self.server.plans.items()}
        for plan in self.server.plans.values():
            plan.set(*how.get("rules", ()), **how.get("settings", {}))
        deadline = time.monotonic() + 10
        while self.sign()[0].status != 503:
            self.assertLess(time.monotonic(), deadline, "still served")
        times, deadline = [], time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer, took = self.sign()
            self.assertEqual(503, answer.status, answer.body)
            self.assertEqual("ServiceUnavailable", answer.code)
            self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
            times.append(took)
            time.sleep(0.02)
        for name, plan in self.server.plans.items():
            tries = plan.initializes - starts[name]
            self.assertLessEqual(tries, seconds + 3, "more than one start a second")
            self.assertGreaterEqual(tries, 1)
        back = time.monotonic()
        self.server.plans["hsm-b"].set(removed=None)
        while self.sign()[0].status != 200:
            self.assertLess(time.monotonic() - back, 20, "not back")
            time.sleep(0.02)
        took = time.monotonic() - back
        times.sort()
        slow = times[int(len(times) * 0.99)]
        print(f"\n    {len(times)} refusals, p99 {slow * 1000:.1f} ms; back after {took:.2f} s", flush=True)
        self.assertLess(slow, 0.05)
        self.assertLess(took, 5.0)
        self.server.plans["hsm-a"].set(removed=None)
        self.server.recover("hsm-a")  # its own waits are long again, now that the other one serves
        self.server.wait_serving(self.labels)

    def test_tokens_removed(self):
        self.outage(6, settings={"removed": 1})

    def test_long_outage(self):
        """The waits have grown by then; a group without any member does not sit them out."""
        self.outage(25, settings={"removed": 1})

    def test_hosts_crash(self):
        self.outage(4, rules=("C_Sign crash=kill", "C_Initialize crash=kill"))


if __name__ == "__main__":
    unittest.main()
