//! Limits how much librdkafka decompresses: see `src/kafka/native/inflation.c`.

/// Calls of librdkafka and zlib that are redirected to functions with the prefix `__wrap_`.
const BOUNDED: &[&str] = &[
    "inflate",
    "LZ4F_decompress",
    "rd_gz_decompress",
    "rd_kafka_consumer_err",
    "rd_kafka_lz4_decompress",
    "rd_kafka_op_throttle_time",
    "rd_kafka_snappy_java_uncompress",
    "rd_kafka_snappy_uncompressed_length",
    "rd_kafka_zstd_decompress",
];

fn main() {
    println!("cargo:rerun-if-changed=src/kafka/native/inflation.c");
    // --wrap is an option of the linkers on Linux
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        println!("cargo:warning=compressed batches are not bounded on this system");
        return;
    }
    for object in cc::Build::new()
        .file("src/kafka/native/inflation.c")
        .compile_intermediates()
    {
        println!("cargo:rustc-link-arg={}", object.display());
    }
    for name in BOUNDED {
        println!("cargo:rustc-link-arg=-Wl,--wrap={name}");
    }
}
