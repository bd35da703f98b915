"""What stands between a call and a bad minute: of the upstream, or of ours.

The breaker takes an upstream that is ill out of service:

- `breaker`: who is let in, and how a call says what became of it. Begin here.
- `circuit`: the state, and what each verdict does to it. `window` counts, `baseline` says what slow is, `recovery` how it
  comes back, `mirror` shows it to pybreaker and to listeners, `policy` holds the numbers.

Retry and load:

- `retry`: when a call is tried again, and what all retries together may cost.
- `limit`: how many calls of one upstream wait at once, as `gradient` learns it; `waiting` is the line before it.
- `overload`: when this process has too much to do, memory (`memory`) included; `priority`: whose work is given up first.

Everything is per replica, on one event loop and on the monotonic clock. Nothing is shared between two upstreams.
"""
