"""What users thought of runs, beside what judges did."""

from datetime import UTC, datetime, timedelta

import pytest

from services.feedback import RatedScore, Rating
from services.storage.database import Database
from services.storage.feedback import FeedbackRepository
from services.storage.ratings import RatingRepository
from services.storage.scores import ScoreRepository
from services.types import Principal, Run
from tests.services.storage.conftest import ALICE, BOB, MALLORY, a_run, in_postgres
from tests.services.storage.test_postgres import a_score

pytestmark = pytest.mark.postgres

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


async def judged(
    database: Database, value: float | None, rating: Rating | None, *, by: Principal = ALICE, base: bool = True
) -> Run:
    """A run that has ended, was given this value, and was rated."""
    run = await in_postgres(database).answered(a_run(principal=by))
    await ScoreRepository(database).add([a_score(run.id, tenant_id=by.tenant_id, value=value, base=base)])
    if rating is not None:
        await FeedbackRepository(database).put(by, run.id, rating, "Words that go nowhere.")
    return run


def given(scores: list[RatedScore]) -> list[tuple[float | None, bool]]:
    return sorted(((one.value, one.liked) for one in scores), key=str)


async def test_scores_are_read_with_the_thumbs_of_one_tenants_users(database: Database) -> None:
    """Of all its users, and of no other tenant; what was rated and not judged, or judged and not rated, is no pair."""
    await judged(database, 9.0, Rating.UP)
    await judged(database, 2.0, Rating.DOWN, by=BOB)
    await judged(database, None, Rating.UP)
    await judged(database, 5.0, None)
    await judged(database, 7.0, Rating.UP, by=MALLORY)
    unjudged = await in_postgres(database).answered(a_run())
    await FeedbackRepository(database).put(ALICE, unjudged.id, Rating.DOWN, None)
    for tenant, expected in (("acme", [(2.0, False), (9.0, True), (None, True)]), ("evil", [(7.0, True)]), ("", [])):
        found = await RatingRepository(database, tenant).scores(LONG_AGO, fair=True, limit=10)
        assert given(list(found)) == expected
    [first, *_] = await RatingRepository(database, "acme").scores(LONG_AGO, fair=True, limit=10)
    assert (first.criterion, first.judge_model, first.rubric_version) == ("helpfulness", "small", "1")


async def test_what_is_judged_for_being_disliked_is_not_of_the_fair_share(database: Database) -> None:
    """It has more thumbs down than there are; whoever wants them all the same can have them."""
    await judged(database, 9.0, Rating.UP)
    await judged(database, 1.0, Rating.DOWN, base=False)
    ratings = RatingRepository(database, "acme")
    assert given(list(await ratings.scores(LONG_AGO, fair=True, limit=10))) == [(9.0, True)]
    assert given(list(await ratings.scores(LONG_AGO, fair=False, limit=10))) == [(1.0, False), (9.0, True)]


async def test_the_newest_thumbs_count_up_to_a_limit(database: Database) -> None:
    """By when the user last changed their mind, with every score of the run; what is older than asked for is left out."""
    first, _ = await judged(database, 9.0, Rating.UP), await judged(database, 8.0, Rating.UP)
    await ScoreRepository(database).add([a_score(first.id, criterion="safety", value=0.0)])
    await FeedbackRepository(database).put(ALICE, first.id, Rating.DOWN, None)
    ratings = RatingRepository(database, "acme")
    assert given(list(await ratings.scores(LONG_AGO, fair=True, limit=1))) == [(0.0, False), (9.0, False)]
    assert await ratings.scores(datetime.now(UTC) + timedelta(minutes=1), fair=True, limit=10) == []
