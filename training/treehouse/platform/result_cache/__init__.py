"""A result store in the engine: answers of named queries that end by themselves."""
