"""How soon the drift detector sees a fall, and how often it sees one that is not there: simulated streams of judged answers."""
