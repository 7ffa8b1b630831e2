"""The ClickHouse schema: numbered migrations, their runner, the data dictionary, erasure."""
