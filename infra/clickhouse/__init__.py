"""The ClickHouse schema: numbered migrations, the command that runs them, the data dictionary and erasure."""
