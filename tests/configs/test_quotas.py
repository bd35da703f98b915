"""Plans as operators write them."""

import pytest

from configs.quotas import per_window
from configs.section import SettingsError
from configs.settings import load


@pytest.mark.parametrize(
    ("rate", "limit", "window_s", "burst"),
    [
        ("1/second", 1, 1.0, None),
        ("60/minute burst 10", 60, 60.0, 10),
        ("2_000_000/hour burst 1_000", 2_000_000, 3_600.0, 1_000),
        ("5/day burst 5", 5, 86_400.0, 5),
    ],
)
def test_a_rate_is_a_number_and_a_window_and_may_say_how_much_at_once(
    rate: str, limit: int, window_s: float, burst: int | None
) -> None:
    assert per_window(rate) == (limit, window_s, burst)


def test_a_burst_is_no_more_than_the_rate() -> None:
    with pytest.raises(SettingsError, match="the burst is part of the rate"):
        load([], {"limits": {"plans": {"standard": {"user": {"runs": "60/minute burst 61"}}}}})


@pytest.mark.parametrize(
    "rate",
    [
        "60",
        "0/minute",
        "-1/minute",
        "60 / minute",
        "60/fortnight",
        "1.5/second",
        "",
        "9" * 16 + "/day",
        "60/minute burst 0",
        "60/minute burst",
    ],
)
def test_a_rate_that_is_none_is_refused_with_an_example(rate: str) -> None:
    with pytest.raises(SettingsError, match=r"limits\.plans\.standard\.user\.runs: .*600/minute"):
        load([], {"limits": {"plans": {"standard": {"user": {"runs": rate}}}}})


@pytest.mark.parametrize("overrides", [{"default_plan": "nobody"}, {"tenants": {"acme": "nobody"}}])
def test_a_plan_that_there_is_not_is_named(overrides: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="'nobody' is not one of plans: standard, service"):
        load([], {"limits": overrides})


def test_what_ships_limits_users_and_tenants_but_for_one_person_who_tries_it_out() -> None:
    plans = load(["production"]).limits
    assert plans.plans[plans.default_plan].user.concurrent_runs == 8
    assert plans.plans[plans.default_plan].tenant.tokens is not None
    assert load(["local"]).limits.default_plan == load(["openai"]).limits.default_plan == "service"
