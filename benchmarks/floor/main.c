/* The floor: Tandem's shape in C and nothing else. A feed for each venue reads its socket and publishes in a ring,
   the detector decides, the executor writes bytes that were rendered before. No checksum, no gate but the threshold,
   no journal, no signature: what is left is the machine. With --one all of it is one process. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "detector.h"
#include "executor.h"
#include "fail.h"
#include "feed.h"
#include "wait.h"

static _Noreturn void run_feed(const Settings *settings, Shared *shared, int venue) {
    wait_set_up(settings);
    Feed feed = feed_open(settings, shared, venue);
    int epoll = wait_on(&feed.line.fd, 1);
    for (;;) {
        feed_turn(&feed, &shared->detector_bell);
        if (!wait_for(epoll, settings) && settings->warm_us) feed_keep_warm(&feed);
    }
}

static _Noreturn void run_detector(const Settings *settings, Shared *shared) {
    wait_set_up(settings);
    Detector detector = detector_open(settings, shared);
    Bell *bell = &shared->detector_bell;
    int epoll = wait_on(&bell->fd, 1);
    for (;;) {
        if (detector_turn(&detector)) bell_ring(&shared->executor_bell);
        bell_drain(bell);
        bell_announce_sleep(bell);
        if (detector_has_work(&detector)) continue;
        if (!wait_for(epoll, settings) && settings->warm_us) detector_keep_warm(&detector);
    }
}

static _Noreturn void run_executor(const Settings *settings, Shared *shared) {
    wait_set_up(settings);
    Executor executor = executor_open(settings, shared);
    Bell *bell = &shared->executor_bell;
    int fds[] = {bell->fd, executor.http.fd, executor.private_socket.fd}, epoll = wait_on(fds, 3);
    for (;;) {
        executor_turn(&executor);
        executor_take_answers(&executor);
        bell_drain(bell);
        bell_announce_sleep(bell);
        if (executor_has_work(&executor)) continue;
        if (!wait_for(epoll, settings) && settings->warm_us) executor_keep_warm(&executor);
    }
}

static _Noreturn void run_one(const Settings *settings, Shared *shared) {
    wait_set_up(settings);
    Feed feeds[VENUES] = {feed_open(settings, shared, VEST), feed_open(settings, shared, PARADEX)};
    Detector detector = detector_open(settings, shared);
    Executor executor = executor_open(settings, shared);
    int fds[] = {feeds[VEST].line.fd, feeds[PARADEX].line.fd, executor.http.fd, executor.private_socket.fd};
    int epoll = wait_on(fds, 4);
    for (;;) {
        for (int venue = 0; venue < VENUES; venue++)
            if (feed_turn(&feeds[venue], NULL) && detector_turn(&detector)) executor_turn(&executor);
        executor_take_answers(&executor);
        if (wait_for(epoll, settings) || !settings->warm_us) continue;
        for (int venue = 0; venue < VENUES; venue++) feed_keep_warm(&feeds[venue]);
        detector_keep_warm(&detector);
        executor_keep_warm(&executor);
    }
}

static void start(const Settings *settings, Shared *shared) {
    if (settings->is_one_process) {
        if (fork() == 0) run_one(settings, shared);
        return;
    }
    for (int venue = 0; venue < VENUES; venue++)
        if (fork() == 0) run_feed(settings, shared, venue);
    if (fork() == 0) run_detector(settings, shared);
    if (fork() == 0) run_executor(settings, shared);
}

static bool is_ready(Shared *shared) {
    return ring_has_more(&shared->quotes[VEST], 1) && ring_has_more(&shared->quotes[PARADEX], 1) &&
           atomic_load(&shared->is_ready);
}

static Settings read_arguments(int count, char **arguments) {
    enum { VEST_PORT = 1, PARADEX_PORT, ENTRY_BPS, EXIT_BPS, STAMPS, CA, ONE, WARM_US, FIFO };
    static const struct option known[] = {
        {"vest-port", required_argument, NULL, VEST_PORT},
        {"paradex-port", required_argument, NULL, PARADEX_PORT},
        {"entry-bps", required_argument, NULL, ENTRY_BPS},
        {"exit-bps", required_argument, NULL, EXIT_BPS},
        {"stamps", required_argument, NULL, STAMPS},
        {"ca", required_argument, NULL, CA},
        {"one", no_argument, NULL, ONE},
        {"warm-us", required_argument, NULL, WARM_US},
        {"fifo", required_argument, NULL, FIFO},
        {NULL, 0, NULL, 0},
    };
    Settings settings = {.parent = getpid()};
    int option;
    while ((option = getopt_long(count, arguments, "", known, NULL)) != -1) {
        switch (option) {
        case VEST_PORT: settings.ports[VEST] = atoi(optarg); break;
        case PARADEX_PORT: settings.ports[PARADEX] = atoi(optarg); break;
        case ENTRY_BPS: settings.entry_bps = atof(optarg); break;
        case EXIT_BPS: settings.exit_bps = atof(optarg); break;
        case STAMPS: settings.stamps_path = optarg; break;
        case CA: settings.ca_path = optarg; break;
        case ONE: settings.is_one_process = true; break;
        case WARM_US: settings.warm_us = atoi(optarg); break;
        case FIFO: settings.fifo_priority = atoi(optarg); break;
        default: exit(2); /* getopt has named it */
        }
    }
    if (!settings.ports[VEST] || !settings.ports[PARADEX] || !settings.stamps_path)
        fail_because("floor", "--vest-port, --paradex-port and --stamps are needed");
    return settings;
}

/* A child that ends takes the rest with it: they ask for SIGKILL when their parent dies. */
static void exit_with_the_first_child(int options) {
    if (waitpid(-1, NULL, options) > 0) exit(1);
}

int main(int count, char **arguments) {
    Settings settings = read_arguments(count, arguments);
    Shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (shared == MAP_FAILED) fail("shared memory");
    bell_make(&shared->detector_bell);
    bell_make(&shared->executor_bell);
    start(&settings, shared);
    while (!is_ready(shared)) {
        exit_with_the_first_child(WNOHANG);
        usleep(10000);
    }
    puts("ready");
    fflush(stdout);
    exit_with_the_first_child(0);
    return 0;
}
