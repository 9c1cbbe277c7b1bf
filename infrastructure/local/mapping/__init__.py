"""The Kinesis event source mapping, as AWS documents it."""
