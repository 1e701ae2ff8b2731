/* Reads one depth frame of Vest's public WebSocket: the compiled twin of what market_data does with msgspec.

   read(frame, levels_max) returns (channel, bids, asks, ts_ms), a side being a list of (price_e8, size_e8),
   best first, for the frame as the venue sends it:

       {"channel":"BTC-PERP@depth","data":{"bids":[["1.25","3"],...],"asks":[...]},"tsMs":17...}

   and None for everything else: another kind of frame, a blank or an escape, another order of keys, a
   number that is not a plain decimal of at most eight decimals below 2**62 e8, a price of zero, levels that
   are not best first. None is no verdict: the caller then reads the frame in Python, which knows all of
   JSON and says what is wrong. So this accepts strictly less, and what it accepts it reads alike;
   tests/venues/vest/test_depth_twin.py holds both against each other.
*/

#define PY_SSIZE_T_CLEAN
#include <Python.h>

typedef struct {
    const char *at;
    const char *end;
} Cursor;

static int literal(Cursor *cursor, const char *text, Py_ssize_t size) {
    if (cursor->end - cursor->at < size || memcmp(cursor->at, text, size) != 0) {
        return 0;
    }
    cursor->at += size;
    return 1;
}

#define LITERAL(cursor, text) literal(cursor, text, sizeof(text) - 1)

static int is_digit(Cursor *cursor) {
    return cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9';
}

/* A quoted decimal as an integer scaled by 10**8; -1 for anything else. */
static long long decimal_e8(Cursor *cursor) {
    const long long bound = 1LL << 62;
    long long value = 0;
    int decimals = 0, digits = 0;
    if (!LITERAL(cursor, "\"")) {
        return -1;
    }
    for (; is_digit(cursor); cursor->at++, digits++) {
        if (value > (bound - 9) / 10) {
            return -1;
        }
        value = value * 10 + (*cursor->at - '0');
    }
    if (digits == 0) {
        return -1;
    }
    if (cursor->at < cursor->end && *cursor->at == '.') {
        cursor->at++;
        for (; is_digit(cursor); cursor->at++, decimals++) {
            if (decimals == 8 || value > (bound - 9) / 10) {
                return -1;
            }
            value = value * 10 + (*cursor->at - '0');
        }
        if (decimals == 0) {
            return -1;
        }
    }
    for (; decimals < 8; decimals++) {
        if (value > (bound - 9) / 10) {
            return -1;
        }
        value *= 10;
    }
    return LITERAL(cursor, "\"") ? value : -1;
}

static PyObject *pair(long long price, long long size) {
    PyObject *first = PyLong_FromLongLong(price), *second = PyLong_FromLongLong(size);
    PyObject *both = first && second ? PyTuple_Pack(2, first, second) : NULL;
    Py_XDECREF(first);
    Py_XDECREF(second);
    return both;
}

/* One side's levels as a new list; NULL without an exception where the frame is not plain. */
static PyObject *side(Cursor *cursor, Py_ssize_t levels_max, int sign) {
    PyObject *levels = PyList_New(0);
    Py_ssize_t rows = 0;
    long long last_price = 0;
    if (levels == NULL || !LITERAL(cursor, "[")) {
        goto fail;
    }
    if (LITERAL(cursor, "]")) {
        return levels;
    }
    do {
        long long price, size;
        PyObject *level;
        int appended;
        if (!LITERAL(cursor, "[") || (price = decimal_e8(cursor)) < 0 || !LITERAL(cursor, ",") ||
            (size = decimal_e8(cursor)) < 0 || !LITERAL(cursor, "]")) {
            goto fail;
        }
        if (size == 0) {
            continue; /* a level without size holds nothing */
        }
        if (price == 0 || (last_price && (price - last_price) * sign <= 0)) {
            goto fail;
        }
        last_price = price;
        if (++rows > levels_max) {
            continue; /* read, so that both ways refuse the same frames, but not kept */
        }
        level = pair(price, size);
        if (level == NULL) {
            goto fail;
        }
        appended = PyList_Append(levels, level);
        Py_DECREF(level);
        if (appended < 0) {
            goto fail;
        }
    } while (LITERAL(cursor, ","));
    if (LITERAL(cursor, "]")) {
        return levels;
    }
fail:
    Py_XDECREF(levels);
    return NULL;
}

static PyObject *depth_read(PyObject *module, PyObject *arguments) {
    Py_buffer frame;
    Py_ssize_t levels_max;
    Cursor cursor;
    const char *name;
    PyObject *channel = NULL, *bids = NULL, *asks = NULL, *found = NULL;
    long long ts_ms = 0;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*n", &frame, &levels_max)) {
        return NULL;
    }
    cursor.at = frame.buf;
    cursor.end = cursor.at + frame.len;
    if (!LITERAL(&cursor, "{\"channel\":\"")) {
        goto done;
    }
    name = cursor.at;
    while (cursor.at < cursor.end && *cursor.at != '"') {
        if (*cursor.at < ' ' || *cursor.at > '~' || *cursor.at == '\\') {
            goto done;
        }
        cursor.at++;
    }
    channel = PyUnicode_FromStringAndSize(name, cursor.at - name);
    if (channel == NULL || !LITERAL(&cursor, "\",\"data\":{\"bids\":") ||
        (bids = side(&cursor, levels_max, -1)) == NULL || !LITERAL(&cursor, ",\"asks\":") ||
        (asks = side(&cursor, levels_max, 1)) == NULL || !LITERAL(&cursor, "}")) {
        goto done;
    }
    if (LITERAL(&cursor, ",\"tsMs\":")) {
        const char *first = cursor.at;
        for (; is_digit(&cursor); cursor.at++) {
            if (cursor.at - first == 13) {
                goto done;
            }
            ts_ms = ts_ms * 10 + (*cursor.at - '0');
        }
        /* Nanoseconds have to fit 64 bits. */
        if (cursor.at == first || (*first == '0' && cursor.at - first > 1) || ts_ms >= 9000000000000LL) {
            goto done;
        }
    }
    if (LITERAL(&cursor, "}") && cursor.at == cursor.end) {
        found = Py_BuildValue("(OOOL)", channel, bids, asks, ts_ms);
    }
done:
    Py_XDECREF(channel);
    Py_XDECREF(bids);
    Py_XDECREF(asks);
    PyBuffer_Release(&frame);
    if (found == NULL && !PyErr_Occurred()) {
        Py_RETURN_NONE;
    }
    return found;
}

static PyMethodDef methods[] = {
    {"read", depth_read, METH_VARARGS, "read(frame, levels_max) -> (channel, bids, asks, ts_ms) or None"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_depth", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__depth(void) { return PyModule_Create(&definition); }
