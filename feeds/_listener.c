/* The listener that picows calls: a usual frame goes to shared memory from here, any other to Python.

   Connection derives from it and lends it a Feed while it lives. One thread, the loop's, comes here, and it has the
   interpreter's lock: nothing below waits for anything. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "_publish.h"

enum { TEXT_FRAME = 1, BINARY_FRAME = 2, PONG_FRAME = 10 }; /* RFC 6455 */

static PyObject *name_on_frame, *name_type, *name_fin, *name_payload;
static Py_ssize_t feed_offset; /* in an instance: behind what picows keeps there */
static PyTypeObject *frame_type; /* of frames whose fields lie where Frame says; NULL: they are asked by name */

/* A frame as picows declares it in its picows.pxd. Asking for three attributes by name takes 10 us where the caches
   have forgotten how; whether they lie here is tried at the import. */
typedef struct {
    PyObject_HEAD
    void *methods;
    PyObject *payload_of_a_test;
    const char *payload;
    Py_ssize_t payload_size, tail_size;
    int type;
    uint8_t fin;
} Frame;

static Feed **feed_of(PyObject *listener) {
    return (Feed **)((char *)listener + feed_offset);
}

/* An attribute that is a small number; -1 where it is none, with the exception cleared: Python will meet it too. */
static long number_of(PyObject *frame, PyObject *name) {
    PyObject *value = PyObject_GetAttr(frame, name);
    long number = value ? PyLong_AsLong(value) : -1;
    Py_XDECREF(value);
    if (number == -1) PyErr_Clear();
    return number;
}

/* Whether a frame made for a test has its fields where Frame says. No pointer found there is followed. */
static bool is_known(PyObject *make_test_frame, long type, const char *text, long fin) {
    PyObject *payload = PyBytes_FromString(text);
    PyObject *made = payload ? PyObject_CallFunction(make_test_frame, "lOlO", type, payload, fin, Py_False) : NULL;
    const Frame *frame = (const Frame *)made;
    bool known = made && Py_TYPE(made)->tp_basicsize >= (Py_ssize_t)sizeof(Frame) && frame->type == type &&
                 frame->fin == fin && frame->payload_size == PyBytes_GET_SIZE(payload) &&
                 frame->payload == PyBytes_AS_STRING(payload) && number_of(made, name_type) == type &&
                 number_of(made, name_fin) == fin;
    if (known) frame_type = Py_TYPE(made);
    Py_XDECREF(made);
    Py_XDECREF(payload);
    return known;
}

/* The frames differ in every field; without the function that makes them nothing is known. */
static bool are_frames_known(void) {
    PyObject *module = PyImport_ImportModule("picows.picows");
    PyObject *make = module ? PyObject_GetAttrString(module, "_make_test_ws_frame") : NULL;
    bool known = make && is_known(make, TEXT_FRAME, "text", 1) && is_known(make, BINARY_FRAME, "some more", 0) &&
                 is_known(make, PONG_FRAME, "a third", 1);
    Py_XDECREF(make);
    Py_XDECREF(module);
    PyErr_Clear();
    return known;
}

static bool is_taken(Feed *feed, PyObject *frame, int64_t recv_mono_ns) {
    if (Py_TYPE(frame) == frame_type) {
        const Frame *known = (const Frame *)frame;
        return (known->type == TEXT_FRAME || known->type == BINARY_FRAME) && known->fin == 1 &&
               feed_take(feed, known->payload, known->payload_size, known->type == BINARY_FRAME, recv_mono_ns) == READ;
    }
    long type = number_of(frame, name_type);
    bool taken = false;
    /* A message in pieces is put together in Python. */
    if ((type != TEXT_FRAME && type != BINARY_FRAME) || number_of(frame, name_fin) != 1) return false;
    PyObject *payload = PyObject_CallMethodNoArgs(frame, name_payload);
    if (payload && PyBytes_Check(payload))
        taken = feed_take(feed, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), type == BINARY_FRAME,
                          recv_mono_ns) == READ;
    Py_XDECREF(payload);
    if (!payload) PyErr_Clear();
    return taken;
}

static PyObject *on_ws_frame(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    int64_t recv_mono_ns = slot_now_ns();
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "on_ws_frame takes a transport and a frame");
        return NULL;
    }
    Feed *feed = *feed_of(self);
    if (feed && is_taken(feed, arguments[1], recv_mono_ns)) Py_RETURN_NONE;
    PyObject *at = PyLong_FromLongLong(recv_mono_ns);
    PyObject *done = at ? PyObject_CallMethodObjArgs(self, name_on_frame, arguments[1], at, NULL) : NULL;
    Py_XDECREF(at);
    return done;
}

