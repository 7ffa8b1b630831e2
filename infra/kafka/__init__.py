"""A real Apache Kafka broker, run from Apache's own jars: `python -m infra.kafka --help`."""
