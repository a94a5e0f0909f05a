-- What wrk prints at its end for tests/bench/run: requests, seconds, the 99th percentile in ms, errors.
done = function(summary, latency)
    local e = summary.errors
    print("total", summary.requests, summary.duration / 1e6, latency:percentile(99) / 1e3,
        e.connect + e.read + e.write + e.status + e.timeout)
end
