"""A real Apache Kafka broker out of Apache's own jars: `python -m infra.kafka --help`."""
