"""Evidence: does pre-training help with one to ten labelled patients, by how much, and when not (PROTOCOL.md)."""
