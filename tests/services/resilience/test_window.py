"""The rolling window."""

from services.resilience.window import Bucket, Counts, RollingWindow


def a_window() -> RollingWindow:
    return RollingWindow(window_s=30.0, bucket_s=1.0)


def test_calls_count_for_the_length_of_the_window() -> None:
    """What was counted is in the total until its step leaves, thirty steps later, and then it is gone."""
    window = a_window()
    window.at(100.5).add(calls=1, failures=1)
    window.at(129.9)
    assert (window.total.calls, window.total.failures) == (1, 1)
    window.at(130.0)
    assert (window.total.calls, window.total.failures) == (0, 0)


def test_steps_leave_one_by_one() -> None:
    """Each step takes only its own calls with it."""
    window = a_window()
    for second in range(100, 140):
        window.at(float(second)).add(calls=1)
        assert window.total.calls == min(30, second - 99)


def test_a_long_silence_empties_it_at_a_bounded_price() -> None:
    """After any gap the window is empty; a gap of so many steps would not end if each were walked through."""
    window = a_window()
    for second in range(100, 130):
        window.at(float(second)).add(calls=5)
    window.at(1e15).add(calls=1)
    assert window.total.calls == 1


def test_a_verdict_that_comes_later_moves_the_call() -> None:
    """A call is taken out of the step that counted it and put into the present one: it counts once."""
    window = a_window()
    slow = window.at(100.0)
    slow.add(calls=1, slow=1)
    present = window.at(110.0)
    slow.add(calls=-1, slow=-1)
    present.add(calls=1, slow=1, failures=1)
    assert (window.total.calls, window.total.slow, window.total.failures) == (1, 1, 1)
    window.at(130.0)
    assert window.total.calls == 1
    window.at(140.0)
    assert (window.total.calls, window.total.slow, window.total.failures) == (0, 0, 0)


def test_a_step_that_has_left_can_give_nothing_back() -> None:
    """Taking a call out of a step that is gone changes no total: the call left with it."""
    window = a_window()
    old = window.at(100.0)
    old.add(calls=1)
    window.at(200.0).add(calls=1)
    old.add(calls=-1)
    assert window.total.calls == 1


def test_a_step_of_another_window_is_not_this_ones() -> None:
    """A call that was counted before the window was replaced does not disturb the new one."""
    old = a_window().at(100.0)
    old.add(calls=1)
    window = RollingWindow(window_s=10.0, bucket_s=0.5)
    window.at(100.0).add(calls=1)
    old.add(calls=-1)
    assert window.total.calls == 1


def test_the_clock_of_one_moment_is_one_step() -> None:
    """The same step is found for every moment within it, and the one before is not brought back."""
    window = a_window()
    first = window.at(100.0)
    assert window.at(100.999) is first
    second = window.at(101.0)
    assert second is not first
    assert window.at(100.5) is second


def test_rates_of_nothing_are_zero() -> None:
    """Without calls no rate is above any limit."""
    counts = Counts()
    assert (counts.failure_rate, counts.slow_rate, counts.broken_rate) == (0.0, 0.0, 0.0)


def test_rates_are_shares_of_their_own_kind() -> None:
    """Failures and slow calls are shares of the calls, broken answers of the answers that began."""
    bucket = Bucket(total := Counts())
    bucket.add(calls=10, failures=5, slow=8, alive=4, broken=1)
    assert (total.failure_rate, total.slow_rate, total.broken_rate) == (0.5, 0.8, 0.25)
