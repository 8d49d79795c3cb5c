#include "base/status.h"

const char *olica_status_name(olica_status status) {
  switch (status) {
  case OLICA_OK:
    return "ok";
  case OLICA_ERR_CONFIG:
    return "configuration error";
  case OLICA_ERR_INPUT:
    return "input error";
  case OLICA_ERR_IO:
    return "I/O error";
  case OLICA_ERR_NUMERIC:
    return "numerical error";
  case OLICA_ERR_MEMORY:
    return "memory error";
  case OLICA_ERR_INTERNAL:
    return "internal error";
  case OLICA_STOPPED:
    return "stopped early";
  }
  return "unknown status";
}
