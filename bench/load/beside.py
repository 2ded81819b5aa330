"""Signing at full load, in pairs of windows: one alone, one with jobs of the gateway's own that follow each other for the whole
window. The ratio of a pair is what counts. Neighbours on the machine move the windows; the ratio of the gateway's CPU per
signature (without to with) says the same and hears less of them."""
import concurrent.futures
import http.client
import json
import statistics
import threading
import time

from load import clients, scenario


def put_all(gateway, count, request):
    """`request`(i) is (method, path, body) of the i-th object."""
    headers = {"Authorization": "Bearer " + gateway.token, "Content-Type": "application/json"}

    def some(first):
        connection = http.client.HTTPSConnection("localhost", gateway.port, context=gateway.context, timeout=60)
        for i in range(first, count, 32):
            method, path, body = request(i)
            connection.request(method, path + scenario.API, json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, (path, answer.status, text)
        connection.close()

    with concurrent.futures.ThreadPoolExecutor(32) as threads:
        list(threads.map(some, range(32)))


def secret(i):
    return "PUT", f"/secrets/secret-{i:06}", {"value": f"{i:06}" * 34}


class Jobs:
    """Jobs one after the other, as long as it is entered; their durations in `took`. `job` runs one to its end."""

    def __init__(self, job):
        self.job, self.took, self.fault, self.stop = job, [], None, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def run(self):
        try:
            while not self.stop.is_set():
                begun = time.monotonic()
                self.job()
                self.took.append(time.monotonic() - begun)
        except Exception as fault:  # told by the thread that waits
            self.fault = fault

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        if self.fault:
            raise self.fault


def rate(gateway, path, body, seconds):
    """Signatures a second, the 99th percentile, CPU microseconds of the gateway for each."""
    cpu = gateway.cpu_us()
    result = clients.H2load.run(gateway, path, body, seconds)
    cpu = gateway.cpu_us() - cpu
    if result["errors"]:
        raise SystemExit(f"bench: {result['errors']} requests failed")
    return result["requests"] / result["seconds"], result["p99"], cpu / max(1, result["requests"])


def measure(gateway, name, request, job, rounds, seconds):
    """`request` is (path, body text) of what is signed. `seconds` None: windows as long as a job takes under this load."""
    path, text = request
    body = gateway.folder / "body"
    body.write_text(text)
    rate(gateway, path, body, 1)  # warm up
    pairs, took = [], []
    if seconds is None:
        with Jobs(job) as first:
            rate(gateway, path, body, 4)
        seconds = min(30, max(2, round(first.took[0])))
    for _ in range(rounds):
        alone = rate(gateway, path, body, seconds)
        with Jobs(job) as jobs:
            beside = rate(gateway, path, body, seconds)
        took += jobs.took
        pairs.append((alone, beside))
    ratio = statistics.median(b[0] / a[0] for a, b in pairs)
    cpu = statistics.median(a[2] / b[2] for a, b in pairs)
    row = {"name": name, "keyward": round(statistics.median(b[0] for _, b in pairs), 1),
           "anchor": round(statistics.median(a[0] for a, _ in pairs), 1), "anchor_name": "the same without the job",
           "ratio": round(ratio, 3), "unit": "requests/s", "cpu_ratio": round(cpu, 3), "ratios": [round(b[0] / a[0], 3) for a, b in pairs],
           "p99_us": [pairs[-1][0][1], pairs[-1][1][1]], "job_s": round(statistics.median(took), 2), "window_s": seconds}
    print(f"{name}: {row['anchor']:.0f}/s alone, {row['keyward']:.0f}/s beside it, ratio {ratio:.3f} {row['ratios']}, by CPU {cpu:.3f}; "
          f"it took {row['job_s']} s", flush=True)
    return row
