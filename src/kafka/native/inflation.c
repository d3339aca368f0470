/* Bounds what librdkafka makes of compressed batches: 300 kB of gzip become 300 MB there, and a length in a snappy batch
 * is allocated as it stands. The calls below are put in the place of librdkafka's own by the linker (--wrap, build.rs);
 * each calls the original. tests/it/inflation.rs shows that they are in place.
 *
 * A batch that inflates to more than BATCH_MAX is refused (the consumer gets BAD_COMPRESSION). What one answer of a broker
 * inflates to is bounded too: once it is more than ANSWER_MAX, the batches behind are left, without an error, and fetched
 * again. So a broker's thread holds at most ANSWER_MAX + BATCH_MAX of what it has not handed over yet.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_MAX ((size_t)64 << 20)
#define ANSWER_MAX ((size_t)64 << 20)

/* rd_gz_decompress (rdgz.c) measures first, with so many bytes at a time. */
#define GZIP_STEP 512
/* Values of rdkafka.h, zlib.h and lz4frame.h. */
#define BAD_COMPRESSION (-198)
#define Z_DATA_ERROR (-3)
#define LZ4F_ERROR ((size_t)-1)

/* Each broker has a thread of its own that parses its answers. */
static __thread size_t in_answer;  /* inflated since the answer began */
static __thread int in_gzip;       /* within rd_gz_decompress */
static __thread size_t gzip_steps; /* calls of inflate since that began */
static __thread size_t in_lz4;     /* inflated since rd_kafka_lz4_decompress began */
static __thread int left;          /* the batch is to be fetched again */

/* Whether this batch has to wait for the next answer. */
static int is_full(void) {
        left = in_answer > ANSWER_MAX;
        return left;
}

/* An answer begins: rd_kafka_fetch_reply_handle calls this first. */
void __real_rd_kafka_op_throttle_time(void *rkb, void *rkq, int throttle_time);
void __wrap_rd_kafka_op_throttle_time(void *rkb, void *rkq, int throttle_time) {
        in_answer = 0;
        left      = 0;
        __real_rd_kafka_op_throttle_time(rkb, rkq, throttle_time);
}

/* A batch that is fetched again is no error. */
void __real_rd_kafka_consumer_err(void *rkq, int32_t broker, int err, int32_t version, const char *topic, void *rktp,
                                  int64_t offset, const char *format, ...);
void __wrap_rd_kafka_consumer_err(void *rkq, int32_t broker, int err, int32_t version, const char *topic, void *rktp,
                                  int64_t offset, const char *format, ...) {
        char text[512];
        va_list values;
        if (left && err == BAD_COMPRESSION) {
                left = 0;
                return;
        }
        va_start(values, format);
        vsnprintf(text, sizeof(text), format, values);
        va_end(values);
        __real_rd_kafka_consumer_err(rkq, broker, err, version, topic, rktp, offset, "%s", text);
}

int __real_inflate(void *stream, int flush);
int __wrap_inflate(void *stream, int flush) {
        if (in_gzip && ++gzip_steps > BATCH_MAX / GZIP_STEP)
                return Z_DATA_ERROR;
        return __real_inflate(stream, flush);
}

void *__real_rd_gz_decompress(const void *compressed, int length, uint64_t *inflated);
void *__wrap_rd_gz_decompress(const void *compressed, int length, uint64_t *inflated) {
        void *batch;
        if (is_full())
                return NULL;
        in_gzip    = 1;
        gzip_steps = 0;
        batch      = __real_rd_gz_decompress(compressed, length, inflated);
        in_gzip    = 0;
        in_answer += batch ? (size_t)*inflated : 0;
        return batch;
}

size_t __real_LZ4F_decompress(void *context, void *to, size_t *to_size, const void *from, size_t *from_size,
                              const void *options);
size_t __wrap_LZ4F_decompress(void *context, void *to, size_t *to_size, const void *from, size_t *from_size,
                              const void *options) {
        size_t outcome = __real_LZ4F_decompress(context, to, to_size, from, from_size, options);
        in_lz4 += *to_size;
        return in_lz4 > BATCH_MAX ? LZ4F_ERROR : outcome;
}

int __real_rd_kafka_lz4_decompress(void *rkb, int proper_hc, int64_t offset, char *compressed, size_t length,
                                   void **batch, size_t *inflated);
int __wrap_rd_kafka_lz4_decompress(void *rkb, int proper_hc, int64_t offset, char *compressed, size_t length,
                                   void **batch, size_t *inflated) {
        int err;
        if (is_full())
                return BAD_COMPRESSION;
        in_lz4 = 0;
        err    = __real_rd_kafka_lz4_decompress(rkb, proper_hc, offset, compressed, length, batch, inflated);
        in_answer += err ? 0 : *inflated;
        return err;
}

/* librdkafka bounds it by receive.message.max.bytes. */
int __real_rd_kafka_zstd_decompress(void *rkb, char *compressed, size_t length, void **batch, size_t *inflated);
int __wrap_rd_kafka_zstd_decompress(void *rkb, char *compressed, size_t length, void **batch, size_t *inflated) {
        int err;
        if (is_full())
                return BAD_COMPRESSION;
        err = __real_rd_kafka_zstd_decompress(rkb, compressed, length, batch, inflated);
        if (!err && *inflated > BATCH_MAX) {
                free(*batch);
                return BAD_COMPRESSION;
        }
        in_answer += err ? 0 : *inflated;
        return err;
}

_Bool __real_rd_kafka_snappy_uncompressed_length(const char *compressed, size_t length, size_t *inflated);
_Bool __wrap_rd_kafka_snappy_uncompressed_length(const char *compressed, size_t length, size_t *inflated) {
        if (is_full() || !__real_rd_kafka_snappy_uncompressed_length(compressed, length, inflated) ||
            *inflated > BATCH_MAX)
                return 0;
        in_answer += *inflated;
        return 1;
}

/* snappy-java's chunks: a length of four bytes and a block each. */
char *__real_rd_kafka_snappy_java_uncompress(const char *compressed, size_t length, size_t *inflated, char *error,
                                             size_t error_size);
char *__wrap_rd_kafka_snappy_java_uncompress(const char *compressed, size_t length, size_t *inflated, char *error,
                                             size_t error_size) {
        size_t at = 0, sum = 0;
        if (is_full())
                return NULL;
        while (length - at > 4) {
                const unsigned char *head = (const unsigned char *)compressed + at;
                size_t chunk = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3], block;
                at += 4;
                /* what does not fit the frame is for the original to refuse */
                if (chunk > length - at ||
                    !__real_rd_kafka_snappy_uncompressed_length(compressed + at, chunk, &block))
                        break;
                at += chunk;
                sum += block;
                if (sum > BATCH_MAX) {
                        snprintf(error, error_size, "it inflates to more than %zu bytes", BATCH_MAX);
                        return NULL;
                }
        }
        in_answer += sum;
        return __real_rd_kafka_snappy_java_uncompress(compressed, length, inflated, error, error_size);
}
