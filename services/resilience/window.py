"""The calls of the last seconds, in buckets that are dropped whole: one costs the same however many there were."""


class Counts:
    """How many calls there were, and how they went."""

    __slots__ = ("alive", "broken", "calls", "failures", "slow")

    def __init__(self) -> None:
        self.calls = 0
        self.failures = 0
        self.slow = 0
        self.alive = 0
        """Answers that began."""
        self.broken = 0
        """Answers that began and broke."""

    @property
    def failure_rate(self) -> float:
        return self.failures / self.calls if self.calls else 0.0

    @property
    def slow_rate(self) -> float:
        return self.slow / self.calls if self.calls else 0.0

    @property
    def broken_rate(self) -> float:
        return self.broken / self.alive if self.alive else 0.0


class Bucket(Counts):
    """The calls of one step of time, kept in its window's total for as long as the step is within the window.

    Whoever counted a call keeps its bucket, and takes the call out of it when a later verdict puts it into another: a
    call counts once, at the time of its last verdict. That also keeps every rate at or below one.
    """

    __slots__ = ("_total",)

    def __init__(self, total: Counts) -> None:
        super().__init__()
        self._total: Counts | None = total

    def add(self, *, calls: int = 0, failures: int = 0, slow: int = 0, alive: int = 0, broken: int = 0) -> None:
        """Count, or take out what is negative. Once the bucket has left the window this does nothing."""
        total = self._total
        if total is None:
            return
        self.calls += calls
        total.calls += calls
        self.failures += failures
        total.failures += failures
        self.slow += slow
        total.slow += slow
        self.alive += alive
        total.alive += alive
        self.broken += broken
        total.broken += broken

    def expire(self) -> None:
        """Leave the window."""
        self.add(calls=-self.calls, failures=-self.failures, slow=-self.slow, alive=-self.alive, broken=-self.broken)
        self._total = None


class RollingWindow:
    """Counts over the last `window_s`, in steps of `bucket_s`; what lies within the oldest step leaves all at once."""

    __slots__ = ("_bucket_s", "_buckets", "_current", "_number", "total")

    def __init__(self, window_s: float, bucket_s: float) -> None:
        self.total = Counts()
        self._bucket_s = bucket_s
        self._buckets = [Bucket(self.total) for _ in range(max(1, round(window_s / bucket_s)))]
        self._number = 0
        self._current = self._buckets[0]

    def at(self, now: float) -> Bucket:
        """Return the bucket of `now`, having dropped what is too old for it."""
        number = int(now / self._bucket_s)
        if number > self._number:
            self._roll(number)
        return self._current

    def _roll(self, number: int) -> None:
        size = len(self._buckets)
        for passed in range(max(self._number + 1, number - size + 1), number + 1):
            self._buckets[passed % size].expire()
            self._buckets[passed % size] = Bucket(self.total)
        self._number = number
        self._current = self._buckets[number % size]
