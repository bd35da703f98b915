"""A run's events as a careful client keeps them: in order, none twice, none missing, and what is void let go."""

from dataclasses import dataclass, field

from tests.e2e.streams import Event

TERMINAL = frozenset({"run_completed", "run_failed", "run_cancelled", "run_interrupted"})
RESTARTED = "restarted"

Place = tuple[int, int]
"""The attempt and the number of an event, which its id is made of."""


class StoryBroken(AssertionError):
    """The events cannot be those of one run: one is lost, doubled, out of place, or comes after the end."""


def place_of(event_id: str) -> Place:
    """Return where an event stands in its run."""
    attempt, _, seq = event_id.partition("-")
    return int(attempt), int(seq)


@dataclass(slots=True)
class Story:
    """Events of one run from its first one on. `events` are those that hold: a `restarted` voids what it does not keep."""

    events: list[Event] = field(default_factory=list)
    last_id: str | None = None
    """Of the last event that came, void or not: where the client goes on from."""
    restarts: int = 0

    @property
    def ended(self) -> bool:
        return bool(self.events) and self.events[-1].name in TERMINAL

    @property
    def end(self) -> Event:
        """The terminal event. Raises StoryBroken while there is none."""
        if not self.ended:
            raise StoryBroken(f"no end after {self.last_id}")
        return self.events[-1]

    @property
    def text(self) -> str:
        """What the run answers; what the agents of a graph say to each other has a source."""
        return "".join(e.data["text"] for e in self.events if e.name == "text_delta" and "source" not in e.data)

    def take(self, event: Event) -> None:
        """Add the next event. Raises StoryBroken."""
        if self.ended:
            raise StoryBroken(f"{event.id} {event.name} comes after the end, {self.events[-1].id}")
        self._check_place(event)
        if event.name == RESTARTED:
            self._restart(event)
        self.events.append(event)
        self.last_id = event.id

    def _check_place(self, event: Event) -> None:
        attempt, seq = place_of(event.id)
        last_attempt, last_seq = (0, -1) if self.last_id is None else place_of(self.last_id)
        if attempt == last_attempt and seq == last_seq + 1 and self._follows(event):
            return
        # An attempt begins with its `restarted`; of the first nothing went before, and one that was given up only ends.
        begins = attempt == 1 or event.name == RESTARTED or event.name in TERMINAL
        if attempt > last_attempt and seq == 0 and begins:
            return
        raise StoryBroken(f"{event.id} {event.name} comes after {self.last_id}")

    def _follows(self, event: Event) -> bool:
        """Whether the event may come next: where nothing was kept the run begins anew."""
        last = self.events[-1] if self.events else None
        bare = last is not None and last.name == RESTARTED and last.data["from"] is None
        return not bare or event.name == "run_started" or event.name in TERMINAL

    def _restart(self, event: Event) -> None:
        attempt, _ = place_of(event.id)
        if event.data["attempt"] != attempt:
            raise StoryBroken(f"{event.id} says that it restarts attempt {event.data['attempt']}")
        kept_id = event.data["from"]
        if kept_id is None:
            self.events.clear()
        else:
            kept = next((index for index, held in enumerate(self.events) if held.id == kept_id), None)
            if kept is None:
                raise StoryBroken(f"{event.id} keeps {kept_id}, which never came or was void")
            del self.events[kept + 1 :]
        self.restarts += 1


def told(events: list[Event]) -> Story:
    """Return the story of these events. Raises StoryBroken."""
    story = Story()
    for event in events:
        story.take(event)
    return story
