//! Addresses of the servers that tests use, from the environment.

/// URL of a PostgreSQL superuser's connection, from `LIENTHONG_TEST_PG`.
///
/// # Panics
/// When it is not set; the message says how to set it.
#[must_use]
pub fn postgres() -> String {
    needed(
        "LIENTHONG_TEST_PG",
        "a PostgreSQL server's URL such as postgres://postgres@127.0.0.1:5499/postgres",
    )
}

/// Bootstrap address of a Kafka broker, from `LIENTHONG_TEST_KAFKA`.
///
/// # Panics
/// When it is not set; the message says how to set it.
#[must_use]
pub fn kafka() -> String {
    needed("LIENTHONG_TEST_KAFKA", "a Kafka broker's address such as 127.0.0.1:9092")
}

/// Base URL of a schema registry with the Confluent API, from `LIENTHONG_TEST_REGISTRY`.
///
/// # Panics
/// When it is not set; the message says how to set it.
#[must_use]
pub fn registry() -> String {
    needed("LIENTHONG_TEST_REGISTRY", "a registry's URL such as http://127.0.0.1:8081/apis/ccompat/v7")
}

/// Folder with the jars of Apache Kafka for private brokers, from `LIENTHONG_TEST_KAFKA_LIBS`.
///
/// # Panics
/// When it is not set; the message says how to set it.
#[must_use]
pub fn kafka_libs() -> String {
    needed("LIENTHONG_TEST_KAFKA_LIBS", "the folder with the jars of Apache Kafka")
}

fn needed(name: &str, what: &str) -> String {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => panic!(
            "{name} is not set: run `make test`, which starts the servers and sets it, or set it to {what}"
        ),
    }
}
