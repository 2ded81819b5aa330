-- wrk: POST the body file to one path with the bearer token; prints
-- errors (answers above 399 included) and latency percentiles as one line of JSON.
local path, token_file, body_file

function init(args)
  path, token_file, body_file = args[1], args[2], args[3]
  local f = assert(io.open(token_file)); local token = f:read("*l"); f:close()
  f = assert(io.open(body_file)); local body = f:read("*a"); f:close()
  request_text = wrk.format("POST", path, {
    ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" }, body)
end

function request() return request_text end

function done(summary, latency, requests)
  local e = summary.errors
  print(string.format(
    'JSON {"requests":%d,"seconds":%.6f,"errors":%d,"p50":%.1f,"p99":%.1f,"p999":%.1f}',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
