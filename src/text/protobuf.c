#include "protobuf.h"

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5, VARINT_BYTES = 10 };

static bool read_varint(olica_wire *wire, uint64_t *value) {
  *value = 0;
  for (unsigned i = 0; i < VARINT_BYTES && i < wire->rest.bytes; i++) {
    unsigned char byte = (unsigned char)wire->rest.data[i];
    *value |= (uint64_t)(byte & 0x7f) << 7 * i;
    if (byte & 0x80) continue;
    wire->rest.data += i + 1;
    wire->rest.bytes -= i + 1;
    return true;
  }
  return false;
}

static bool read_bytes(olica_wire *wire, uint64_t bytes) {
  if (bytes > wire->rest.bytes) return false;
  wire->bytes = (olica_span){wire->rest.data, (size_t)bytes};
  wire->rest.data += bytes;
  wire->rest.bytes -= bytes;
  return true;
}

static bool read_fixed(olica_wire *wire, size_t bytes) {
  if (!read_bytes(wire, bytes)) return false;
  wire->number = 0;
  for (size_t i = 0; i < bytes; i++) wire->number |= (uint64_t)(unsigned char)wire->bytes.data[i] << 8 * i;
  return true;
}

bool olica_wire_next(olica_wire *wire, bool *more) {
  uint64_t key;
  *more = wire->rest.bytes > 0;
  if (!*more) return true;
  if (!read_varint(wire, &key) || key >> 32 || key < 8) return false;
  wire->field = (uint32_t)(key >> 3);
  wire->is_bytes = (key & 7) == BYTES;
  switch (key & 7) {
  case VARINT:
    return read_varint(wire, &wire->number);
  case FIXED64:
    return read_fixed(wire, 8);
  case FIXED32:
    return read_fixed(wire, 4);
  case BYTES:
    return read_varint(wire, &wire->number) && read_bytes(wire, wire->number);
  default:
    return false;
  }
}

float olica_wire_float(const olica_wire *wire) {
  uint32_t bits = (uint32_t)wire->number;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
