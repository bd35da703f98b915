"""What a replica refuses when it has more to do than it can, counted."""

from services.errors import Overloaded
from services.resilience.overload import LoadMonitor
from services.resilience.priority import Priority
from services.telemetry.metrics import REQUESTS_SHED, Meter


class Shedding:
    """A `LoadMonitor` whose refusals are measured. Health checks and cancelling do not ask it."""

    def __init__(self, monitor: LoadMonitor, meter: Meter) -> None:
        self._monitor = monitor
        self._meter = meter

    def start(self) -> None:
        """Begin to look, on the running loop."""
        self._monitor.start()

    def admit(self, priority: Priority) -> None:
        """Return, or raise Overloaded with the seconds to come back after."""
        try:
            self._monitor.admit(priority)
        except Overloaded:
            self._meter.record(REQUESTS_SHED, 1.0, {"priority": priority.name.lower()})
            raise

    def stop(self) -> None:
        self._monitor.stop()
