"""The cloud half: ingest, storage layout and the read side."""
