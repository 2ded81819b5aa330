"""kill -9 of the whole gateway while keys are created: what was answered is there, the store is whole."""
import os
import random
import signal
import sqlite3
import threading
import time
import unittest

from keyward import Server, b64

ROUNDS = int(os.environ.get("KEYWARD_KILL_ROUNDS", "50"))


class KillDuringCreation(unittest.TestCase):
    def test_answered_creations_survive(self):
        server = Server()
        acknowledged = {}  # name -> kid, as answered
        seed = random.randrange(1 << 30)
        rng = random.Random(seed)
        try:
            for round_number in range(ROUNDS):
                started = time.monotonic()
                server.start()
                self.assertLess(time.monotonic() - started, 10)
                if round_number:
                    self.check_sample(server, acknowledged, rng)
                self.create_until_killed(server, acknowledged, round_number, rng)
                self.check_database(server, seed)
            server.start()
            for name, kid in acknowledged.items():
                answer = server.get(f"/keys/{name}")
                self.assertEqual((200, kid), (answer.status, answer.status == 200 and
                                              answer.json["key"]["kid"]), f"seed {seed}: {name}")
            print(f"{len(acknowledged)} answered creations in {ROUNDS} rounds, seed {seed}", flush=True)
            self.assertGreater(len(acknowledged), ROUNDS)
            self.assertEqual(0, server.stop())
        finally:
            server.process.kill()
            server.remove()

    def create_until_killed(self, server, acknowledged, round_number, rng):
        stop = threading.Event()

        def client(index):
            """One client with a connection of its own; ends when the gateway dies."""
            count = 0
            while not stop.is_set():
                name = f"r{round_number}-c{index}-{count}"
                count += 1
                connection = server.connect()
                try:
                    connection.request("POST", f"/keys/{name}/create?api-version=7.4",
                                       b'{"kty":"EC","crv":"P-256"}',
                                       {"Authorization": "Bearer " + server.token})
                    answer = connection.getresponse()
                    text = answer.read()
                except OSError:
                    return
                except Exception:  # a torn answer: not acknowledged
                    return
                finally:
                    connection.close()
                if answer.status == 200:
                    import json
                    acknowledged[name] = json.loads(text)["key"]["kid"]

        threads = [threading.Thread(target=client, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(rng.uniform(0.02, 0.25))
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        stop.set()
        for thread in threads:
            thread.join()
        server.close()
        server.process.stdout.close()

    def check_database(self, server, seed):
        path = server.data / "keyward.db"
        connection = sqlite3.connect(path)
        try:
            self.assertEqual([("ok",)], connection.execute("PRAGMA integrity_check").fetchall(),
                             f"seed {seed}")
        finally:
            connection.close()

    def check_sample(self, server, acknowledged, rng):
        """A few of the earlier ones sign; all of them are looked at in the end."""
        for name in rng.sample(sorted(acknowledged), min(3, len(acknowledged))):
            server.ok(f"/keys/{name}/sign", {"alg": "ES256", "value": b64(bytes(32))})


if __name__ == "__main__":
    unittest.main()
