#define _GNU_SOURCE /* memmem, strcasestr */
#include "executor.h"

#include <string.h>

#include "clock.h"
#include "fail.h"
#include "warm.h"
#include "websocket.h"

static const int64_t FIRST_ID = INT64_C(1764000000000000);

Executor executor_open(const Settings *settings, Shared *shared) {
    Executor executor = {
        .settings = settings,
        .shared = shared,
        .http = line_open(settings, VEST),
        .private_socket = websocket_open(settings, PARADEX, "/v1"),
        .next = 1,
        .stamps = fopen(settings->stamps_path, "w"),
    };
    if (!executor.stamps) fail(settings->stamps_path);
    orders_render(&executor.orders, settings, FIRST_ID);
    atomic_store(&shared->is_ready, 1);
    return executor;
}

bool executor_has_work(Executor *executor) {
    return ring_has_more(&executor->shared->signals, executor->next);
}

/* One line for each trade, with the names of Tandem's event, so that both are read alike. */
static void write_stamps(const Executor *executor, const Signal *signal, const int64_t stamps[4]) {
    long long id = executor->orders.id;
    fprintf(executor->stamps,
            "{\"event\":\"signal_stages\",\"client_order_ids\":[%lld,%lld],\"kernel_mono_ns\":%lld,"
            "\"recv_mono_ns\":%lld,\"publish_mono_ns\":%lld,\"detector_mono_ns\":%lld,\"decided_mono_ns\":%lld,\"executor_mono_ns\":%lld,"
            "\"checked_mono_ns\":%lld,\"sent_mono_ns\":[%lld,%lld]}\n",
            id, id, (long long)signal->kernel_mono_ns, (long long)signal->recv_mono_ns, (long long)signal->publish_mono_ns,
            (long long)signal->seen_mono_ns, (long long)signal->decided_mono_ns, (long long)stamps[0],
            (long long)stamps[1], (long long)stamps[2], (long long)stamps[3]);
    fflush(executor->stamps);
}

void executor_turn(Executor *executor) {
    Signal signal;
    if (!ring_poll(&executor->shared->signals, &executor->next, &signal, sizeof signal)) return;
    int64_t stamps[4]; /* seen, checked, first leg written, second */
    stamps[0] = mono_ns();
    const Rendered *orders = executor->orders.by_direction[signal.is_entry];
    stamps[1] = mono_ns();
    line_write(&executor->http, orders[VEST].bytes, orders[VEST].size);
    stamps[2] = mono_ns();
    line_write(&executor->private_socket, orders[PARADEX].bytes, orders[PARADEX].size);
    stamps[3] = mono_ns();
    write_stamps(executor, &signal, stamps);
}

static void one_leg_answered(Executor *executor) {
    if (++executor->answered < VENUES) return;
    Shared *shared = executor->shared;
    executor->answered = 0;
    orders_render(&executor->orders, executor->settings, executor->orders.id + 1);
    atomic_store(&shared->is_in, !atomic_load(&shared->is_in));
    atomic_store(&shared->concluded, executor->next - 1);
}

/* Size of the whole response at the beginning of the text; 0: not all of it has come. */
static size_t response_size(const Line *line) {
    const char *end = strstr(line->unread, "\r\n\r\n"), *length = strcasestr(line->unread, "content-length:");
    if (!end || !length) return 0;
    size_t size = (size_t)(end + 4 - line->unread) + strtoul(length + sizeof "content-length:" - 1, NULL, 10);
    return line->size < size ? 0 : size;
}

void executor_take_answers(Executor *executor) {
    if (line_receive(&executor->http)) {
        size_t size;
        while ((size = response_size(&executor->http))) {
            line_take(&executor->http, size);
            one_leg_answered(executor);
        }
    }
    if (line_receive(&executor->private_socket)) {
        size_t at = 0;
        Frame frame;
        while (websocket_next(&executor->private_socket, &at, &frame))
            if (memmem(frame.payload, frame.size, "\"order\"", 7)) one_leg_answered(executor);
        line_take(&executor->private_socket, at);
    }
}

void executor_keep_warm(Executor *executor) {
    int64_t sum = executor_has_work(executor);
    for (int is_entry = 0; is_entry < 2; is_entry++)
        for (int venue = 0; venue < VENUES; venue++) {
            const Rendered *order = &executor->orders.by_direction[is_entry][venue];
            for (size_t at = 0; at < order->size; at += 64) sum += order->bytes[at];
        }
    warm_sink = sum;
    line_keep_warm(&executor->http);
    line_keep_warm(&executor->private_socket);
}
