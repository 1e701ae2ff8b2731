"""What a compiled part is given of shared memory: addresses, and the numbers that go with them.

The structures are those of ``_slot.h``, ``_broadcast.h``, ``_queue.h`` and ``_doorbell.h``, field by field.
What they point to stays mapped as long as the Python object does.
"""

from __future__ import annotations

import ctypes

from shm.broadcast import BroadcastReader, BroadcastWriter
from shm.counters import CounterTable, Histogram
from shm.doorbell import Doorbell
from shm.queue import QueueWriter
from shm.slot import SlotTable

_I64 = ctypes.c_int64


class _Buffer(ctypes.Structure):
    """``Py_buffer``: the one way to the address of a mapping that may only be read."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


class SlotsC(ctypes.Structure):
    _fields_ = (("words", ctypes.c_void_p), ("capacity", _I64), ("stride", _I64))


class RingReaderC(ctypes.Structure):
    _fields_ = (
        ("words", ctypes.c_void_p),
        *((name, _I64) for name in ("mask", "stride_words", "record_size", "next", "overtaken", "torn")),
    )


class RingWriterC(ctypes.Structure):
    _fields_ = (
        ("words", ctypes.c_void_p),
        *((name, _I64) for name in ("mask", "stride_words", "record_size")),
    )


class QueueWriterC(ctypes.Structure):
    _fields_ = (("words", ctypes.c_void_p), ("capacity", _I64))


class BellC(ctypes.Structure):
    _fields_ = (("word", ctypes.c_void_p), ("fd", ctypes.c_int))


def address_of(words: memoryview[int]) -> int:
    """Where mapped memory lies in this process."""
    buffer = _Buffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(words), ctypes.byref(buffer), 0)
    address = buffer.buf
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(buffer))
    assert address is not None
    return int(address)


def slots_in_c(table: SlotTable) -> SlotsC:
    return SlotsC(address_of(table._words), table.capacity, table._stride)


def ring_in_c(ring: BroadcastReader) -> RingReaderC:
    """A reader of its own, at the place where the Python one stands."""
    return RingReaderC(
        words=address_of(ring._words),
        mask=ring._mask,
        stride_words=ring._stride_words,
        record_size=ring._body.size,
        next=ring.position + 1,
    )


def ring_writer_in_c(ring: BroadcastWriter) -> RingWriterC:
    """The same place of the writer: either of the two may publish, never both at once."""
    return RingWriterC(address_of(ring._words), ring._mask, ring._stride_words, ring._body.size)


def queue_in_c(queue: QueueWriter) -> QueueWriterC:
    """The same place of the writer: either of the two may push, never both at once."""
    return QueueWriterC(address_of(queue._words), queue.capacity)


def bell_in_c(bell: Doorbell) -> BellC:
    return BellC(address_of(bell._words) + 8 * bell._word, bell.fd)


def counter_address(counters: CounterTable, index: int) -> int:
    return address_of(counters._words) + 8 * index


def histogram_address(histogram: Histogram) -> int:
    return address_of(histogram._words)
