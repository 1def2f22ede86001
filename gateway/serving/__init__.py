"""One gate served by several processes: a supervisor, one sequencer, workers, and one for what goes on behind."""
