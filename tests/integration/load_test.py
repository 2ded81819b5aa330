"""Many clients at once: no request is lost, over both protocols; an idle gateway is small."""
import pathlib
import re
import subprocess
import tempfile

from keyward import Case, VERSION, b64


class Idle(Case):
    def test_idle_memory(self):
        """At most 30 MB resident with the core member alone, before any load (the sanitizers' own
        memory is not keyward's)."""
        maps = pathlib.Path(f"/proc/{self.server.process.pid}/maps").read_text()
        if "libasan" in maps:
            self.skipTest("built with a sanitizer")
        status = pathlib.Path(f"/proc/{self.server.process.pid}/status").read_text()
        self.assertLess(int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)), 30_000)


class Load(Case):
    def prepare(self, name):
        """Path and body of a wrap: cheap, so that the front side is what is loaded."""
        self.server.create(name, "oct", key_size=256)
        body = '{"alg":"A256KW","value":"%s"}' % b64(bytes(range(32)))
        return f"/keys/{name}/wrapkey?{VERSION}", body

    def test_h2load_100_clients_of_32_streams(self):
        path, body = self.prepare("h2load")
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(body)
            file.flush()
            out = subprocess.run(
                ["h2load", "-n20000", "-c100", "-m32", "-t1", "-d", file.name,
                 "-H", "content-type: application/json",
                 "-H", f"authorization: Bearer {self.server.token}",
                 f"https://localhost:{self.server.port}{path}"],
                capture_output=True, text=True, timeout=120).stdout
        self.assertIn("20000 succeeded, 0 failed, 0 errored, 0 timeout", out)
        self.assertIn("status codes: 20000 2xx, 0 3xx, 0 4xx, 0 5xx", out)
        self.assertIn("Application protocol: h2", out)

    def test_wrk_64_connections(self):
        path, body = self.prepare("wrk")
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(f"""
wrk.method = "POST"
wrk.body = '{body}'
wrk.headers["Authorization"] = "Bearer {self.server.token}"
wrk.headers["Content-Type"] = "application/json"
done = function(summary)
  local e = summary.errors
  print("COUNTS", summary.requests, e.connect + e.read + e.write + e.status + e.timeout)
end
""")
            script.flush()
            out = subprocess.run(
                ["wrk", "-t1", "-c64", "-d3s", "-s", script.name,
                 f"https://localhost:{self.server.port}{path}"],
                capture_output=True, text=True, timeout=60).stdout
        requests, errors = map(int, re.search(r"COUNTS\s+(\d+)\s+(\d+)", out).groups())
        self.assertGreater(requests, 100)
        self.assertEqual(0, errors, out)