static PyObject *lend(PyObject *self, PyObject *address) {
    void *feed = PyLong_AsVoidPtr(address);
    if (!feed && PyErr_Occurred()) return NULL;
    *feed_of(self) = feed;
    Py_RETURN_NONE;
}

static PyMethodDef listener_methods[] = {
    {"on_ws_frame", (PyCFunction)(void (*)(void))on_ws_frame, METH_FASTCALL, "Called by picows with every frame."},
    {"lend", lend, METH_O, "lend(address): the Feed to publish with, for as long as it lies there; 0 takes it back."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot listener_slots[] = {{Py_tp_methods, listener_methods}, {0, NULL}};
static PyType_Spec listener_spec = {
    "feeds._listener.Listener", 0, 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, listener_slots,
};

/* take(address, frame, is_binary, recv_mono_ns) -> why it is left, 0 if it was published. */
static PyObject *take(PyObject *module, PyObject *arguments) {
    PyObject *address;
    Py_buffer frame;
    int is_binary;
    long long recv_mono_ns;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "Oy*pL", &address, &frame, &is_binary, &recv_mono_ns)) return NULL;
    Feed *feed = PyLong_AsVoidPtr(address);
    PyObject *unread = NULL;
    if (feed) unread = PyLong_FromLong(feed_take(feed, frame.buf, frame.len, is_binary, recv_mono_ns));
    PyBuffer_Release(&frame);
    if (!unread && !PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "no Feed lies at 0");
    return unread;
}

static PyObject *digest(PyObject *module, PyObject *arguments) {
    (void)module, (void)arguments;
    return PyUnicode_FromString(SOURCE_DIGEST);
}

/* Where each field of a Feed and a Channel lies, and how large the two are. */
static PyObject *layout(PyObject *module, PyObject *arguments) {
    (void)module, (void)arguments;
#define FIELD(kind, field) #kind "." #field, (Py_ssize_t)offsetof(kind, field)
    return Py_BuildValue(
        "{s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:n,s:n}",
        FIELD(Feed, read_frame), FIELD(Feed, channels), FIELD(Feed, is_open), FIELD(Feed, tick_mono_ns),
        FIELD(Feed, still_ns_max), FIELD(Feed, last_data_mono_ns), FIELD(Feed, writer_epoch), FIELD(Feed, tops),
        FIELD(Feed, depths), FIELD(Feed, ring), FIELD(Feed, bell), FIELD(Feed, frames_total),
        FIELD(Feed, quotes_total), FIELD(Feed, depths_total), FIELD(Feed, last_data), FIELD(Feed, recv_to_publish),
        FIELD(Feed, handed_over), FIELD(Channel, name), FIELD(Channel, name_size), FIELD(Channel, state), "Feed",
        (Py_ssize_t)sizeof(Feed), "Channel", (Py_ssize_t)sizeof(Channel));
#undef FIELD
}

static PyMethodDef module_methods[] = {
    {"take", take, METH_VARARGS, "take(address, frame, is_binary, recv_mono_ns): as on_ws_frame, for tests."},
    {"digest", digest, METH_NOARGS, "Of the sources this was built from."},
    {"layout", layout, METH_NOARGS, "Offsets and sizes of the structures that Python fills."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_listener", NULL, -1, module_methods, NULL, NULL, NULL, NULL,
};

static PyObject *listener_type(void) {
    PyObject *picows = PyImport_ImportModule("picows");
    PyObject *base = picows ? PyObject_GetAttrString(picows, "WSListener") : NULL;
    PyObject *type = NULL;
    Py_XDECREF(picows);
    if (base && PyType_Check(base)) {
        feed_offset = ((PyTypeObject *)base)->tp_basicsize;
        listener_spec.basicsize = (int)(feed_offset + (Py_ssize_t)sizeof(Feed *));
        type = PyType_FromSpecWithBases(&listener_spec, base);
    }
    Py_XDECREF(base);
    return type;
}

PyMODINIT_FUNC PyInit__listener(void) {
    PyObject *type, *module;
    if (!(name_on_frame = PyUnicode_InternFromString("on_frame")) ||
        !(name_type = PyUnicode_InternFromString("msg_type")) || !(name_fin = PyUnicode_InternFromString("fin")) ||
        !(name_payload = PyUnicode_InternFromString("get_payload_as_bytes")) || !(type = listener_type()))
        return NULL;
    if (!are_frames_known()) frame_type = NULL;
    module = PyModule_Create(&definition);
    if (module && PyModule_AddIntConstant(module, "is_frame_known", frame_type != NULL) < 0) Py_CLEAR(module);
    if (module && PyModule_AddObjectRef(module, "Listener", type) < 0) Py_CLEAR(module);
    Py_DECREF(type);
    return module;
}
