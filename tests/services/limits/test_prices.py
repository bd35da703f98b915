"""What models cost."""

import pytest

from services.errors import UnpricedModel
from services.limits.prices import FREE, Price, PriceList
from services.types import Usage

MINI = Price(input=0.40, cached_input=0.10, output=1.60)


@pytest.mark.parametrize(
    ("usage", "micros"),
    [
        (Usage(), 0),
        (Usage(input_tokens=1_000_000), 400_000),
        (Usage(output_tokens=1_000_000), 1_600_000),
        (Usage(input_tokens=1_000, cached_tokens=1_000), 100),
        (Usage(input_tokens=1_000, cached_tokens=500, output_tokens=10), 266),
        (Usage(input_tokens=1), 1),
    ],
)
def test_tokens_cost_what_the_list_says_rounded_up_to_a_millionth(usage: Usage, micros: int) -> None:
    assert MINI.cost_micros(usage) == micros


def test_cached_input_without_a_price_of_its_own_costs_as_any_other() -> None:
    assert Price(input=2.0, output=8.0).cost_micros(Usage(input_tokens=10, cached_tokens=10)) == 20


@pytest.mark.parametrize("cached", [0, 500, 1_000])
def test_nothing_costs_more_than_it_can_cost_at_most(cached: int) -> None:
    """Also where a provider takes more for what it has cached than for what it has not."""
    odd = Price(input=0.4, cached_input=0.9, output=1.6)
    usage = Usage(input_tokens=1_000, cached_tokens=cached, output_tokens=77)
    for price in (MINI, odd):
        assert price.cost_micros(usage) <= price.at_most_micros(1_000, 77)


def test_a_model_that_is_not_named_has_the_price_of_others_or_is_refused() -> None:
    assert PriceList(models={"mini": MINI}, other=FREE).of("large") is FREE
    with pytest.raises(UnpricedModel, match="'large' has no price"):
        PriceList(models={"mini": MINI}).of("large")
