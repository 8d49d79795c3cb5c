/* The wire format of protocol buffers, field by field. Private to text. */
#ifndef OLICA_TEXT_PROTOBUF_H
#define OLICA_TEXT_PROTOBUF_H

#include "bytes.h"

typedef struct olica_wire {
  olica_span rest;
  /* The current field. */
  uint32_t field;
  bool is_bytes; /* a string or message, in `bytes` */
  olica_span bytes;
  uint64_t number; /* a varint or fixed number, its bits */
} olica_wire;

/* Reads the next field of wire->rest; *more is false at the end. Returns false if it is malformed. */
bool olica_wire_next(olica_wire *wire, bool *more);

/* Returns a fixed 32-bit field as a float. */
float olica_wire_float(const olica_wire *wire);

#endif
