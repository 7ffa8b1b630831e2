-- Customers whose rows were erased on request, so that a replay of Kafka can be checked against the list.
CREATE TABLE IF NOT EXISTS {db}.erasures {on_cluster}
(
    customer_key UInt64 COMMENT 'Pseudonym of the customer whose rows were erased',
    requested_time DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When the erasure was carried out',
    reason LowCardinality(String) COMMENT 'Why, for example the number of the request'
)
ENGINE = {replacing:requested_time}
ORDER BY customer_key
COMMENT 'Customers whose rows were erased; read FINAL';
