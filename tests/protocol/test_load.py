"""Many at once, without one error: h2load and wrk, bounded runs."""

import re
import shutil
import subprocess

from server import Server, check, main


def h2load(server, *options, unix=False):
    target = "https://localhost:%d" % server.port
    done = subprocess.run(["h2load", *options, target + "/health"], capture_output=True, text=True, timeout=120)
    line = re.search(r"requests: (\d+) total, .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", done.stdout)
    check(line, done.stdout + done.stderr)
    total, good, *bad = map(int, line.groups())
    check(total == good and not any(bad), line.group(0))
    return float(re.search(r"([\d.]+) req/s", done.stdout).group(1))


def http2_many_clients():
    with Server(loops=2) as server:
        for clients, streams in ((1, 1), (10, 32), (100, 32), (100, 100)):
            rate = h2load(server, "-n", "20000", "-c", str(clients), "-m", str(streams))
            print("  h2 %d x %d: %.0f requests/s" % (clients, streams, rate))


def http2_with_bodies():
    with Server(loops=2) as server:
        path = server.folder + "/body"
        with open(path, "wb") as file:
            file.write(b"x" * 116)
        h2load(server, "-n", "20000", "-c", "20", "-m", "32", "-d", path)
        with open(path, "wb") as file:
            file.write(b"x" * 200000)
        h2load(server, "-n", "500", "-c", "10", "-m", "4", "-d", path)


def http2_thousand_connections():
    with Server(loops=2) as server:
        h2load(server, "-n", "5000", "-c", "500", "-m", "5", "-t", "1")


def http1():
    with Server(loops=2) as server:
        h2load(server, "--h1", "-n", "20000", "-c", "50")
        h2load(server, "--h1", "-n", "20000", "-c", "10", "-m", "16")


def wrk():
    check(shutil.which("wrk"))
    with Server(loops=2) as server:
        for url in ("https://localhost:%d/health" % server.port, "http://127.0.0.1:%d/health" % server.admin):
            done = subprocess.run(["wrk", "-t1", "-c32", "-d2s", url], capture_output=True, text=True, timeout=30)
            check("Requests/sec" in done.stdout, done.stdout + done.stderr)
            check("Socket errors" not in done.stdout and "Non-2xx" not in done.stdout, done.stdout)
            print("  wrk %s: %s" % (url, re.search(r"Requests/sec:\s+(\S+)", done.stdout).group(1)))


main([http2_many_clients, http2_with_bodies, http2_thousand_connections, http1, wrk])
