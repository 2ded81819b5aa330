"""The load generators: h2load for HTTP/2, wrk for HTTP/1.1, both with TLS, on the last processor."""
import json
import os
import pathlib
import re
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
LAST = str(max(os.sched_getaffinity(0)))


def _run(command, seconds):
    done = subprocess.run(["taskset", "-c", LAST] + command, capture_output=True, text=True,
                          timeout=seconds + 60)
    if done.returncode != 0:
        raise SystemExit(f"bench: {command[0]} failed: {done.stderr or done.stdout}")
    return done.stdout


class H2load:
    """8 connections with 32 streams each."""
    name = "h2"

    @staticmethod
    def run(gateway, path, body_file, seconds):
        with tempfile.TemporaryDirectory() as folder:
            log = os.path.join(folder, "log")
            out = _run(["h2load", "-c8", "-m32", "-t1", f"--duration={max(1, round(seconds))}",
                        "--warm-up-time=0", f"--log-file={log}", "-d", str(body_file),
                        "-H", "content-type: application/json",
                        "-H", "authorization: Bearer " + gateway.token,
                        f"https://localhost:{gateway.port}{path}"], seconds)
            times, bad = [], 0
            for line in open(log):
                _, status, us = line.split()[:3]
                times.append(int(us))
                bad += status != "200"
        failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", out)
        times.sort()
        pick = lambda q: float(times[min(len(times) - 1, int(len(times) * q))]) if times else 0.0
        return {"requests": len(times), "seconds": max(1, round(seconds)),
                "errors": bad + sum(int(x) for x in failed.groups()),
                "p50": pick(.5), "p99": pick(.99), "p999": pick(.999)}


class Wrk:
    """64 connections, one request each at a time."""
    name = "h1"

    @staticmethod
    def run(gateway, path, body_file, seconds):
        out = _run(["wrk", "-t1", "-c64", f"-d{max(1, round(seconds))}s", "-s",
                    str(HERE / "post.lua"), f"https://localhost:{gateway.port}", "--", path,
                    str(gateway.data / "token"), str(body_file)], seconds)
        return json.loads(re.search(r"^JSON (.*)$", out, re.M).group(1))


CLIENTS = (H2load, Wrk)
