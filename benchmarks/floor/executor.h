/* The executor: a signal in, both orders' bytes out on connections that stand, answers in. */
#ifndef FLOOR_EXECUTOR_H
#define FLOOR_EXECUTOR_H

#include <stdio.h>

#include "line.h"
#include "orders.h"
#include "shared.h"

typedef struct {
    const Settings *settings;
    Shared *shared;
    Line http, private_socket; /* Vest's orders, Paradex's orders */
    Orders orders;
    int64_t next;  /* record of the signals' ring */
    int answered;  /* legs of the trade under way */
    FILE *stamps;
} Executor;

Executor executor_open(const Settings *settings, Shared *shared);

bool executor_has_work(Executor *executor);

/* Sends the orders of a signal if there is one. */
void executor_turn(Executor *executor);

/* Takes in what the venues have answered; the trade is concluded by the second leg's answer. */
void executor_take_answers(Executor *executor);

void executor_keep_warm(Executor *executor);

#endif
